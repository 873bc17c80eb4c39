"""A limit's write leaves after its look, however long that took."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from dispatch import draining, fanout, switch
from dispatch.lifecycle import CommandStatus, EventStatus
from dispatch.models import Command, Envelope, GridEvent, Hold
from fleets import clock
from fleets.models import Program
from fleets.providers.base import Receipt, Report, VehicleKey
from tests.dispatch.conftest import House
from tests.dispatch.senders import make_due
from tests.factories import NOW

__all__ = ["make_due"]  # a fixture

Make = Callable[..., Any]
CAR_KW = 7.0
KW_PER_MINUTE = 14.0
MINUTE = timedelta(minutes=1)
# How much time passes in a tenth of a second.
STEP = timedelta(seconds=5)


class SlowToLook:
    """A provider whose first looks take until all cars are looked at."""

    def __init__(self, house: House, *, cars: int, limit_percent: float) -> None:
        self.cars = cars
        self.limit_percent = limit_percent
        self.looks = 0
        self.written: list[datetime] = []
        house.provider.read = self.read  # type: ignore[method-assign]
        house.provider.set_charge_limit = self.write  # type: ignore[method-assign]

    async def read(self, key: VehicleKey) -> Report:
        self.looks += 1
        while self.looks < self.cars:
            await asyncio.sleep(0.02)
        return Report(
            key.vehicle_id,
            clock.now(),
            is_plugged_in=True,
            is_charging=True,
            soc_percent=60.5,
            limit_percent=self.limit_percent,
        )

    async def write(self, key: VehicleKey, percent: int) -> Receipt:
        self.written.append(clock.now())
        return Receipt("r")

    def most_kw_in_a_minute(self) -> float:
        """Return the most that any minute saw, in kW."""
        return CAR_KW * max(
            sum(at <= one < at + MINUTE for one in self.written) for at in self.written
        )


@pytest.fixture
def of_limits(program: Program, make_event: Make, make_due: Make) -> Make:
    """Return a maker of cars whose limit is to be lowered, or set back, at once."""
    event: GridEvent = make_event(program, status=EventStatus.ACTIVE)
    Envelope.objects.create(
        program=program,
        max_kw=1e4,
        max_cars=10_000,
        max_kw_per_minute=KW_PER_MINUTE,
    )

    def make(count: int, *, is_restore: bool) -> None:
        percent = 80 if is_restore else 60
        for _ in range(count):
            command = make_due(
                event, is_restore=is_restore, kind="set limit", percent=percent
            )
            Hold.objects.filter(pk=command.hold_id).update(
                tactic="limit", our_limit_percent=60, limit_percent=80
            )

    return make


@pytest.fixture
def at_each_step(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Let time pass by itself, a step a slice; return what is called at each."""
    called: list[Callable[[], None]] = []
    seconds = 0.0

    def follow() -> None:
        clock.follow(
            clock.Timeline(clock.real_now(), NOW + timedelta(seconds=seconds), 0.0)
        )

    write = fanout._write_limits

    def step_and_write(sending: fanout.Sending) -> None:
        nonlocal seconds
        seconds += STEP.total_seconds()
        follow()
        for call in called:
            call()
        write(sending)

    monkeypatch.setattr(fanout, "_write_limits", step_and_write)
    monkeypatch.setattr(fanout, "SLICE_SECONDS", 0.02)
    follow()
    return called


@pytest.mark.parametrize("is_restore", [False, True])
@pytest.mark.usefixtures("at_each_step")
def test_writes_after_slow_looks_keep_the_kw_a_minute(
    house: House, of_limits: Make, is_restore: bool
) -> None:
    of_limits(6, is_restore=is_restore)
    shown = 60.0 if is_restore else 80.0
    provider = SlowToLook(house, cars=6, limit_percent=shown)

    fanout.run(house.line)

    assert len(provider.written) == 6
    assert provider.looks == 6  # waited for with what they showed
    assert provider.most_kw_in_a_minute() <= KW_PER_MINUTE


def test_the_switch_wins_while_a_write_waits(
    house: House, of_limits: Make, at_each_step: list[Callable[[], None]]
) -> None:
    of_limits(6, is_restore=False)
    provider = SlowToLook(house, cars=6, limit_percent=80.0)

    def stop_at_the_first_write() -> None:
        if provider.written:
            switch.stop_new_holds(program=None, actor="ada", now=clock.now())

    at_each_step.append(stop_at_the_first_write)

    fanout.run(house.line)

    assert 1 <= len(provider.written) <= KW_PER_MINUTE / CAR_KW
    statuses = Counter(Command.objects.values_list("status", flat=True))
    assert statuses[CommandStatus.SUPERSEDED] == 6 - len(provider.written)
    assert statuses[CommandStatus.ACCEPTED] == len(provider.written)


@pytest.mark.usefixtures("at_each_step")
def test_what_was_looked_at_too_long_ago_goes_back_to_the_queue(
    house: House, of_limits: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "LOOK_HOLDS_SECONDS", 0.0)
    of_limits(4, is_restore=False)
    provider = SlowToLook(house, cars=4, limit_percent=80.0)

    fanout.run(house.line)

    found = Command.objects.values_list("status", "attempt")
    assert list(found) == [(CommandStatus.QUEUED, 0)] * 4
    assert provider.written == []


def test_a_worker_that_is_to_end_puts_back_what_waits(
    house: House, of_limits: Make, at_each_step: list[Callable[[], None]]
) -> None:
    of_limits(6, is_restore=False)
    provider = SlowToLook(house, cars=6, limit_percent=80.0)
    at_each_step.append(lambda: draining.begin() if provider.written else None)

    try:
        fanout.run(house.line)
    finally:
        draining.forget()

    left = Command.objects.exclude(status=CommandStatus.ACCEPTED)
    assert {(one.status, one.attempt) for one in left} == {(CommandStatus.QUEUED, 0)}
    assert left.count() == 6 - len(provider.written) > 0


def test_a_run_that_breaks_leaves_nothing_behind_as_sending(
    house: House, of_limits: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_limits(2, is_restore=False)
    SlowToLook(house, cars=2, limit_percent=80.0)

    def wait(sending: fanout.Sending) -> None:
        if sending.looks:
            raise ZeroDivisionError

    monkeypatch.setattr(fanout, "_write_limits", wait)

    with pytest.raises(ZeroDivisionError):
        fanout.run(house.line)

    found = Command.objects.values_list("status", flat=True)
    assert set(found) == {CommandStatus.UNKNOWN}
