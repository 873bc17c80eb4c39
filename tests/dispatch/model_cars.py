"""A simple model of cars behind a provider, which every command of ours meets.

It knows nothing of holds: a car is plugged in or not, charges or not, and remembers
whether it was we who stopped it. How the provider answers is its present *mood*.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fleets.models import Vehicle
from fleets.providers.base import (
    Asleep,
    CarState,
    Connection,
    NothingToDo,
    OutcomeUnknown,
    ProviderError,
    QuotaSpent,
    Receipt,
    Report,
    TryLater,
    VehicleKey,
)

# A stop that nobody knows of lands so much later, within the longest answer.
LATE = timedelta(seconds=250)
# A car that ignores more than three commands is a person's.
MOST_IGNORED = 3
MOODS = (
    "obeys", "ignores", "unknown, done", "unknown, not done", "lands late", "asleep",
    "later", "refuses stops",
)  # fmt: skip


@dataclass
class Car:
    """What is true of one car."""

    vehicle: Vehicle
    is_plugged_in: bool = True
    is_charging: bool = True
    stopped_by_us: bool = False
    stops: int = 0  # that left for it, whether or not they arrived
    ignored: int = 0
    lands_at: datetime | None = None  # a stop that is still on its way

    def stop(self) -> None:
        """Obey a stop of ours."""
        if self.is_charging:
            self.is_charging, self.stopped_by_us = False, True

    def start(self) -> None:
        """Charge, whoever asked for it."""
        self.is_charging, self.stopped_by_us = self.is_plugged_in, False

    def unplug(self) -> None:
        """Leave; a stop does not outlive its plug-in."""
        self.is_plugged_in = self.is_charging = self.stopped_by_us = False
        self.lands_at = None

    def plug_in(self) -> None:
        """Come home and charge."""
        self.is_plugged_in = True
        self.start()


@dataclass
class ModelProvider:
    """The contract of an adapter over these cars."""

    cars: dict[str, Car]
    now: datetime
    may_stop: Callable[[Car], bool]  # what the model knows of events and customers
    mood: str = "obeys"
    broken: list[str] = field(default_factory=list)

    def fresh_token(self, now: datetime) -> str:
        return "token"

    def renew_token(self, now: datetime) -> str:
        return "token"

    async def connections(self) -> AsyncIterator[Connection]:
        return
        yield

    async def set_charge_limit(self, key: VehicleKey, percent: int) -> Receipt:
        self.broken.append(f"a limit of {percent} that nobody decided")
        return Receipt("request-1")

    async def stop_charging(self, key: VehicleKey) -> Receipt:
        car = self.cars[key.vehicle_id]
        if not self.may_stop(car):
            self.broken.append(f"{car.vehicle} was stopped although nobody may")
        car.stops += 1
        if self.mood == "refuses stops":
            raise QuotaSpent("VEHICLE:QUOTA")
        if self.mood == "lands late":
            car.lands_at = self.now + LATE
            raise OutcomeUnknown("LINE:TIMEOUT")
        if not car.is_charging:
            state = CarState.NOT_CHARGING if car.is_plugged_in else CarState.UNPLUGGED
            raise NothingToDo("VEHICLE_STATE", state)
        return self._answer(car, car.stop)

    async def start_charging(self, key: VehicleKey) -> Receipt:
        car = self.cars[key.vehicle_id]
        if not car.stops:
            self.broken.append(f"{car.vehicle} was started, and never stopped")
        if not car.is_plugged_in:
            raise NothingToDo("VEHICLE_STATE", CarState.UNPLUGGED)
        if car.is_charging:
            raise NothingToDo("VEHICLE_STATE", CarState.CHARGING)
        return self._answer(car, car.start)

    async def read(self, key: VehicleKey) -> Report:
        return self.report(self.cars[key.vehicle_id])

    def report(self, car: Car) -> Report:
        """Return what a car says of itself now."""
        return Report(
            car.vehicle.external_id,
            observed_at=self.now,
            is_plugged_in=car.is_plugged_in,
            is_charging=car.is_charging,
            is_home=True,
            soc_percent=50.0,
            limit_percent=80.0,
            power_kw=7.0 if car.is_charging else 0.0,
        )

    def pass_time(self, now: datetime) -> None:
        """Let late stops land."""
        self.now = now
        for car in self.cars.values():
            if car.lands_at is not None and car.lands_at <= now:
                car.lands_at = None
                car.stop()

    def _answer(self, car: Car, obey: Callable[[], None]) -> Receipt:
        error: ProviderError | None = {
            "unknown, done": OutcomeUnknown("UPSTREAM:NO_RESPONSE"),
            "unknown, not done": OutcomeUnknown("SERVER:INTERNAL"),
            "asleep": Asleep("VEHICLE_STATE:ASLEEP"),
            "later": TryLater("RATE_LIMIT:VEHICLE", wait_seconds=60),
        }.get(self.mood)
        if self.mood == "ignores" and car.ignored < MOST_IGNORED:
            car.ignored += 1
            return Receipt("request-1")
        if error is None or self.mood == "unknown, done":
            obey()
        if error is not None:
            raise error
        return Receipt("request-1")
