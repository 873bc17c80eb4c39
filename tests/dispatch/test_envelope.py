"""What needs a second person."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from dispatch import envelope, event_rules, grid_events
from dispatch.event_rules import NotAllowed, Stale, WrongMoment
from dispatch.lifecycle import (
    EventStatus,
)
from dispatch.models import (
    Envelope,
    GridEvent,
)
from fleets.models import Program, Vehicle
from tests.dispatch.together import at_once
from tests.factories import HOUR, NOW, plan

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]


def test_an_event_beyond_its_envelope_waits_in_words(program: Program) -> None:
    event = plan(program, target_kw=5_001.0)

    assert event.status == EventStatus.PENDING
    assert "5,001 kW of 5,000 allowed" in event.pending_reason


def test_without_a_target_the_aimed_cars_count(
    program: Program, ada: Vehicle, ben: Vehicle
) -> None:
    Envelope.objects.create(
        program=program, max_kw=6.9, max_cars=10, max_kw_per_minute=100
    )

    event = plan(program)

    # Ada's 7 kW; Ben's car is not ours any more.
    assert "7 kW of 7 allowed" in event.pending_reason


def test_an_event_cut_into_small_ones_is_still_large(
    program: Program, make_enrolment: Make
) -> None:
    Envelope.objects.create(
        program=program, max_kw=20, max_cars=10, max_kw_per_minute=100
    )
    for _ in range(4):
        make_enrolment(program)

    first = plan(program, target_kw=14.0)
    second = plan(program, target_kw=14.0)
    later = plan(
        program, target_kw=14.0, starts_at=NOW + 2 * HOUR, ends_at=NOW + 3 * HOUR
    )

    assert first.status == later.status == EventStatus.SCHEDULED
    assert second.status == EventStatus.PENDING
    assert f"together with event {first.pk}" in second.pending_reason


def test_one_event_too_many_at_once_waits(program: Program) -> None:
    for _ in range(envelope.MOST_AT_ONCE):
        assert plan(program, target_kw=0.01).status == EventStatus.SCHEDULED

    one_more = plan(program, target_kw=0.01)
    later = plan(
        program, target_kw=0.01, starts_at=NOW + 2 * HOUR, ends_at=NOW + 3 * HOUR
    )

    assert one_more.status == EventStatus.PENDING
    assert "21 events at once of 20 allowed" in one_more.pending_reason
    assert later.status == EventStatus.SCHEDULED


def test_a_car_counts_once_however_many_events_aim_at_it(
    program: Program, ada: Vehicle
) -> None:
    Envelope.objects.create(
        program=program, max_kw=10, max_cars=1, max_kw_per_minute=100
    )

    assert plan(program).status == plan(program).status == EventStatus.SCHEDULED


def test_a_target_counts_the_cars_it_needs(
    program: Program, make_enrolment: Make
) -> None:
    for _ in range(4):
        make_enrolment(program)

    step = envelope.step(program, event_rules.Shape(NOW, NOW + HOUR, target_kw=15.0))

    assert (step.kw, step.cars) == (15.0, 3)


def test_a_slow_provider_makes_a_slow_step(
    program: Program, make_enrolment: Make, settings: Any
) -> None:
    settings.PROVIDER_BUCKET_CALLS = 1
    settings.PROVIDER_REFILL_PER_MINUTE = 1
    for _ in range(4):
        make_enrolment(program)

    step = envelope.step(program, event_rules.Shape(NOW, NOW + HOUR))

    assert (step.kw, step.kw_per_minute) == (28.0, 14.0)


def test_a_second_person_approves(program: Program) -> None:
    event = plan(program, target_kw=6_000.0)

    event = grid_events.approve(event, actor="pia", now=NOW)

    assert event.status == EventStatus.SCHEDULED


def test_nobody_approves_their_own_event(program: Program) -> None:
    event = plan(program, target_kw=6_000.0)

    with pytest.raises(NotAllowed):
        grid_events.approve(event, actor="olga", now=NOW)


def test_nobody_approves_what_they_made_larger(program: Program) -> None:
    event = plan(program, target_kw=100.0)
    event = grid_events.amend(event, {"target_kw": 6_000.0}, actor="pia", now=NOW)

    with pytest.raises(NotAllowed):
        grid_events.approve(event, actor="pia", now=NOW)


def test_an_approval_is_for_the_version_that_was_seen(program: Program) -> None:
    seen = plan(program, target_kw=6_000.0)
    grid_events.amend(seen, {"target_kw": 9_000.0}, actor="olga", now=NOW)

    with pytest.raises(Stale):
        grid_events.approve(seen, actor="pia", now=NOW)


def test_a_scheduled_event_that_outgrows_its_envelope_waits(program: Program) -> None:
    event = plan(program, target_kw=100.0)

    event = grid_events.amend(event, {"target_kw": 6_000.0}, actor="olga", now=NOW)

    assert event.status == EventStatus.PENDING
    assert event.pending_reason


def test_a_pending_event_that_shrinks_needs_nobody(program: Program) -> None:
    event = plan(program, target_kw=6_000.0)

    event = grid_events.amend(event, {"target_kw": 100.0}, actor="olga", now=NOW)

    assert (event.status, event.pending_reason) == (EventStatus.SCHEDULED, "")


def test_an_approved_event_may_become_smaller(program: Program) -> None:
    event = plan(program, target_kw=7_000.0)
    event = grid_events.approve(event, actor="pia", now=NOW)

    event = grid_events.amend(event, {"target_kw": 6_000.0}, actor="olga", now=NOW)

    assert event.status == EventStatus.SCHEDULED


def test_an_approval_shrinks_with_its_event(program: Program) -> None:
    event = plan(program, target_kw=7_000.0)
    event = grid_events.approve(event, actor="pia", now=NOW)

    event = grid_events.amend(event, {"target_kw": 100.0}, actor="olga", now=NOW)

    assert event.approved_kw == 100.0


def test_an_approval_is_for_its_hours(program: Program) -> None:
    """A night's test, once approved, must not lift the bounds of a peak."""
    event = plan(program, target_kw=7_000.0)
    event = grid_events.approve(event, actor="pia", now=NOW)

    event = grid_events.amend(
        event,
        {"target_kw": 100.0, "starts_at": NOW + HOUR, "ends_at": NOW + 3 * HOUR},
        actor="olga",
        now=NOW,
    )

    assert (event.status, event.approved_kw) == (EventStatus.SCHEDULED, None)
    event = grid_events.amend(event, {"target_kw": 6_000.0}, actor="olga", now=NOW)
    assert (event.status, event.approved_kw) == (EventStatus.PENDING, None)


def test_an_approval_is_for_its_aim(program: Program, make_feeder: Make) -> None:
    here, there = make_feeder(), make_feeder()
    event = plan(program, target_kw=7_000.0, feeders=[here])
    event = grid_events.approve(event, actor="pia", now=NOW)

    event = grid_events.amend(event, {"feeders": [there]}, actor="olga", now=NOW)

    assert (event.status, event.approved_kw) == (EventStatus.PENDING, None)


def test_a_running_event_does_not_outgrow_its_envelope(
    program: Program, make_event: Make
) -> None:
    event = make_event(program, status=EventStatus.ACTIVE, target_kw=100.0)

    with pytest.raises(WrongMoment, match="further"):
        grid_events.amend(event, {"target_kw": 6_000.0}, actor="olga", now=NOW)

    event.refresh_from_db()
    assert (event.version, event.target_kw) == (1, 100.0)


@pytest.mark.django_db(transaction=True)
def test_two_halves_at_once_do_not_pass_for_small(
    program: Program, make_enrolment: Make
) -> None:
    Envelope.objects.create(
        program=program, max_kw=20, max_cars=10, max_kw_per_minute=100
    )
    for _ in range(4):
        make_enrolment(program)

    results = at_once(*(partial(plan, program, target_kw=14.0) for _ in range(2)))

    statuses = [event.status for event in results if isinstance(event, GridEvent)]
    assert sorted(statuses) == [EventStatus.PENDING, EventStatus.SCHEDULED]
