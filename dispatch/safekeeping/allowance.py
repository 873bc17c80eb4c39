"""What may leave now: the provider's calls, a car's own, and the ramp. Pure.

Without a database the buckets live in memory. They start empty: nobody knows what the
main system spent in its last minute, and a giving that starts again must not spend
twice. What is granted here never exceeds the provider's rate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dispatch.safekeeping.sheet import RAMP_OF, RAMP_OF_FEEDER, Calls, Owed
from fleets.providers.base import Scope

# From our count to the call's arrival, at most (real seconds).
UNDERWAY_SECONDS = 0.5
# Share of a minute's ramp that may go at once: five seconds' worth.
BURST = 1 / 12
OWN_RAMPS = (RAMP_OF, RAMP_OF_FEEDER)  # not of envelopes


@dataclass(slots=True)
class Meter:
    """A bucket that fills by the minute."""

    capacity: float
    per_minute: float
    level: float
    at: datetime
    blocked_until: datetime | None = None

    def left(self, now: datetime) -> float:
        """Return what is in it now: nothing while the provider told us to wait."""
        since = self.at
        if self.blocked_until is not None:
            if now < self.blocked_until:
                return 0.0
            # What flowed in while we were told to wait is not ours to spend at once.
            since = max(since, self.blocked_until)
        minutes = max(0.0, (now - since).total_seconds() / 60.0)
        self.level = min(self.capacity, self.level + minutes * self.per_minute)
        self.at = max(now, self.at)
        self.blocked_until = None
        return self.level

    def may(self, amount: float, now: datetime) -> bool:
        """Say whether this much may leave; what is larger than all of it, when full."""
        return self.left(now) >= min(amount, self.capacity)

    def take(self, amount: float, now: datetime) -> None:
        """Take it out; the next ones wait for what is overdrawn."""
        self.level = self.left(now) - amount

    def block(self, until: datetime, now: datetime) -> None:
        """Let everybody wait as the provider said."""
        self.level = min(self.level, 0.0)
        self.at = now
        self.blocked_until = max(until, self.blocked_until or until)


@dataclass
class Allowance:
    """All limits of one giving."""

    calls: Calls
    now: datetime
    # Calls that somebody knows to be left.
    calls_left: float = 0.0
    speed: float = 1.0
    ramps: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start empty, but for what is known."""
        per_minute = self.calls.refill_per_minute
        # The provider counts when calls arrive, we when they leave.
        underway = per_minute / 60.0 * self.speed * UNDERWAY_SECONDS
        most = self.calls.capacity - min(underway, self.calls.capacity / 2.0)
        self.application = Meter(most, per_minute, self.calls_left, self.now)
        if self.calls.blocked_until is not None:
            self.application.block(self.calls.blocked_until, self.now)
        self._makes: dict[str, datetime] = {}
        self._cars: dict[int, Meter] = {}
        self._months: dict[int, int] = {}
        # What is saved up and what flows in make up the ramp within any one minute.
        self._ramps = {
            name: Meter(kw * BURST, kw * (1 - BURST), 0.0, self.now)
            for name, kw in self.ramps.items()
        }

    def may_call(self, now: datetime) -> bool:
        """Say whether one call may leave, to whichever car."""
        return self.application.may(1.0, now)

    def car_waits_until(self, car: Owed, now: datetime) -> datetime | None:
        """Return until when this car must be left alone, or None if it need not."""
        make = self._makes.get(car.make)
        if make is not None and make > now:
            return make
        meter = self._car(car)
        if meter.may(1.0, now):
            return None
        if meter.blocked_until is not None:
            return meter.blocked_until
        missing = 1.0 - meter.level
        return now + timedelta(minutes=missing / max(meter.per_minute, 1e-6))

    def month_is_spent(self, car: Owed) -> bool:
        """Say whether no call to this car is left in this month."""
        return self._months.setdefault(car.hold_id, car.month_calls_left) <= 0

    def ramp_allows(self, car: Owed, now: datetime, *, is_late: bool = False) -> bool:
        """Say whether this car's kW fit into every ramp that bounds it.

        One that is late waits for the envelopes alone.
        """
        return all(
            self._ramps[name].may(car.power_kw, now)
            for name in car.ramps
            if name in self._ramps and not (is_late and name.startswith(OWN_RAMPS))
        )

    def spend(self, car: Owed, now: datetime, *, starts: bool) -> None:
        """Count a call that is about to leave."""
        self.application.take(1.0, now)
        self._car(car).take(1.0, now)
        self._months[car.hold_id] = (
            self._months.setdefault(car.hold_id, car.month_calls_left) - 1
        )
        if starts:
            for ramp in self._ramps_of(car):
                ramp.take(car.power_kw, now)

    def pause(self, scope: Scope, car: Owed, *, until: datetime, now: datetime) -> None:
        """Wait as the provider said, for whoever it said it to."""
        if scope is Scope.APPLICATION:
            self.application.block(until, now)
        elif scope is Scope.MAKE:
            self._makes[car.make] = until
        else:
            self._car(car).block(until, now)

    def _ramps_of(self, car: Owed) -> list[Meter]:
        return [self._ramps[name] for name in car.ramps if name in self._ramps]

    def _car(self, car: Owed) -> Meter:
        if car.hold_id not in self._cars:
            self._cars[car.hold_id] = Meter(
                self.calls.vehicle_capacity,
                self.calls.vehicle_refill_per_minute,
                car.calls_left,
                self.now,
            )
        return self._cars[car.hold_id]
