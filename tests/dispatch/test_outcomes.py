"""What came of calls, written down: guarded, in bulk, and never twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from dispatch import outcomes
from dispatch.jobs import Job
from dispatch.lifecycle import CommandStatus, EventStatus, HoldStatus
from dispatch.models import Alarm, Change, Command, GridEvent, Hold, Participation
from dispatch.outcomes import PAUSE_SECONDS, Outcome
from dispatch.planner import Reason
from fleets import clock
from fleets.models import Bucket, Program, ProviderAccount, Vehicle, VehicleBucket
from fleets.providers.base import (
    AccessRevoked,
    CarState,
    NothingToDo,
    OutcomeUnknown,
    ProviderError,
    Receipt,
    Refused,
    Rejected,
    Report,
    Scope,
    TryLater,
)
from tests.dispatch.senders import application, claim, make_due, make_sender
from tests.factories import HOUR, NOW
from tests.statements import statements

__all__ = ["application", "make_due"]  # fixtures

Make = Callable[..., Any]
MINUTE = timedelta(minutes=1)
LATE = timedelta(seconds=310 + 300)  # the longest answer, and a Tesla's freshness
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("application")]


@pytest.fixture
def event(
    program: Program, make_event: Make, set_clock: Callable[[datetime], None]
) -> GridEvent:
    set_clock(NOW)
    running: GridEvent = make_event(program, status=EventStatus.ACTIVE)
    return running


def end(
    result: Receipt | Report | ProviderError | None, *jobs: Job, sender: Any
) -> None:
    """Let these calls end so, at NOW."""
    outcomes.record([Outcome(job, result, NOW) for job in jobs], sender=sender, now=NOW)


def send(result: Receipt | Report | ProviderError | None) -> Job:
    """Claim the one job that is due, and let its call end so."""
    sender = make_sender()
    (job,) = claim(sender)
    end(result, job, sender=sender)
    return job


def test_an_accepted_stop_waits_for_a_reading(event: GridEvent, make_due: Make) -> None:
    make_due(event)

    send(Receipt("request-1"))

    command = Command.objects.get()
    assert command.status == CommandStatus.ACCEPTED
    assert command.request_id == "request-1"
    assert command.answered_at == NOW
    assert command.read_due_at == NOW + timedelta(seconds=360)
    assert command.may_have_landed
    assert command.sender is None
    change = Change.objects.latest("id")
    assert (change.before, change.after) == ("sending", "accepted")
    assert Hold.objects.get().status == HoldStatus.TAKING


def test_a_later_call_keeps_the_request_it_knows(
    event: GridEvent, make_due: Make
) -> None:
    make_due(event, request_id="request-1", may_have_landed=True)

    send(TryLater("VEHICLE_STATE:BUSY"))

    command = Command.objects.get()
    assert (command.code, command.request_id) == ("VEHICLE_STATE:BUSY", "request-1")
    assert command.may_have_landed, "what landed once has landed"


def test_a_try_that_must_wait_is_due_again_later(
    event: GridEvent, make_due: Make
) -> None:
    make_due(event)

    send(TryLater("VEHICLE_STATE:BUSY"))

    command = Command.objects.get()
    assert command.status == CommandStatus.QUEUED
    assert command.due_at == NOW + timedelta(seconds=30)
    assert command.attempt == 1, "it left, so it counts"
    assert not command.may_have_landed


def test_an_outcome_of_another_attempt_falls(event: GridEvent, make_due: Make) -> None:
    make_due(event)
    sender = make_sender()
    (job,) = claim(sender)

    end(Receipt(), replace(job, attempt=job.attempt + 1), sender=sender)

    assert Command.objects.get().status == CommandStatus.SENDING


def test_an_outcome_of_another_sender_falls(event: GridEvent, make_due: Make) -> None:
    make_due(event)
    (job,) = claim(make_sender())

    end(Receipt(), job, sender=make_sender())

    assert Command.objects.get().status == CommandStatus.SENDING


def test_an_outcome_that_comes_after_its_senders_death_changes_nothing(
    event: GridEvent, make_due: Make
) -> None:
    make_due(event)
    sender = make_sender()
    (job,) = claim(sender)
    outcomes.bury([sender.pk], now=NOW)

    end(Refused("VEHICLE_STATE:NO"), job, sender=sender)

    assert Command.objects.get().status == CommandStatus.UNKNOWN
    assert Hold.objects.get().status == HoldStatus.TAKING
    assert Participation.objects.get().status == "claimed"


def test_an_outcome_counts_once(event: GridEvent, make_due: Make) -> None:
    make_due(event)
    sender = make_sender()
    (job,) = claim(sender)
    end(Receipt(), job, sender=sender)
    changes = Change.objects.count()

    end(Rejected("LATER"), job, sender=sender)

    assert Command.objects.get().status == CommandStatus.ACCEPTED
    assert Change.objects.count() == changes


def test_a_job_that_never_left_is_put_back_as_if_it_had_not_been_claimed(
    event: GridEvent, make_due: Make
) -> None:
    before = make_due(event, attempt=1, answered_at=NOW - HOUR, due_at=NOW - MINUTE)
    sender = make_sender()

    end(None, *claim(sender), sender=sender)

    command = Command.objects.get()
    assert (command.status, command.attempt) == (CommandStatus.QUEUED, 1)
    assert command.answered_at == before.answered_at
    assert command.due_at == NOW
    assert command.sender is None


def test_a_job_that_something_overtook_is_superseded(
    event: GridEvent, make_due: Make
) -> None:
    make_due(event)
    sender = make_sender()

    outcomes.withdraw(claim(sender), sender=sender, now=NOW)

    command = Command.objects.get()
    assert (command.status, command.attempt) == (CommandStatus.SUPERSEDED, 0)
    assert command.code == "overtaken before it was sent"
    assert command.answered_at is None
    assert Hold.objects.get().status == HoldStatus.TAKING, "the next turn closes it"


# --- unknown ---


@pytest.mark.parametrize(
    ("is_restore", "owed_until"),
    [
        # it may land as late as the longest answer, seen as late as the make reports
        (False, NOW + LATE),
        # a start that lands late takes nothing
        (True, None),
    ],
)
def test_an_unknown_stop_stays_owed_for_as_long_as_it_may_land(
    event: GridEvent, make_due: Make, is_restore: bool, owed_until: datetime | None
) -> None:
    make_due(event, is_restore=is_restore)

    send(OutcomeUnknown("UPSTREAM:NO_RESPONSE"))

    command = Command.objects.get()
    assert command.status == CommandStatus.UNKNOWN
    assert command.read_due_at == NOW + MINUTE
    assert Hold.objects.get().owed_until == owed_until


def test_what_is_owed_longer_already_stays_so(event: GridEvent, make_due: Make) -> None:
    make_due(event)
    Hold.objects.update(owed_until=NOW + HOUR)

    send(OutcomeUnknown("UPSTREAM:NO_RESPONSE"))

    assert Hold.objects.get().owed_until == NOW + HOUR


def test_what_a_sender_held_when_it_died_is_unknown(
    event: GridEvent, make_due: Make
) -> None:
    stop, start = make_due(event), make_due(event, is_restore=True)
    dead, alive = make_sender(), make_sender()
    claim(dead)
    other = make_due(event)
    claim(alive)

    assert outcomes.bury([dead.pk], now=NOW) == 2

    for command in (stop, start):
        command.refresh_from_db()
        assert command.status == CommandStatus.UNKNOWN
        assert command.may_have_landed
        assert (command.answered_at, command.read_due_at) == (NOW, NOW)
        assert command.sender is None
    other.refresh_from_db()
    assert other.status == CommandStatus.SENDING
    owed = dict(Hold.objects.values_list("commands", "owed_until"))
    assert owed == {stop.pk: NOW + LATE, start.pk: None, other.pk: None}
    told = Change.objects.filter(reason="sender died").values_list("subject_id")
    assert {pk for (pk,) in told} == {stop.pk, start.pk}


def test_what_nobody_holds_is_buried_too(event: GridEvent, make_due: Make) -> None:
    make_due(event, status=CommandStatus.SENDING)

    assert outcomes.bury([], now=NOW) == 1


# --- nothing taken ---


def test_a_stop_that_took_nothing_closes_its_hold(
    event: GridEvent, make_due: Make
) -> None:
    make_due(event)

    send(NothingToDo("VEHICLE_STATE:" + "X" * 80, CarState.NOT_CHARGING))

    hold, part = Hold.objects.get(), Participation.objects.get()
    assert (hold.status, hold.closed_at) == (HoldStatus.RELEASED, NOW)
    assert hold.close_reason == Reason.REFUSED, "of whatever length the words are"
    assert (part.status, part.reason) == ("spared", Reason.REFUSED)
    assert part.judged_at == NOW


def test_a_stop_refused_after_one_that_may_have_landed_keeps_its_hold(
    event: GridEvent, make_due: Make
) -> None:
    make_due(event, may_have_landed=True)

    send(Refused("VEHICLE_STATE:NO"))

    assert Command.objects.get().status == CommandStatus.FAILED
    assert Hold.objects.get().status == HoldStatus.TAKING


def test_a_refused_restore_is_owed_and_alarmed_once(
    event: GridEvent, make_due: Make
) -> None:
    command = make_due(event, is_restore=True)
    send(AccessRevoked("CONNECTED_SERVICES_ACCOUNT:AUTHENTICATION_FAILED"))
    Command.objects.update(due_at=NOW)

    send(AccessRevoked("CONNECTED_SERVICES_ACCOUNT:AUTHENTICATION_FAILED"))

    assert Command.objects.get().status == CommandStatus.QUEUED
    assert Alarm.objects.get().key == f"hold:{command.hold_id}:refused"


# --- what the provider says to all ---


def test_lost_access_is_noted_once_at_the_account(
    event: GridEvent, make_due: Make
) -> None:
    command, other = make_due(event), make_due(event, due_at=NOW + HOUR)

    send(AccessRevoked("PERMISSION"))

    noted = ProviderAccount.objects.values_list("vehicles", "reconnect_needed_at")
    assert dict(noted) == {command.vehicle_id: NOW, other.vehicle_id: None}

    ProviderAccount.objects.update(reconnect_needed_at=NOW - HOUR)
    Command.objects.filter(pk=other.pk).update(due_at=NOW)
    send(AccessRevoked("PERMISSION"))

    moments = ProviderAccount.objects.values_list("reconnect_needed_at", flat=True)
    assert set(moments) == {NOW - HOUR}, "the first time counts"


def test_access_is_back_when_a_command_is_taken_again(
    event: GridEvent, make_due: Make
) -> None:
    command, other = (
        make_due(event, is_restore=True),
        make_due(event, due_at=NOW + HOUR),
    )
    ProviderAccount.objects.update(reconnect_needed_at=NOW - HOUR)

    send(Receipt("r1"))

    noted = ProviderAccount.objects.values_list("vehicles", "reconnect_needed_at")
    assert dict(noted) == {command.vehicle_id: None, other.vehicle_id: NOW - HOUR}


@pytest.mark.parametrize(
    ("said", "waits"), [(90.0, 90.0), (0.0, PAUSE_SECONDS), (None, None)]
)
def test_a_car_waits_as_long_as_the_provider_says(
    event: GridEvent, make_due: Make, said: float | None, waits: float | None
) -> None:
    command = make_due(event)
    make_due(event, due_at=NOW + HOUR)

    send(TryLater("RATE_LIMIT:VEHICLE", wait_seconds=said))

    until = None if waits is None else NOW + timedelta(seconds=waits)
    pauses = dict(VehicleBucket.objects.values_list("vehicle_id", "blocked_until"))
    assert pauses.pop(command.vehicle_id) == until
    assert set(pauses.values()) == {None}
    assert Bucket.objects.get().blocked_until is None


@pytest.mark.parametrize(
    ("scope", "name"), [(Scope.APPLICATION, "application"), (Scope.MAKE, "make:TESLA")]
)
def test_everybody_waits_as_long_as_the_provider_says(
    event: GridEvent, make_due: Make, scope: Scope, name: str
) -> None:
    make_due(event)

    send(TryLater("RATE_LIMIT:X", wait_seconds=90.0, scope=scope))

    bucket = Bucket.objects.get(name=name)
    assert bucket.blocked_until == NOW + timedelta(seconds=90)
    assert bucket.tokens == 0, "what we thought was left is not"
    assert VehicleBucket.objects.get().blocked_until is None


def test_a_reports_command_waits_for_the_reading(
    event: GridEvent, make_due: Make
) -> None:
    make_due(event, status=CommandStatus.UNKNOWN, read_due_at=NOW)
    car = Vehicle.objects.get()

    send(Report(car.external_id, NOW, is_charging=False))

    assert Command.objects.get().status == CommandStatus.UNKNOWN
    assert Change.objects.count() == 0


def test_a_failed_read_moves_no_command_but_is_obeyed(
    event: GridEvent, make_due: Make
) -> None:
    make_due(event, status=CommandStatus.UNKNOWN, read_due_at=NOW)

    send(TryLater("RATE_LIMIT:VEHICLE", wait_seconds=90.0))

    assert Command.objects.get().status == CommandStatus.UNKNOWN
    assert VehicleBucket.objects.get().blocked_until == NOW + timedelta(seconds=90)


@pytest.mark.parametrize(
    "result",
    [
        Receipt(),
        OutcomeUnknown("x"),
        TryLater("x"),
        TryLater("x", wait_seconds=9.0),
        Refused("x"),
        None,
    ],
)
def test_more_outcomes_cost_no_more_queries(
    event: GridEvent, make_due: Make, result: Receipt | ProviderError | None
) -> None:
    def queries(n: int) -> int:
        for _ in range(n):
            make_due(event)
        sender = make_sender()
        jobs = claim(sender)
        clock.timeline()  # read now, not while queries are counted
        with statements() as asked:
            end(result, *jobs, sender=sender)
        Command.objects.update(due_at=NOW + HOUR)
        return len(asked)

    assert queries(1) == queries(4)
