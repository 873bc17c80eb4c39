"""The envelopes in the claim: what leaves within a minute, and what is outstanding."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from dispatch import gauges
from dispatch.lifecycle import CommandStatus, EventStatus
from dispatch.models import Command, Envelope, EnvelopeGauge, GridEvent, Hold
from fleets import clock
from fleets.models import Bucket, Feeder, Program
from tests.dispatch.senders import application, claim, make_due, make_sender
from tests.factories import NOW

__all__ = ["application", "make_due"]  # fixtures

Make = Callable[..., Any]
# A minute, and what a claim may be underway at the clock's speed of 1.
WINDOW = timedelta(seconds=60 + gauges.UNDERWAY_SECONDS + 1)
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("application")]


@pytest.fixture
def event(
    program: Program, make_event: Make, set_clock: Callable[..., None]
) -> GridEvent:
    set_clock(NOW)
    running: GridEvent = make_event(program, status=EventStatus.ACTIVE)
    return running


def bound(
    program: Program | None = None, feeder: Feeder | None = None, **values: float
) -> Envelope:
    """Set an envelope's bounds; what is not named is wide."""
    wide = {"max_kw": 10_000, "max_cars": 10_000, "max_kw_per_minute": 10_000}
    row, _ = Envelope.objects.update_or_create(
        program=program, feeder=feeder, defaults={**wide, **values}
    )
    return row


@pytest.mark.parametrize("is_restore", [False, True])
@pytest.mark.parametrize("scope", ["program", "feeder", "all"])
def test_no_more_kw_leave_within_a_minute_than_any_envelope_says(
    event: GridEvent, make_due: Make, make_feeder: Make, scope: str, is_restore: bool
) -> None:
    feeder = make_feeder()
    bound(
        program=event.program if scope == "program" else None,
        feeder=feeder if scope == "feeder" else None,
        max_kw_per_minute=21,
    )
    for _ in range(8):  # of 7 kW each
        make_due(event, is_restore=is_restore, vehicle={"feeder": feeder})

    assert len(claim()) == 3
    assert claim(seconds=30) == []
    assert claim(seconds=60) == [], "what left a minute ago may arrive only now"
    assert len(claim(seconds=WINDOW.total_seconds())) == 3


def test_giving_back_has_bounds_of_its_own(event: GridEvent, make_due: Make) -> None:
    bound(event.program, max_kw_per_minute=7, restoring_max_kw_per_minute=14)
    for _ in range(3):
        make_due(event)
        make_due(event, is_restore=True)

    jobs = claim()

    assert [job.is_restore for job in jobs] == [True, True, False]


@pytest.mark.parametrize(
    ("bounds", "sent"),
    [({"max_kw": 20}, 2), ({"max_cars": 3}, 3), ({"max_kw": 6}, 0)],
)
def test_no_more_is_held_than_the_envelope_says(
    event: GridEvent, make_due: Make, bounds: dict[str, Any], sent: int
) -> None:
    bound(event.program, **bounds)
    for _ in range(5):
        make_due(event)

    assert len(claim()) == sent
    assert claim(minutes=5) == []


def test_what_was_given_back_makes_room_once_it_is_counted(
    event: GridEvent, make_due: Make
) -> None:
    bound(event.program, max_cars=2)
    for _ in range(4):
        make_due(event)
    gone = [job.hold_id for job in claim()]
    Command.objects.filter(hold__in=gone).update(status=CommandStatus.CONFIRMED)
    Hold.objects.filter(pk__in=gone).update(status="released")

    assert claim(minutes=5) == [], "counted a moment ago"
    EnvelopeGauge.objects.update(counted_at=clock.real_now() - gauges.COUNT_EVERY * 2)

    assert len(claim(minutes=5)) == 2


def test_cars_that_nobody_commanded_yet_take_no_room(
    event: GridEvent, make_due: Make
) -> None:
    bound(event.program, max_cars=2)
    for _ in range(4):
        make_due(event)

    assert len(claim()) == 2


def test_one_restore_always_may(event: GridEvent, make_due: Make) -> None:
    bound(event.program, max_kw_per_minute=1, max_kw=1)
    for _ in range(2):
        make_due(event, is_restore=True)
        make_due(event)

    (job,) = claim()

    assert job.is_restore


def test_what_a_second_person_approved_lifts_its_program_and_no_feeder(
    event: GridEvent, make_due: Make, make_feeder: Make
) -> None:
    feeder = make_feeder()
    bound(event.program, max_kw=14, max_kw_per_minute=14)
    bound(feeder=feeder, max_kw=7)
    GridEvent.objects.update(
        approved_kw=28, approved_cars=10_000, approved_kw_per_minute=10_000
    )
    for _ in range(3):
        make_due(event, vehicle={"feeder": feeder})
    for _ in range(5):
        make_due(event)

    jobs = claim()

    fed = Command.objects.filter(
        pk__in=[job.command_id for job in jobs], vehicle__feeder=feeder
    )
    assert (len(jobs), fed.count()) == (4, 1)


@pytest.mark.parametrize(
    ("status", "is_restore", "sent"),
    [
        (EventStatus.ACTIVE, False, 3),
        # it runs no more, or not yet
        (EventStatus.RESTORING, False, 1),
        (EventStatus.SCHEDULED, False, 1),
        # what may be taken says nothing of how fast it may come back
        (EventStatus.ACTIVE, True, 1),
    ],
)
def test_an_approval_lifts_only_holding_and_only_while_its_event_runs(
    event: GridEvent,
    make_event: Make,
    make_due: Make,
    status: EventStatus,
    is_restore: bool,
    sent: int,
) -> None:
    bound(event.program, max_kw_per_minute=7)
    make_event(
        event.program, status=status, approved_kw=900, approved_cars=900,
        approved_kw_per_minute=21,
    )  # fmt: skip
    for _ in range(5):
        make_due(event, is_restore=is_restore)

    assert len(claim()) == sent


def test_two_approvals_do_not_add_up(
    event: GridEvent, make_event: Make, make_due: Make
) -> None:
    """Each was measured together with what runs beside it."""
    bound(event.program, max_kw_per_minute=7)
    for kw in (14, 21):
        make_event(
            event.program, status=EventStatus.ACTIVE, approved_kw=900,
            approved_cars=900, approved_kw_per_minute=kw,
        )  # fmt: skip
    for _ in range(6):
        make_due(event)

    assert len(claim()) == 3


@pytest.mark.parametrize("is_restore", [False, True])
def test_a_hold_that_says_too_little_does_not_pass_for_small(
    event: GridEvent, make_due: Make, is_restore: bool
) -> None:
    """It was written when the car had just begun to charge, or by a mistake."""
    bound(event.program, max_kw_per_minute=21)
    for _ in range(8):
        make_due(event, is_restore=is_restore)
    Hold.objects.update(power_kw=0.1)

    assert len(claim()) == 3


@pytest.mark.parametrize("is_restore", [False, True])
def test_a_clock_that_was_ahead_holds_nobody_up_for_long(
    event: GridEvent, make_due: Make, is_restore: bool
) -> None:
    bound(event.program, max_kw_per_minute=21)
    for _ in range(6):
        make_due(event, is_restore=is_restore)
    Command.objects.update(due_at=NOW - timedelta(days=2))
    assert len(claim(minutes=50)) == 3

    assert claim() == [], "they may have left a moment ago"
    assert claim(seconds=30) == []
    assert len(claim(seconds=WINDOW.total_seconds())) == 3


def test_a_full_feeder_does_not_stand_before_the_others(
    event: GridEvent, make_due: Make, make_feeder: Make
) -> None:
    feeder = make_feeder()
    bound(feeder=feeder, max_cars=1)
    for _ in range(6):
        make_due(event, vehicle={"feeder": feeder})
    others = [make_due(event).vehicle_id for _ in range(3)]

    jobs = claim(room=4)

    assert {job.vehicle_id for job in jobs[1:]} == set(others)


def test_two_senders_share_one_gauge(event: GridEvent, make_due: Make) -> None:
    bound(event.program, max_kw_per_minute=21)
    for _ in range(6):
        make_due(event)

    assert len(claim(make_sender(), room=2)) == 2
    assert len(claim(make_sender(), room=2)) == 1


def test_without_any_row_the_settings_bound_everything(
    event: GridEvent, make_due: Make, settings: Any
) -> None:
    settings.ENVELOPE_ALL_CARS = 1
    for _ in range(2):
        make_due(event)

    assert len(claim()) == 1


def test_more_commands_and_envelopes_cost_no_more_queries(
    event: GridEvent,
    make_due: Make,
    make_feeder: Make,
    django_assert_max_num_queries: Any,
) -> None:
    Bucket.objects.update(capacity=10_000)
    bound(event.program)
    for _ in range(10):
        feeder = make_feeder()
        bound(feeder=feeder)
        make_due(event, vehicle={"feeder": feeder})
    claim(room=1)

    with django_assert_max_num_queries(20):
        claim()
