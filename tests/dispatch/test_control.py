"""A turn of the loop beside everything else that happens at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event as Signal
from typing import Any

import pytest

from dispatch import claims, control, holds, planner
from dispatch.lifecycle import CommandStatus, EventStatus, HoldStatus
from dispatch.models import Alarm, Change, Command, GridEvent, Hold, LoopTurn, Sender
from dispatch.planner import Intents
from fleets.models import Bucket, Program, Vehicle
from tests.dispatch.together import at_once
from tests.factories import HOUR, NOW
from tests.statements import statements

Make = Callable[..., Any]
at_the_same_time = pytest.mark.django_db(transaction=True)


@pytest.fixture
def event(
    program: Program, ada: Vehicle, make_event: Make, give_calls: Make
) -> GridEvent:
    """Return an event that runs over Ada's car, which charges."""
    Bucket.objects.create(
        name="application",
        capacity=120,
        refill_per_minute=2,
        tokens=120,
        refilled_at=NOW,
    )
    give_calls(ada)
    running: GridEvent = make_event(program, status=EventStatus.ACTIVE)
    return running


@pytest.fixture
def sender(db: None) -> Sender:
    return Sender.objects.create(
        id="a0b1c2d3-0000-4000-8000-000000000000",
        host="here",
        pid=1,
        started_at=NOW,
        heartbeat_at=NOW,
    )


@pytest.fixture
def between_look_and_act(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that plants an act of others between a turn's two halves."""

    def plant(act: Callable[[], object]) -> None:
        decide = planner.decide

        def decide_then(*args: Any, **kwargs: Any) -> Intents:
            intents = decide(*args, **kwargs)
            at_once(act)
            return intents

        monkeypatch.setattr(planner, "decide", decide_then)

    return plant


def test_a_turn_leaves_a_sign_of_life(db: None) -> None:
    control.turn(now=NOW)
    control.turn(now=NOW + HOUR)

    assert LoopTurn.objects.get().at == NOW + HOUR


def test_a_turn_holds_what_charges(event: GridEvent, ada: Vehicle) -> None:
    control.turn(now=NOW)

    assert Hold.objects.get().vehicle == ada
    assert Command.objects.get().deadline_at == event.ends_at


def test_a_program_whose_turn_fails_keeps_no_other_from_its_own(
    event: GridEvent, ada: Vehicle, make_program: Make, make_event: Make
) -> None:
    """Turns go by number, and this one is first."""
    broken = make_program("mars", pk=event.program_id - 1, time_zone="Mars/X")
    make_event(broken, status=EventStatus.ACTIVE)

    control.turn(now=NOW)

    assert Hold.objects.get().vehicle == ada
    alarm = Alarm.objects.get(key=f"program:{broken.pk}:turn")
    assert alarm.severity == Alarm.Severity.CRITICAL

    Program.objects.filter(pk=broken.pk).update(time_zone="UTC")
    control.turn(now=NOW)
    alarm.refresh_from_db()
    assert alarm.cleared_at == NOW


def test_a_second_turn_changes_nothing(event: GridEvent) -> None:
    control.turn(now=NOW)
    changes = Change.objects.count()

    assert not control.evaluate(event.program, now=NOW)
    assert Change.objects.count() == changes


def test_a_stop_whose_time_is_over_expires(event: GridEvent, make_stop: Make) -> None:
    make_stop(event, deadline_at=NOW)

    control.turn(now=NOW)

    assert Command.objects.order_by("id").first().status == CommandStatus.EXPIRED  # type: ignore[union-attr]


def test_a_program_that_owes_is_evaluated_without_an_event(
    event: GridEvent, make_stop: Make
) -> None:
    make_stop(event)
    GridEvent.objects.update(status=EventStatus.COMPLETED)

    control.turn(now=NOW)

    assert Hold.objects.get().status == HoldStatus.RELEASED


@at_the_same_time
def test_of_two_turns_at_once_one_works(
    event: GridEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, done = Signal(), Signal()
    act = holds.act

    def slow_act(*args: Any, **kwargs: Any) -> None:
        act(*args, **kwargs)
        inside.set()
        assert done.wait(10)

    monkeypatch.setattr(holds, "act", slow_act)

    def first() -> object:
        return len(control.evaluate(event.program, now=NOW))

    def second() -> object:
        assert inside.wait(10)
        try:
            return len(control.evaluate(event.program, now=NOW))
        finally:
            done.set()

    assert at_once(first, second) == [1, 0]
    assert Hold.objects.count() == 1


@at_the_same_time
def test_a_stop_that_leaves_while_a_turn_drops_it_stays_owed(
    event: GridEvent,
    make_stop: Make,
    sender: Sender,
    between_look_and_act: Callable[..., None],
) -> None:
    make_stop(event)
    Vehicle.objects.update(is_charging=False)
    between_look_and_act(lambda: claims.claim(sender, claims.due(NOW), room=5, now=NOW))

    control.evaluate(event.program, now=NOW)

    assert Command.objects.get().status == CommandStatus.SENDING
    assert Hold.objects.get().status == HoldStatus.TAKING


@at_the_same_time
def test_a_start_waits_for_a_stop_that_leaves_while_a_turn_decides(
    event: GridEvent,
    make_stop: Make,
    sender: Sender,
    between_look_and_act: Callable[..., None],
) -> None:
    make_stop(event, may_have_landed=True)  # an earlier one; this is its repetition
    Hold.objects.update(latest_start_at=NOW)  # it must be given back now
    between_look_and_act(lambda: claims.claim(sender, claims.due(NOW), room=5, now=NOW))

    control.evaluate(event.program, now=NOW)

    assert [command.status for command in Command.objects.all()] == ["sending"]
    assert Hold.objects.get().status == HoldStatus.TAKING


@pytest.fixture
def queries_of(event: GridEvent) -> Iterator[Callable[[], int]]:
    def count() -> int:
        with statements() as asked:
            control.turn(now=NOW)
        return len(asked)

    yield count


@pytest.mark.parametrize("held", [False, True])
def test_a_turn_costs_the_same_for_any_number_of_cars(
    program: Program, make_enrolment: Make, queries_of: Callable[[], int], held: bool
) -> None:
    def more(n: int) -> None:
        for _ in range(n):
            make_enrolment(program)
        if held:
            control.turn(now=NOW)
            GridEvent.objects.update(ends_at=NOW + HOUR)

    more(1)
    few = queries_of()
    more(10)
    many = queries_of()

    assert many == few <= 49
