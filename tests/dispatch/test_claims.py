"""Tokens first, then that many commands: what a claim takes, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from dispatch import claims
from dispatch.lifecycle import CommandStatus, EventStatus, ParticipationStatus
from dispatch.models import (
    Change,
    Command,
    Envelope,
    GridEvent,
    Participation,
)
from fleets.models import Bucket, Enrolment, Program
from fleets.providers.base import VehicleKey
from tests.dispatch.senders import application, claim, make_due, make_sender
from tests.dispatch.together import at_once
from tests.factories import HOUR, NOW

__all__ = ["application", "make_due"]  # fixtures

Make = Callable[..., Any]
MINUTE = timedelta(minutes=1)
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("application")]


@pytest.fixture
def event(program: Program, make_event: Make) -> GridEvent:
    running: GridEvent = make_event(program, status=EventStatus.ACTIVE)
    return running


def test_a_claim_takes_a_due_command_and_says_what_to_call(
    event: GridEvent, make_due: Make
) -> None:
    command = make_due(event, attempt=1, may_have_landed=True)
    sender = make_sender()

    (job,) = claim(sender)

    assert job.key == VehicleKey(
        command.vehicle.external_id, command.vehicle.account.external_id
    )
    assert (job.command_id, job.vehicle_id, job.hold_id) == (
        command.pk, command.vehicle_id, command.hold_id,
    )  # fmt: skip
    assert (job.kind, job.is_restore, job.is_read) == ("stop", False, False)
    assert (job.attempt, job.may_have_landed) == (2, True)
    assert job.freshness_seconds == 300.0
    command.refresh_from_db()
    assert command.status == CommandStatus.SENDING
    assert (command.sender, command.attempt, command.sent_at) == (sender, 2, NOW)
    change = Change.objects.get()
    assert (change.before, change.after, change.at) == ("queued", "sending", NOW)


def test_an_answer_outlives_the_next_claim(event: GridEvent, make_due: Make) -> None:
    """Should this call never leave, the last answer is still the last."""
    make_due(event, answered_at=NOW - HOUR)

    claim()

    assert Command.objects.get().answered_at == NOW - HOUR


def test_a_command_waits_for_its_time(event: GridEvent, make_due: Make) -> None:
    make_due(event, due_at=NOW + MINUTE)

    assert claim(seconds=59) == []
    assert len(claim(seconds=60)) == 1


@pytest.mark.parametrize("status", set(CommandStatus) - {CommandStatus.QUEUED})
def test_only_what_is_queued_is_sent(
    event: GridEvent, make_due: Make, status: CommandStatus
) -> None:
    make_due(event, status=status)

    assert claim() == []


def test_restores_come_first_by_their_latest_start(
    event: GridEvent, make_due: Make
) -> None:
    stop = make_due(event, due_at=NOW - HOUR)
    whenever = make_due(event, is_restore=True, due_at=NOW - HOUR)
    late = make_due(event, is_restore=True, latest_start_at=NOW + 2 * HOUR)
    soon = make_due(event, is_restore=True, latest_start_at=NOW + HOUR)

    taken = [job.command_id for _ in range(4) for job in claim(room=1)]

    assert taken == [soon.pk, late.pk, whenever.pk, stop.pk]


def test_stops_come_in_the_order_in_which_they_are_due(
    event: GridEvent, make_due: Make
) -> None:
    second = make_due(event)
    first = make_due(event, due_at=NOW - MINUTE)

    assert [job.command_id for job in claim(room=1)] == [first.pk]
    assert [job.command_id for job in claim(room=1)] == [second.pk]


def opt_out(command: Command) -> None:
    Participation.objects.update(opted_out_at=NOW)


def end_participation(command: Command) -> None:
    Participation.objects.update(status=ParticipationStatus.ENDED)


def withdraw(command: Command) -> None:
    Enrolment.objects.update(status="withdrawn", withdrawn_at=NOW)


def change_program(command: Command) -> None:
    other = Program.objects.create(code="other", name="Other")
    Enrolment.objects.update(program=other)


def cancel(command: Command) -> None:
    GridEvent.objects.update(status=EventStatus.RESTORING)


def amend(command: Command) -> None:
    GridEvent.objects.update(version=2)


def end_event(command: Command) -> None:
    GridEvent.objects.update(starts_at=NOW - HOUR, ends_at=NOW)


def reach_deadline(command: Command) -> None:
    Command.objects.update(deadline_at=NOW)


def _switch(program: Program | None) -> None:
    Envelope.objects.of(program)
    Envelope.objects.filter(program=program).update(holds_stopped_at=NOW)


def stop_holds_here(command: Command) -> None:
    _switch(command.event.program)


def stop_holds_everywhere(command: Command) -> None:
    _switch(None)


OVERTAKERS = [
    opt_out, end_participation, withdraw, change_program, cancel, amend, end_event,
    reach_deadline, stop_holds_here, stop_holds_everywhere,
]  # fmt: skip


@pytest.mark.parametrize("overtake", OVERTAKERS)
def test_a_stop_that_is_not_wanted_any_more_is_left(
    event: GridEvent, make_due: Make, overtake: Callable[[Command], None]
) -> None:
    overtake(make_due(event))

    assert claim() == []


@pytest.mark.parametrize("overtake", OVERTAKERS)
def test_a_claimed_stop_is_asked_about_once_more(
    event: GridEvent, make_due: Make, overtake: Callable[[Command], None]
) -> None:
    command = make_due(event)
    jobs = claim()
    assert claims.still_wanted(jobs, now=NOW) == jobs

    overtake(command)

    assert claims.still_wanted(jobs, now=NOW) == []


@pytest.mark.parametrize(
    "overtake", [one for one in OVERTAKERS if one is not reach_deadline]
)
def test_nothing_overtakes_a_restore(
    event: GridEvent, make_due: Make, overtake: Callable[[Command], None]
) -> None:
    overtake(make_due(event, is_restore=True))

    jobs = claim()

    assert len(jobs) == 1
    assert claims.still_wanted(jobs, now=NOW) == jobs


def test_the_switch_of_another_program_stops_nothing(
    event: GridEvent, make_due: Make, make_program: Make
) -> None:
    make_due(event)
    _switch(make_program())

    assert len(claim()) == 1


def test_an_unproven_command_is_read_when_that_is_due(
    event: GridEvent, make_due: Make
) -> None:
    for status in (CommandStatus.UNKNOWN, CommandStatus.ACCEPTED):
        make_due(event, status=status, read_due_at=NOW)
    make_due(event, status=CommandStatus.CONFIRMED, read_due_at=NOW)
    make_due(event, status=CommandStatus.ACCEPTED, read_due_at=NOW + MINUTE)

    jobs = claim()

    assert [job.is_read for job in jobs] == [True, True]
    assert Change.objects.count() == 0, "a read moves nothing"


def test_a_read_waits_longer_each_time(event: GridEvent, make_due: Make) -> None:
    make_due(event, status=CommandStatus.UNKNOWN, read_due_at=NOW)

    claim()
    command = Command.objects.get()
    assert (command.reads, command.read_due_at) == (1, NOW + 2 * MINUTE)

    claim(minutes=2)
    command = Command.objects.get()
    assert (command.reads, command.read_due_at) == (2, NOW + 6 * MINUTE)


def test_reads_leave_the_reserve_to_restores(event: GridEvent, make_due: Make) -> None:
    Bucket.objects.update(tokens=24)
    make_due(event, status=CommandStatus.UNKNOWN, read_due_at=NOW)

    assert claim() == []


@pytest.mark.django_db(transaction=True)
def test_a_claim_does_not_wait_for_a_command_that_is_being_moved(
    event: GridEvent, make_due: Make
) -> None:
    locked, free = make_due(event), make_due(event)

    def impatient() -> object:
        with connection.cursor() as cursor:
            cursor.execute("set lock_timeout = '2s'")
        return [job.command_id for job in claim()]

    with transaction.atomic():
        Command.objects.select_for_update().get(pk=locked.pk)
        assert at_once(impatient) == [[free.pk]]
