"""What to do next for one car, and what its readings mean."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dispatch.lifecycle import CommandStatus
from dispatch.safekeeping import steps
from dispatch.safekeeping.journal import End, Progress
from dispatch.safekeeping.sheet import Give
from dispatch.safekeeping.steps import Call, Conclusion
from fleets.providers.base import (
    AccessRevoked,
    Asleep,
    CarState,
    NothingToDo,
    OutcomeUnknown,
    Receipt,
    Rejected,
    Report,
    TryLater,
)
from tests.dispatch.safekeeping.conftest import owed
from tests.factories import NOW

MINUTE = timedelta(minutes=1)
LIMIT: dict[str, Any] = {"give": Give.LIMIT, "percent": 80, "our_percent": 50}
STARTED: dict[str, Any] = {
    "command": CommandStatus.ACCEPTED,
    "answered_at": NOW,
    "attempts": 1,
}
NEVER_STOPPED: dict[str, Any] = {
    "stop_answered_at": None,
    "owed_until": NOW,
    "look_first": True,
}


def report(minutes: float, **said: Any) -> Report:
    """Return a reading of a plugged-in car, so many minutes from now."""
    values = {"is_plugged_in": True, "is_charging": False, "soc_percent": 50.0, **said}
    return Report("vehicle-1", NOW + minutes * MINUTE, **values)


@pytest.mark.parametrize(
    ("car", "progress", "call"),
    [
        # A held car needs no look: its stop is known to have landed.
        ({}, {}, Call.GIVE),
        # Its stop was still to leave when the sheet was written.
        ({"look_first": True}, {}, Call.READ),
        ({"look_first": True}, {"was_seen": True}, Call.GIVE),
        # The provider said: later. It is asked again without another look.
        ({"look_first": True}, {"command": CommandStatus.QUEUED, "attempts": 1},
         Call.GIVE),
        # A limit is looked at before each writing.
        (LIMIT, {}, Call.READ),
        (LIMIT, {"was_seen": True, "seen_limit": 50.0}, Call.GIVE),
        # A look that showed none, or another one, lets nothing be written.
        (LIMIT, {"was_seen": True}, Call.READ),
        (LIMIT, {"was_seen": True, "seen_limit": 70.0}, Call.READ),
        (LIMIT, {"command": CommandStatus.QUEUED, "attempts": 1}, Call.READ),
        # What may have happened is read, never repeated.
        ({}, STARTED, Call.READ),
        ({}, {**STARTED, "command": CommandStatus.UNKNOWN}, Call.READ),
    ],
)  # fmt: skip
def test_the_next_call(
    car: dict[str, Any], progress: dict[str, Any], call: Call
) -> None:
    assert steps.next_call(owed(**car), Progress(**progress)) is call


@pytest.mark.parametrize(
    ("car", "progress", "said", "end"),
    [
        ({}, STARTED, report(1, is_charging=True), End.RESTORED),
        # Older than the answer: accepted is not confirmed.
        ({}, STARTED, report(-1, is_charging=True), None),
        ({}, STARTED, report(1, is_plugged_in=False), End.DROVE_OFF),
        ({}, STARTED, report(1, soc_percent=80.0, limit_percent=80.0), End.FINISHED),
        # A stop that may still land makes this reading worthless.
        ({"owed_until": NOW + 5 * MINUTE}, STARTED, report(1, is_charging=True), None),
        ({"owed_until": NOW + 5 * MINUTE}, STARTED, report(6, is_charging=True),
         End.RESTORED),
        # Never stopped at all, and no stop can land any more.
        (NEVER_STOPPED, {}, report(1, is_charging=True), End.CHARGES),
        (NEVER_STOPPED, {}, report(-1, is_charging=True), None),
        # Charging again by the customer's own hand.
        ({}, {}, report(1, is_charging=True), End.CHARGES),
        (LIMIT, {}, report(1, limit_percent=50.0), None),
        (LIMIT, {}, report(1, limit_percent=70.0), End.THEIRS),
        (LIMIT, {}, report(1, limit_percent=80.0), End.RESTORED),
        (LIMIT, STARTED, report(1, limit_percent=80.0), End.RESTORED),
        (LIMIT, STARTED, report(1, limit_percent=60.0), End.THEIRS),
        (LIMIT, STARTED, report(-1, limit_percent=60.0), None),
        # Lowered a moment ago: its own limit may be what the maker still shows.
        (LIMIT | {"stop_answered_at": NOW}, {}, report(1, limit_percent=80.0), None),
        (LIMIT | {"stop_answered_at": NOW}, {}, report(6, limit_percent=80.0),
         End.RESTORED),
        # A parked car tells its limit, and nothing else is new.
        (LIMIT, STARTED, report(-1, limit_percent=80.0,
                                limit_observed_at=NOW + MINUTE), End.RESTORED),
        (LIMIT, STARTED, report(1), None),
    ],
)  # fmt: skip
def test_how_it_ends(
    car: dict[str, Any], progress: dict[str, Any], said: Report, end: End | None
) -> None:
    found = steps.judge_reading(owed(**car), Progress(**progress), said, now=NOW)

    assert found.end is end


def test_a_limit_that_waits_for_a_cable_is_tried_again_half_a_day_later() -> None:
    refused = NothingToDo("CHARGING_PLUG_NOT_CONNECTED", CarState.UNPLUGGED)

    decision = steps.judge_answer(owed(**LIMIT), Progress(attempts=1), refused)

    assert (decision.status, decision.wait_seconds) == (
        CommandStatus.QUEUED, 12 * 3600.0,
    )  # fmt: skip


def test_a_car_that_ignores_its_start_is_asked_four_times() -> None:
    ignored = report(10)
    waits = [
        steps.judge_reading(
            owed(), Progress(**STARTED, ineffective=count), ignored, now=NOW
        )
        for count in range(4)
    ]

    assert [found.again for found in waits] == [True, True, True, False]
    assert [found.wait_seconds for found in waits[:3]] == [120, 240, 480]
    assert waits[3] == Conclusion(End.NOT_REACHED, reason="the car ignores it")


def test_a_reading_that_shows_nothing_is_asked_for_again_ever_later() -> None:
    stale = report(-5)
    waits = [
        steps.judge_reading(
            owed(), Progress(**STARTED, reads=count), stale, now=NOW
        ).wait_seconds
        for count in (0, 1, 20)
    ]

    assert waits == [120, 240, 3600]


def test_the_look_after_a_start_waits_for_a_stop_that_may_land() -> None:
    car = owed(owed_until=NOW + timedelta(hours=1))
    decision = steps.judge_answer(car, Progress(attempts=1), Receipt("r-1"))

    assert steps.wait_after(car, decision, now=NOW) == 3600


@pytest.mark.parametrize(
    ("error", "attempts", "hopeless"),
    [
        (OutcomeUnknown("LINE:TIMEOUT"), 1, False),
        (Asleep("VEHICLE_STATE:ASLEEP"), 9, False),
        (AccessRevoked("PERMISSION"), 2, False),
        (AccessRevoked("PERMISSION"), 3, True),
        (Rejected("VALIDATION"), 1, True),
    ],
)
def test_when_only_a_person_can_go_on(
    error: Exception, attempts: int, hopeless: bool
) -> None:
    progress = Progress(attempts=attempts)
    decision = steps.judge_answer(owed(), progress, error)  # type: ignore[arg-type]

    assert steps.is_hopeless(progress, decision) is hopeless


@pytest.mark.parametrize(
    ("error", "progress", "found"),
    [
        (TryLater("X", wait_seconds=7.0), {}, Conclusion(wait_seconds=7.0)),
        (TryLater("X"), {"unread": 1}, Conclusion(wait_seconds=60.0)),
        (AccessRevoked("X"), {}, Conclusion(wait_seconds=600.0)),
        (AccessRevoked("X"), {"unread": 2}, Conclusion(End.NOT_REACHED, "X")),
        (AccessRevoked("X"), {"unread": 2, **STARTED}, Conclusion(End.UNSHOWN, "X")),
        (Rejected("X"), {}, Conclusion(End.NOT_REACHED, "X")),
    ],
)
def test_a_car_that_could_not_be_read(
    error: Any, progress: dict[str, Any], found: Conclusion
) -> None:
    assert steps.judge_unread(Progress(**progress), error) == found


def test_what_the_main_system_sent_is_where_we_begin() -> None:
    car = owed(given="unknown", given_at=NOW)

    progress = steps.beginning(car)

    assert steps.next_call(car, progress) is Call.READ
    assert progress.gave
