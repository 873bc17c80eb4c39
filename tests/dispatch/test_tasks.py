"""What the queue wakes: turns that were asked for, and turns that came too late."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest

from dispatch import control, live, tasks
from dispatch.models import LoopTurn, QuarterSample
from fleets import clock
from fleets.models import Program, Vehicle
from tests.factories import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[datetime]]:
    """Return the turns that are taken, in a process that has taken none."""
    taken: list[datetime] = []
    monkeypatch.setattr(control, "turn", lambda *, now: taken.append(now))
    monkeypatch.setattr(live, "publish", lambda now: None)
    monkeypatch.setattr(tasks, "wake", lambda task: None)
    monkeypatch.setattr(tasks, "_turns", tasks._Turns())
    yield taken
    assert not LoopTurn.objects.exists()


def ago(seconds: float) -> float:
    return (clock.real_now() - timedelta(seconds=seconds)).timestamp()


def test_readings_that_the_last_turn_has_seen_need_no_other(
    turns: list[datetime],
) -> None:
    tasks.tick(ago(2))

    for seconds in (3, 2, 1):  # a storm queues one for every batch
        tasks.tick(ago(seconds))

    assert len(turns) == 1


def test_readings_after_the_last_turn_began_get_their_own(
    turns: list[datetime],
) -> None:
    tasks.tick(ago(2))

    tasks.tick(ago(0))

    assert len(turns) == 2


def test_a_turn_that_is_due_by_the_clock_is_always_taken(
    turns: list[datetime],
) -> None:
    tasks.tick(ago(2))

    tasks.tick()

    assert len(turns) == 2


def test_looking_ahead_may_run_twice(
    program: Program, ada: Vehicle, set_clock: Callable[[datetime], None]
) -> None:
    set_clock(NOW)

    tasks.look_ahead()
    tasks.look_ahead()

    assert QuarterSample.objects.get(program=program).at == NOW
