"""The limits that the provider sets: buckets, and calls per car and month.

Tokens come back in simulated time, as everything on the wire does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

MINUTE_SECONDS = 60.0


@dataclass(slots=True)
class Bucket:
    """So many calls at once, and so many more each minute; it starts full."""

    capacity: float
    refill_per_minute: float
    level: float
    at: float

    def level_at(self, at: float) -> float:
        """Return how many tokens there are at an instant."""
        minutes = max(0.0, at - self.at) / MINUTE_SECONDS
        return min(self.capacity, self.level + minutes * self.refill_per_minute)

    def take(self, at: float) -> float:
        """Take one token; return 0, or the seconds until there is one again."""
        self.level = self.level_at(at)
        self.at = max(self.at, at)
        if self.level >= 1:
            self.level -= 1
            return 0.0
        if not self.refill_per_minute:
            return math.inf
        return (1 - self.level) / self.refill_per_minute * MINUTE_SECONDS


@dataclass(slots=True, kw_only=True)
class LimitSettings:
    """How much the provider allows; a bucket of 0 is no limit."""

    application_bucket: float = 120  # the provider's default, and the next line too
    application_refill: float = 2
    vehicle_bucket: float = 10  # not published; makers allow a few calls at once
    vehicle_refill: float = 1
    monthly_calls: float = 500  # the documentation's example of a plan


@dataclass(slots=True)
class Overdrawn:
    """Calls that came although the limit was reached."""

    application: int = 0
    vehicle: int = 0
    monthly: int = 0


@dataclass(slots=True)
class Limits:
    """What is left of what the provider allows."""

    settings: LimitSettings
    at: float
    overdrawn: Overdrawn = field(default_factory=Overdrawn)
    vehicles: dict[int, Bucket] = field(default_factory=dict)
    monthly: dict[int, int] = field(default_factory=dict)
    month: int = 0  # counted from the epoch, in spans of 30 days
    application: Bucket = field(init=False)

    def __post_init__(self) -> None:
        """Start with a full application bucket."""
        self.application = self._bucket(
            self.settings.application_bucket, self.settings.application_refill
        )

    def set(self, settings: LimitSettings, at: float) -> None:
        """Begin anew with other limits; what was counted stays."""
        self.settings = settings
        self.at = at
        self.vehicles.clear()
        self.__post_init__()

    def take_application(self, at: float) -> float:
        """Take one call of the application's; return the seconds to wait, or 0."""
        if not self.settings.application_bucket:
            return 0.0
        wait_seconds = self.application.take(at)
        if wait_seconds:
            self.overdrawn.application += 1
        return wait_seconds

    def application_left(self, at: float) -> float:
        """Return how many calls the application could make at once."""
        return self.application.level_at(at)

    def take_vehicle(self, index: int, at: float) -> float:
        """Take one call of a car's; return the seconds to wait, or 0."""
        if not self.settings.vehicle_bucket:
            return 0.0
        bucket = self.vehicles.get(index)
        if bucket is None:
            bucket = self._bucket(
                self.settings.vehicle_bucket, self.settings.vehicle_refill
            )
            self.vehicles[index] = bucket
        wait_seconds = bucket.take(at)
        if wait_seconds:
            self.overdrawn.vehicle += 1
        return wait_seconds

    def take_monthly(self, index: int, at: float) -> bool:
        """Count one call of this month; return whether the plan allows it."""
        month = int(at // (30 * 86_400))
        if month != self.month:
            self.month = month
            self.monthly.clear()
        calls = self.monthly.get(index, 0)
        if calls >= self.settings.monthly_calls:
            self.overdrawn.monthly += 1
            return False
        self.monthly[index] = calls + 1
        return True

    def _bucket(self, capacity: float, refill_per_minute: float) -> Bucket:
        return Bucket(capacity, refill_per_minute, level=capacity, at=self.at)
