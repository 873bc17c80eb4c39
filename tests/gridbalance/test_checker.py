"""The checker finds each breach that is planted, and none where all is well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from dispatch.lifecycle import CommandStatus, EventStatus, HoldStatus
from dispatch.models import Alarm, Change, Command, GridEvent, Hold, Participation
from dispatch.planner import Reason
from fleets.models import Program, Reading, Vehicle
from gridbalance.checker import CHECKS, Breach, Evidence, breaches
from gridbalance.demo.truth import Call
from tests.factories import HOUR, NOW

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]
MINUTE = timedelta(minutes=1)
CAR = "ada's car"


def call(
    kind: str,
    at: datetime,
    *,
    acted: bool = True,
    car: str = CAR,
    percent: int | None = None,
) -> Call:
    return Call(
        sequence=int(at.timestamp()),
        at=at,
        vehicle=car,
        kind=kind,
        status=200,
        code=None,
        acted_at=at if acted else None,
        percent=percent,
    )


@pytest.fixture
def kept(program: Program, ada: Vehicle, make_event: Make, make_stop: Make) -> Evidence:
    """Return an evening on which a car was taken and given back as promised."""
    Vehicle.objects.update(external_id=CAR)
    event = make_event(
        program,
        status=EventStatus.COMPLETED,
        ends_at=NOW + HOUR,
        restoring_at=NOW + HOUR,
    )
    stop = make_stop(
        event,
        status=CommandStatus.CONFIRMED,
        attempt=1,
        answered_at=NOW + MINUTE,
        confirmed_at=NOW + 3 * MINUTE,
    )
    Hold.objects.update(
        status=HoldStatus.RESTORED,
        latest_start_at=NOW + 3 * HOUR,
        restoring_at=NOW + HOUR,
        closed_at=NOW + 2 * HOUR,
        restore_reason="event over",
        close_reason="started",
    )
    Command.objects.create(
        vehicle=ada, hold=stop.hold, event=event, event_version=1, kind="start",
        is_restore=True, status=CommandStatus.CONFIRMED, attempt=1, created_at=NOW,
        due_at=NOW, answered_at=NOW + HOUR + MINUTE,
        confirmed_at=NOW + HOUR + 3 * MINUTE,
    )  # fmt: skip
    for moment, charging in ((NOW, False), (NOW + HOUR, True)):
        Reading.objects.create(
            vehicle_id=ada.pk,
            observed_at=moment + 2 * MINUTE,
            received_at=moment + 2 * MINUTE,
            is_charging=charging,
            source="webhook",
        )
    Change.objects.create(
        at=NOW, subject="hold", subject_id=stop.hold_id, after="taking"
    )
    return gather()


def gather(**values: Any) -> Evidence:
    """Return the rows as they stand, and what the car and the provider saw."""
    return Evidence(
        **{
            "events": list(GridEvent.objects.order_by("id")),
            "holds": list(Hold.objects.select_related("vehicle").order_by("id")),
            "commands": list(Command.objects.select_related("vehicle").order_by("id")),
            "participations": list(Participation.objects.select_related("vehicle")),
            "calls": [
                call("stop", NOW + MINUTE), call("start", NOW + HOUR + MINUTE),
            ],
            "cars": {
                CAR: {
                    "stopped_by": None, "charging": True, "plugged_in": True,
                    "soc_percent": 60.0, "limit_percent": 80.0,
                    "plugged_in_at": None, "shadow": {"limit_percent": 80},
                }
            },
            "summary": {"overdrawn": {"application": 0, "vehicle": 0}},
            "overnight": set(),
            "slack": timedelta(seconds=1),
            **values,
        }
    )  # fmt: skip


def broken(evidence: Evidence) -> set[int]:
    """Return the promises that the checker says are broken."""
    return {breach.promise for breach in breaches(evidence)}


def test_it_finds_nothing_where_all_is_well(kept: Evidence) -> None:
    assert breaches(kept) == []


def test_every_promise_that_rows_can_show_has_a_check() -> None:
    assert [promise for promise, _ in CHECKS] == [1, 2, 3, 4, 5, 6, 7, 8, 10]


def test_a_breach_says_which_promise() -> None:
    assert str(Breach(7, "3 calls too many")) == "promise 7: 3 calls too many"


def test_a_stop_that_left_and_never_arrived_may_have_its_start(
    kept: Evidence,
) -> None:
    Command.objects.filter(kind="stop").update(sent_at=NOW, may_have_landed=True)

    lost = gather(calls=[call("start", NOW + HOUR + MINUTE)])

    assert breaches(lost) == []


# Each row plants one thing: rows that are changed, and calls beside the usual two.
Plant = tuple[int, str, Callable[[], object], list[Call]]


def nothing() -> None:
    """Leave the rows as they are."""


PLANTED: list[Plant] = [
    (1, "a second stop call that nobody wrote down", nothing,
     [call("stop", NOW + 2 * MINUTE)]),
    (1, "a stop before its hold",
     lambda: Hold.objects.update(opened_at=NOW + 5 * MINUTE), []),
    (2, "unresolved without an alarm",
     lambda: Hold.objects.update(status="unresolved", closed_at=None), []),
    (3, "taken after its latest start",
     lambda: Hold.objects.update(latest_start_at=NOW), []),
    (3, "started after its latest start",
     lambda: Hold.objects.update(latest_start_at=NOW + HOUR), []),
    (4, "no reading at all", lambda: Reading.objects.all().delete(), []),
    (4, "the reading is older than the answer",
     lambda: Reading.objects.update(observed_at=NOW + MINUTE), []),
    (4, "the reading came after the confirmation",
     lambda: Reading.objects.update(received_at=NOW + 5 * HOUR), []),
    (4, "the reading shows the opposite",
     lambda: Reading.objects.update(is_charging=None), []),
    (4, "confirmed without an answer",
     lambda: Command.objects.update(answered_at=None), []),
    (5, "a stop after the event was called off",
     lambda: GridEvent.objects.update(restoring_at=NOW), []),
    (5, "a stop after the event was cancelled",
     lambda: GridEvent.objects.update(cancelled_at=NOW), []),
    (5, "a stop after the event's end",
     lambda: GridEvent.objects.update(
         starts_at=NOW - HOUR, ends_at=NOW, restoring_at=None), []),
    (5, "a stop after the customer opted out",
     lambda: Participation.objects.update(opted_out_at=NOW), []),
    (5, "five stops that landed",
     lambda: Command.objects.filter(kind="stop").update(attempt=5),
     [call("stop", NOW + n * MINUTE) for n in range(2, 6)]),
    (6, "a start of a car that nobody stopped", nothing,
     [call("start", NOW + MINUTE / 2)]),
    (6, "a limit that nobody decided", nothing, [call("set-limit", NOW + MINUTE)]),
    (8, "a command that waits for ever",
     lambda: Command.objects.filter(kind="start").update(status="queued"), []),
    (8, "a hold without a history", lambda: Change.objects.all().delete(), []),
    (10, "a participation without a reason",
     lambda: Participation.objects.update(reason=""), []),
    (10, "taken without a reason", lambda: Hold.objects.update(reason=""), []),
    (10, "given back without a reason",
     lambda: Hold.objects.update(restore_reason=""), []),
    (10, "closed without a reason", lambda: Hold.objects.update(close_reason=""), []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("promise", "plant", "calls"),
    [pytest.param(p, plant, calls, id=name) for p, name, plant, calls in PLANTED],
)
def test_it_finds_what_is_planted(
    kept: Evidence, promise: int, plant: Callable[[], object], calls: list[Call]
) -> None:
    plant()
    everything = sorted([*kept.calls, *calls], key=lambda one: one.at)

    assert promise in broken(gather(calls=everything))


@pytest.mark.parametrize(
    ("opened_at", "overnight", "expected"),
    [
        (NOW, {CAR}, set()),
        (NOW, set(), {5}),  # a consent of its own
        (NOW - HOUR, {CAR}, {5}),  # its stop left too late
    ],
)
def test_after_its_event_it_takes_whoever_waits_for_a_turn_and_said_yes(
    kept: Evidence, opened_at: datetime, overnight: set[str], expected: set[int]
) -> None:
    GridEvent.objects.update(starts_at=NOW - HOUR, ends_at=NOW, restoring_at=NOW)
    Hold.objects.update(opened_at=opened_at, reason=Reason.QUEUED)

    assert broken(gather(overnight=overnight)) == expected


@pytest.mark.parametrize(
    ("car", "expected"),
    [
        # stopped by us, and nobody owes it anything
        ({}, {2}),
        # the customer's own doing
        ({"stopped_by": "customer"}, set()),
        ({"plugged_in": False}, set()),
        ({"soc_percent": 80.0}, set()),
    ],
)
def test_a_car_that_stays_stopped_is_a_breach(
    kept: Evidence, car: dict[str, Any], expected: set[int]
) -> None:
    left = {**kept.cars[CAR], "stopped_by": "api", "charging": False, **car}

    assert broken(replace(kept, cars={CAR: left})) == expected


def test_a_car_that_is_still_owed_is_none(kept: Evidence) -> None:
    Hold.objects.update(status="restoring", closed_at=None)
    left = {**kept.cars[CAR], "stopped_by": "api", "charging": False}

    assert 2 not in broken(gather(cars={CAR: left}))


def test_an_unresolved_hold_with_its_alarm_is_none(kept: Evidence) -> None:
    Hold.objects.update(status="unresolved", closed_at=None)
    key = f"hold:{Hold.objects.get().pk}:unresolved"
    Alarm.objects.create(key=key, severity="critical", text="Look", raised_at=NOW)

    assert 2 not in broken(gather())


def test_two_open_holds_of_a_car_are_a_breach(kept: Evidence) -> None:
    first = Hold.objects.select_related("vehicle").get()
    second = Hold.objects.select_related("vehicle").get()
    second.pk, second.opened_at = first.pk + 1, NOW + HOUR

    assert 2 in broken(replace(kept, holds=[first, second]))


def test_a_call_beyond_a_bucket_is_a_breach(kept: Evidence) -> None:
    summary = {"overdrawn": {"application": 0, "vehicle": 3}}

    assert list(breaches(replace(kept, summary=summary))) == [
        Breach(7, "3 calls beyond the vehicle bucket")
    ]


def test_what_is_left_while_an_event_runs_is_no_breach(kept: Evidence) -> None:
    GridEvent.objects.update(status="active")
    Change.objects.all().delete()

    assert 8 not in broken(gather())


def test_processes_may_read_the_clock_a_moment_apart(kept: Evidence) -> None:
    early = [call("stop", NOW - timedelta(seconds=1)), kept.calls[1]]

    assert 1 not in broken(replace(kept, calls=early))


# Held by a limit


@pytest.fixture
def by_limit(kept: Evidence) -> Evidence:
    """Return the same evening with the car held by a limit of 60, its own being 80."""
    Hold.objects.update(tactic="limit", limit_percent=80.0, our_limit_percent=60)
    for is_restore, percent in ((False, 60), (True, 80)):
        commands = Command.objects.filter(is_restore=is_restore)
        commands.update(kind="set limit", percent=percent)
        Reading.objects.filter(is_charging=is_restore).update(limit_percent=percent)
    return gather(calls=LIMITS)


LIMITS = [
    call("set-limit", NOW + MINUTE, percent=60),
    call("set-limit", NOW + HOUR + MINUTE, percent=80),
]


def test_it_finds_nothing_where_a_limit_is_back(by_limit: Evidence) -> None:
    assert breaches(by_limit) == []


@pytest.mark.parametrize(
    ("car", "expected"),
    [
        # lowered, never set back, and owed nothing
        ({"limit_percent": 60}, {2}),
        # the customer lowered it, and we set it back over that
        ({"shadow": {"limit_percent": 70}}, {2}),
        # the customer raised it, and has it
        ({"limit_percent": 90, "shadow": {"limit_percent": 90}}, set()),
        # has its limit, was charging in this plug-in, and does not go on
        ({"stopped_by": "api", "charging": False}, {2}),
        # plugged in anew, and waiting for its timer
        (
            {
                "stopped_by": "api", "charging": False,
                "plugged_in_at": (NOW + 2 * HOUR).isoformat(),
            },
            set(),
        ),
    ],
)  # fmt: skip
def test_a_limit_is_judged_by_what_the_car_would_have_without_us(
    by_limit: Evidence, car: dict[str, Any], expected: set[int]
) -> None:
    left = {**by_limit.cars[CAR], **car}

    assert broken(replace(by_limit, cars={CAR: left})) == expected


PLANTED_LIMITS: list[Plant] = [
    (1, "a limit that nobody wrote down", nothing,
     [call("set-limit", NOW + 2 * MINUTE, percent=60)]),
    (4, "the reading shows no charging and another limit",
     lambda: Reading.objects.filter(is_charging=False).update(limit_percent=70), []),
    (4, "the reading shows the limit, and charging",
     lambda: Reading.objects.update(is_charging=True), []),
    (5, "a limit lowered after the customer opted out",
     lambda: Participation.objects.update(opted_out_at=NOW), []),
    (5, "lowered five times",
     lambda: Command.objects.update(attempt=5),
     [call("set-limit", NOW + n * MINUTE, percent=60) for n in range(2, 6)]),
    (6, "a limit of somebody else's choice", nothing,
     [call("set-limit", NOW + 2 * MINUTE, percent=90)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("promise", "plant", "calls"),
    [
        pytest.param(p, plant, calls, id=name)
        for p, name, plant, calls in PLANTED_LIMITS
    ],
)
def test_it_finds_what_is_planted_with_limits(
    by_limit: Evidence, promise: int, plant: Callable[[], object], calls: list[Call]
) -> None:
    plant()

    found = gather(calls=sorted([*LIMITS, *calls], key=lambda one: one.at))

    assert promise in broken(found)


def test_a_limit_that_waits_for_its_car_is_no_breach(by_limit: Evidence) -> None:
    Hold.objects.update(status="restoring", closed_at=None, restoring_at=NOW + HOUR)
    Command.objects.filter(is_restore=True).update(status="queued")
    away = {**by_limit.cars[CAR], "plugged_in": False, "limit_percent": 60}

    assert broken(gather(calls=LIMITS, cars={CAR: away})) == set()
    assert broken(gather(calls=LIMITS, cars={CAR: {**away, "plugged_in": True}})) == {8}
