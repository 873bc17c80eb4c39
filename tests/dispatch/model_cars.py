"""A simple model of cars behind a provider, which every command of ours meets.

It knows nothing of holds: a car is plugged in or not, charges or not, has a limit, and
remembers whether it was we who stopped it, and what its customer's limit is. How the
provider answers is its present *mood*.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

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
# Of each car, and the limit that stops it there.
SOC_PERCENT, OURS = 63.9, 63
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
    lands_at: datetime | None = None  # what takes, and is still on its way
    landing: Callable[[], None] | None = None
    goes_on: bool = True  # by itself, once its limit is back
    needs_plug: bool = False  # to take a limit
    limit_percent: int = 80
    own_percent: int = 80  # what its customer chose last

    @property
    def is_full(self) -> bool:
        return self.limit_percent <= SOC_PERCENT

    def stop(self) -> None:
        """Obey a stop of ours."""
        if self.is_charging:
            self.is_charging, self.stopped_by_us = False, True

    def start(self) -> None:
        """Charge, whoever asked for it."""
        if not self.is_full:
            self.is_charging, self.stopped_by_us = self.is_plugged_in, False

    def set_limit(self, percent: int) -> None:
        """Obey a limit of ours, or its own that we set back."""
        was_full, self.limit_percent = self.is_full, percent
        if self.is_full:
            self.stop()
        elif was_full and self.goes_on:
            self.start()

    def choose_limit(self, percent: int) -> None:
        """Let the customer set the limit, and see to the rest."""
        self.own_percent = percent
        self.set_limit(percent)
        self.stopped_by_us = False

    def unplug(self) -> None:
        """Leave; a stop does not outlive its plug-in, a limit does."""
        self.is_plugged_in = self.is_charging = self.stopped_by_us = False
        if self.landing == self.stop:
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
        car = self.cars[key.vehicle_id]
        if percent == OURS:
            return self._lower(car)
        if car.limit_percent != OURS or percent != car.own_percent:
            self.broken.append(f"{percent} % over {car.limit_percent} % of {car}")
        if car.needs_plug and not car.is_plugged_in:
            raise NothingToDo("VEHICLE_STATE", CarState.UNPLUGGED)
        return self._answer(car, partial(car.set_limit, percent))

    def _lower(self, car: Car) -> Receipt:
        if not self.may_stop(car):
            self.broken.append(f"{car.vehicle} was limited although nobody may")
        if car.limit_percent not in (car.own_percent, OURS):
            self.broken.append(f"{OURS} % over {car.limit_percent} % of {car}")
        car.stops += 1
        if self.mood == "refuses stops":
            raise QuotaSpent("VEHICLE:QUOTA")
        if self.mood == "lands late":
            car.lands_at = self.now + LATE
            car.landing = partial(car.set_limit, OURS)
            raise OutcomeUnknown("LINE:TIMEOUT")
        return self._answer(car, partial(car.set_limit, OURS))

    async def stop_charging(self, key: VehicleKey) -> Receipt:
        car = self.cars[key.vehicle_id]
        if not self.may_stop(car):
            self.broken.append(f"{car.vehicle} was stopped although nobody may")
        car.stops += 1
        if self.mood == "refuses stops":
            raise QuotaSpent("VEHICLE:QUOTA")
        if self.mood == "lands late":
            car.lands_at, car.landing = self.now + LATE, car.stop
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
        if car.is_full:
            raise NothingToDo("VEHICLE_STATE", CarState.FULL)
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
            soc_percent=SOC_PERCENT,
            limit_percent=float(car.limit_percent),
            power_kw=7.0 if car.is_charging else 0.0,
        )

    def pass_time(self, now: datetime) -> None:
        """Let late stops land."""
        self.now = now
        for car in self.cars.values():
            if car.lands_at is not None and car.lands_at <= now:
                car.lands_at = None
                assert car.landing is not None
                car.landing()

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
