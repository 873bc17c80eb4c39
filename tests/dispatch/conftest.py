"""A provider that does what a test says, and a house to take turns in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from dispatch import control, fanout
from dispatch.line import Line
from fleets import clock, telemetry
from fleets.models import Bucket, Vehicle, VehicleBucket
from fleets.providers.base import (
    Connection,
    ProviderError,
    Receipt,
    Report,
    VehicleKey,
)
from tests.factories import NOW


@dataclass
class ScriptedProvider:
    """Accepts everything, unless `answers` holds something else for a car."""

    answers: dict[str, list[ProviderError]] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    reports: dict[str, Report] = field(default_factory=dict)

    def fresh_token(self, now: datetime) -> str:
        return "token"

    def renew_token(self, now: datetime) -> str:
        return "token"

    async def stop_charging(self, key: VehicleKey) -> Receipt:
        return self._answer("stop", key)

    async def start_charging(self, key: VehicleKey) -> Receipt:
        return self._answer("start", key)

    async def set_charge_limit(self, key: VehicleKey, percent: int) -> Receipt:
        return self._answer("set limit", key)

    async def read(self, key: VehicleKey) -> Report:
        self._answer("read", key)
        return self.reports[key.vehicle_id]

    async def connections(self) -> AsyncIterator[Connection]:
        return
        yield

    def _answer(self, kind: str, key: VehicleKey) -> Receipt:
        self.calls.append((kind, key.vehicle_id))
        if waiting := self.answers.get(key.vehicle_id):
            raise waiting.pop(0)
        return Receipt("request-1")


@dataclass
class House:
    """Time, cars and the loop in one hand: everything happens when the test says."""

    provider: ScriptedProvider
    line: Line
    set_clock: Callable[[datetime], None]
    now: datetime = NOW

    def wait(self, **span: float) -> datetime:
        """Let time pass."""
        self.now += timedelta(**span)
        self.set_clock(self.now)
        return self.now

    def turn(self) -> None:
        """Take one turn of the loop."""
        control.turn(now=self.now)

    def send(self) -> list[tuple[str, str]]:
        """Send what is due; return the calls."""
        before = len(self.provider.calls)
        fanout.run(self.line)
        return self.provider.calls[before:]

    def report(self, vehicle: Vehicle, **state: object) -> None:
        """Let a car report itself, a second from now."""
        self.wait(seconds=1)
        telemetry.record(
            [Report(vehicle.external_id, observed_at=self.now, **state)],  # type: ignore[arg-type]
            source="webhook",
            now=self.now,
        )


@pytest.fixture
def house(db: None, set_clock: Callable[[datetime], None]) -> Iterator[House]:
    """Return a house with a generous provider."""
    provider = ScriptedProvider()
    line = Line(provider)
    set_clock(NOW)
    Bucket.objects.create(
        name="application",
        capacity=120,
        refill_per_minute=2,
        tokens=120,
        refilled_at=NOW,
    )
    yield House(provider, line, set_clock)
    line.close()
    clock.follow(clock.REAL_TIME)


@pytest.fixture
def give_calls(db: None) -> Callable[[Vehicle], VehicleBucket]:
    """Return a function that fills a car's bucket."""

    def give(vehicle: Vehicle) -> VehicleBucket:
        return VehicleBucket.objects.create(
            vehicle=vehicle, tokens=6, refilled_at=NOW, month=NOW.date().replace(day=1)
        )

    return give
