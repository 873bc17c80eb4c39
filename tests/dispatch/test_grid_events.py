"""What people, machines and time do with grid events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dispatch import grid_events, switch
from dispatch.event_rules import Invalid, Stale, WrongMoment
from dispatch.lifecycle import (
    EVENT_MOVES,
    CommandStatus,
    EventStatus,
    HoldStatus,
    ParticipationStatus,
)
from dispatch.models import (
    AuditEntry,
    Change,
    Envelope,
    GridEvent,
    Hold,
    Participation,
)
from fleets.models import Program, Vehicle
from tests.factories import HOUR, NOW, plan

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]


def codes(error: pytest.ExceptionInfo[Invalid]) -> set[tuple[str, str]]:
    return {(finding.field, finding.code) for finding in error.value.findings}


def test_a_small_event_is_scheduled_and_on_record(program: Program) -> None:
    event = plan(program, target_kw=100.0, reason="cold evening")

    assert event.status == EventStatus.SCHEDULED
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.act, entry.why) == ("olga", "schedule", "cold evening")
    change = Change.objects.get(subject="event", subject_id=event.pk)
    assert (change.before, change.after) == ("", "scheduled")


@pytest.mark.parametrize(
    ("values", "finding"),
    [
        # Ends where it starts.
        ({"ends_at": NOW}, ("ends_at", "ends_before_start")),
        # Over already.
        (
            {"starts_at": NOW - 2 * HOUR, "ends_at": NOW - HOUR},
            ("ends_at", "past"),
        ),
        # Over this very moment.
        ({"starts_at": NOW - HOUR, "ends_at": NOW}, ("ends_at", "past")),
        # Began before the grace.
        ({"starts_at": NOW - timedelta(minutes=6)}, ("starts_at", "past")),
        # Longer than the program's four hours.
        ({"ends_at": NOW + 5 * HOUR}, ("ends_at", "too_long")),
        # The year is mistyped.
        (
            {"starts_at": NOW + 9000 * HOUR, "ends_at": NOW + 9001 * HOUR},
            ("starts_at", "too_far"),
        ),
        # The last evening of the calendar.
        (
            {
                "starts_at": datetime(9999, 12, 31, 22, tzinfo=UTC),
                "ends_at": datetime(9999, 12, 31, 23, tzinfo=UTC),
            },
            ("starts_at", "too_far"),
        ),
        # No load at all.
        ({"target_kw": 0.0}, ("target_kw", "not_positive")),
        ({"target_kw": -5.0}, ("target_kw", "not_positive")),
        ({"target_kw": float("nan")}, ("target_kw", "not_positive")),
        ({"target_kw": float("inf")}, ("target_kw", "not_positive")),
        # Watts for kilowatts.
        ({"target_kw": 50_000_000.0}, ("target_kw", "enormous")),
    ],
)
def test_it_refuses_what_makes_no_sense(
    program: Program, values: dict[str, Any], finding: tuple[str, str]
) -> None:
    with pytest.raises(Invalid) as error:
        plan(program, **values)

    assert finding in codes(error)
    assert not GridEvent.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_start_a_few_minutes_ago_counts_as_now(program: Program) -> None:
    event = plan(program, starts_at=NOW - timedelta(minutes=4))

    assert event.status == EventStatus.SCHEDULED


def test_it_names_the_car_without_consent(
    program: Program, ada: Vehicle, ben: Vehicle
) -> None:
    with pytest.raises(Invalid) as error:
        plan(program, vehicles=[ada, ben])

    assert codes(error) == {("vehicles", "no_consent")}
    assert str(ben.pk) in str(error.value)


def test_an_amendment_makes_the_next_version(program: Program) -> None:
    event = plan(program, target_kw=100.0)

    event = grid_events.amend(event, {"ends_at": NOW + 3 * HOUR}, actor="olga", now=NOW)

    assert (event.version, event.ends_at) == (2, NOW + 3 * HOUR)


def test_the_second_of_two_amendments_is_stale(program: Program) -> None:
    seen = plan(program, target_kw=100.0)
    grid_events.amend(seen, {"target_kw": 200.0}, actor="olga", now=NOW)

    with pytest.raises(Stale):
        grid_events.amend(seen, {"target_kw": 300.0}, actor="olga", now=NOW)

    seen.refresh_from_db()
    assert seen.target_kw == 200.0


def test_a_running_event_keeps_its_start(make_event: Make) -> None:
    event = make_event(status=EventStatus.ACTIVE)

    with pytest.raises(Invalid):
        grid_events.amend(
            event, {"starts_at": NOW + HOUR}, actor="olga", now=NOW + HOUR
        )


def test_a_consent_that_ended_does_not_keep_an_event_from_ending_sooner(
    program: Program, ben: Vehicle, make_event: Make
) -> None:
    event = make_event(program, vehicles=[ben], status=EventStatus.ACTIVE)

    event = grid_events.amend(event, {"ends_at": NOW + HOUR}, actor="olga", now=NOW)

    assert event.ends_at == NOW + HOUR


# What a cancel makes of each status; None: it is refused.
CANCELLED = {
    EventStatus.DRAFT: EventStatus.CANCELLED,
    EventStatus.PENDING: EventStatus.CANCELLED,
    EventStatus.SCHEDULED: EventStatus.CANCELLED,
    EventStatus.ACTIVE: EventStatus.RESTORING,
    EventStatus.RESTORING: EventStatus.RESTORING,
    EventStatus.CANCELLED: EventStatus.CANCELLED,
    EventStatus.COMPLETED: None,
    EventStatus.SETTLED: None,
}


@pytest.mark.parametrize("status", EventStatus)
def test_a_cancel_fits_the_events_life(make_event: Make, status: EventStatus) -> None:
    event = make_event(status=status)
    expected = CANCELLED[status]

    if expected is None:
        with pytest.raises(WrongMoment):
            grid_events.cancel(event, actor="olga", now=NOW)
        return
    event = grid_events.cancel(event, actor="olga", now=NOW)

    assert event.status == expected
    assert expected == status or expected in EVENT_MOVES[status]


@pytest.mark.parametrize("status", EventStatus)
def test_only_a_running_event_ends_early(make_event: Make, status: EventStatus) -> None:
    event = make_event(status=status)

    if status not in {EventStatus.ACTIVE, EventStatus.RESTORING}:
        with pytest.raises(WrongMoment):
            grid_events.end_early(event, actor="olga", now=NOW + HOUR)
        return
    event = grid_events.end_early(event, actor="olga", now=NOW + HOUR)

    assert event.status == EventStatus.RESTORING
    if status == EventStatus.ACTIVE:
        assert event.ends_at == NOW + HOUR


def test_it_ends_at_its_very_start(make_event: Make) -> None:
    event = make_event(status=EventStatus.ACTIVE)

    event = grid_events.end_early(event, actor="olga", now=event.starts_at)

    assert event.starts_at < event.ends_at < event.starts_at + HOUR


@pytest.mark.parametrize("act", [grid_events.cancel, grid_events.end_early])
def test_an_event_that_ends_supersedes_its_queued_stops(
    program: Program, make_event: Make, make_stop: Make, act: Make
) -> None:
    event = make_event(program, status=EventStatus.ACTIVE)
    command = make_stop(event)

    act(event, actor="olga", now=NOW + HOUR)

    command.refresh_from_db()
    assert command.status == CommandStatus.SUPERSEDED


def test_a_stop_that_is_being_sent_is_left_to_its_outcome(
    program: Program, make_event: Make, make_stop: Make
) -> None:
    event = make_event(program, status=EventStatus.ACTIVE)
    command = make_stop(event, status=CommandStatus.SENDING)

    grid_events.cancel(event, actor="olga", now=NOW)

    command.refresh_from_db()
    assert command.status == CommandStatus.SENDING


def test_a_queued_restore_survives_a_cancel(
    program: Program, make_event: Make, make_stop: Make
) -> None:
    event = make_event(program, status=EventStatus.ACTIVE)
    command = make_stop(event, kind="start", is_restore=True, deadline_at=None)

    grid_events.cancel(event, actor="olga", now=NOW)

    command.refresh_from_db()
    assert command.status == CommandStatus.QUEUED


def test_the_switch_stops_what_waits_and_what_comes(
    program: Program, make_event: Make, make_stop: Make
) -> None:
    command = make_stop(make_event(program, status=EventStatus.ACTIVE))

    switch.stop_new_holds(program=None, actor="olga", now=NOW)

    command.refresh_from_db()
    assert command.status == CommandStatus.SUPERSEDED
    assert Envelope.objects.get(program=None).holds_stopped_at == NOW

    switch.allow_new_holds(program=None, actor="olga", now=NOW)

    assert Envelope.objects.get(program=None).holds_stopped_at is None


def test_the_switch_of_one_program_leaves_the_others(
    program: Program, make_program: Make, make_event: Make, make_stop: Make
) -> None:
    command = make_stop(make_event(program, status=EventStatus.ACTIVE))

    switch.stop_new_holds(program=make_program(), actor="olga", now=NOW)

    command.refresh_from_db()
    assert command.status == CommandStatus.QUEUED


def test_an_opt_out_ends_the_part_and_the_stop(
    program: Program, ada: Vehicle, make_event: Make, make_stop: Make
) -> None:
    event = make_event(program, status=EventStatus.ACTIVE)
    command = make_stop(event)

    part = grid_events.opt_out(ada, event=event, actor="ada", now=NOW)

    command.refresh_from_db()
    assert command.status == CommandStatus.SUPERSEDED
    assert (part.status, part.opted_out_at) == (ParticipationStatus.ENDED, NOW)


def test_an_opt_out_before_the_start_is_kept(
    program: Program, ada: Vehicle, make_event: Make
) -> None:
    event = make_event(program)

    grid_events.opt_out(ada, event=event, actor="ada", now=NOW - HOUR)
    part = grid_events.opt_out(ada, event=event, actor="ada", now=NOW)

    assert part.opted_out_at == NOW - HOUR
    assert AuditEntry.objects.filter(act="opt out").count() == 1


def test_a_stranger_cannot_opt_out(make_event: Make, make_vehicle: Make) -> None:
    with pytest.raises(Invalid):
        grid_events.opt_out(make_vehicle(), event=make_event(), actor="x", now=NOW)


def test_time_starts_ends_and_completes_an_event(
    program: Program, make_event: Make
) -> None:
    event = make_event(program)

    def at(moment: datetime) -> str:
        grid_events.advance(moment)
        event.refresh_from_db()
        return str(event.status)

    assert at(NOW - timedelta(seconds=1)) == EventStatus.SCHEDULED
    assert at(NOW) == EventStatus.ACTIVE
    assert at(NOW + HOUR) == EventStatus.ACTIVE
    # Nothing was held, so giving back takes no time.
    assert at(NOW + 2 * HOUR) == EventStatus.COMPLETED
    assert event.started_at == NOW
    assert event.restoring_at == event.completed_at == NOW + 2 * HOUR


def test_time_moves_nothing_twice(make_event: Make) -> None:
    event = make_event()

    assert grid_events.advance(NOW).started == [event.pk]
    assert grid_events.advance(NOW) == grid_events.Advanced()
    assert Change.objects.filter(subject="event", after="active").count() == 1


@pytest.mark.parametrize("status", [EventStatus.SCHEDULED, EventStatus.PENDING])
def test_an_event_that_never_began_is_called_off(
    make_event: Make, status: EventStatus
) -> None:
    event = make_event(status=status)

    grid_events.advance(NOW + 3 * HOUR)

    event.refresh_from_db()
    assert event.status == EventStatus.CANCELLED
    change = Change.objects.get(subject="event", after="cancelled")
    assert "before it began" in change.reason


def test_an_event_is_not_complete_while_a_car_is_owed(
    program: Program, make_event: Make, make_stop: Make
) -> None:
    event = make_event(program, status=EventStatus.ACTIVE)
    hold = make_stop(event, status=CommandStatus.ACCEPTED).hold

    assert grid_events.advance(NOW + 2 * HOUR).ended == [event.pk]

    Hold.objects.filter(pk=hold.pk).move(HoldStatus.RELEASED, now=NOW)
    assert grid_events.advance(NOW + 3 * HOUR).completed == [event.pk]
    assert Participation.objects.get().status == ParticipationStatus.ENDED


def test_an_event_waits_for_a_hold_that_another_took(
    program: Program, make_event: Make, make_stop: Make
) -> None:
    hold = make_stop(make_event(program, status=EventStatus.ACTIVE)).hold
    later = make_event(program, status=EventStatus.RESTORING)
    Participation.objects.create(
        event=later,
        vehicle=hold.vehicle,
        hold=hold,
        status=ParticipationStatus.CLAIMED,
        reason="target",
        judged_at=NOW,
    )

    grid_events.advance(NOW)

    later.refresh_from_db()
    assert later.status == EventStatus.RESTORING


def test_time_supersedes_the_stops_of_an_event_that_is_over(
    program: Program, make_event: Make, make_stop: Make
) -> None:
    command = make_stop(make_event(program, status=EventStatus.ACTIVE))

    grid_events.advance(NOW + 2 * HOUR)

    command.refresh_from_db()
    assert command.status == CommandStatus.SUPERSEDED
