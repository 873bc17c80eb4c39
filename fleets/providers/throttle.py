"""How many calls may leave now: buckets as PostgreSQL rows, shared by all senders.

    with throttle.budget(now) as budget:      # inside the transaction that claims
        ... claim at most budget.calls(for_restore=True) ...
        budget.spend("TESLA", calls=1)        # for each

The application's and the makes' buckets are locked for as long as the claim takes, so
two senders can never both spend the last call, and losing Redis overdraws nothing. Each
car's own bucket is a row that the claim's statement tests and lowers by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from fleets import clock
from fleets.models import Bucket
from fleets.providers.base import Scope

APPLICATION = "application"

# From a claim to the call's arrival, at most (real seconds).
UNDERWAY_SECONDS = 0.5

# Of a car's bucket `b`, which the claim's own statement tests and lowers, with the
# parameters that `vehicle_parameters` returns.
VEHICLE_TOKENS = """
    least(%(vehicle_capacity)s, b.tokens + %(vehicle_refill)s / 60.0
        * greatest(0, extract(epoch from %(now)s - b.refilled_at)))
"""
VEHICLE_CALLS = """
    (case when b.month = %(month)s then b.calls_this_month else 0 end)
"""


def vehicle_may(calls: str) -> str:
    """Return the test of a car's bucket, for so many calls (an expression)."""
    return f"""
    coalesce(b.blocked_until, %(now)s) <= %(now)s
    and {VEHICLE_TOKENS} >= {calls}
    and {VEHICLE_CALLS} + %(month_reserve)s + {calls} <= %(month_calls)s
"""


def vehicle_spend(calls: str) -> str:
    """Return what lowers a car's bucket by so many calls (an expression)."""
    return f"""
    tokens = {VEHICLE_TOKENS} - {calls},
    refilled_at = greatest(b.refilled_at, %(now)s),
    calls_this_month = {VEHICLE_CALLS} + {calls},
    month = %(month)s
"""


def vehicle_parameters(now: datetime, *, for_restore: bool) -> dict[str, Any]:
    """Return the values that the fragments for a car's bucket need."""
    reserve = 0 if for_restore else settings.RESTORE_RESERVE_CALLS_PER_MONTH
    return {
        "now": now,
        "month": month_of(now),
        "vehicle_capacity": settings.VEHICLE_BUCKET_CALLS,
        "vehicle_refill": settings.VEHICLE_REFILL_PER_MINUTE,
        "month_calls": settings.VEHICLE_CALLS_PER_MONTH,
        "month_reserve": reserve,
    }


def month_of(now: datetime) -> date:
    """Return the first day of the month that calls are counted in (UTC)."""
    return now.date().replace(day=1)


@dataclass
class Budget:
    """Calls that may leave in this transaction."""

    application: Bucket
    makes: dict[str, Bucket]
    now: datetime

    def calls(self, *, for_restore: bool, keep_share: float = 0.0) -> int:
        """Return how many calls are left; only restores may draw on the reserve.

        What can wait leaves to the others a share of all that there can be.
        """
        if is_blocked(self.application, self.now):
            return 0
        kept = 0.0 if for_restore else reserve_calls(self.application)
        kept = max(kept, _most(self.application) * keep_share)
        return max(0, int(self.application.tokens - kept))

    def has_room_for(self, make: str, *, calls: int = 1) -> bool:
        """Say whether the make's own bucket lets so many more calls leave."""
        bucket = self.makes.get(make)
        if bucket is None:
            return True  # not limited by itself
        return bucket.tokens >= calls and not is_blocked(bucket, self.now)

    def spend(self, make: str, *, calls: int = 1) -> None:
        """Take calls that are about to leave out of the buckets."""
        self.application.tokens -= calls
        if make in self.makes:
            self.makes[make].tokens -= calls


def reserve_calls(application: Bucket) -> float:
    """Return the calls of the application's bucket that only restores may use."""
    return float(application.capacity * settings.RESTORE_RESERVE_SHARE)


def is_blocked(bucket: Bucket, now: datetime) -> bool:
    """Say whether the provider told us to wait."""
    return bucket.blocked_until is not None and bucket.blocked_until > now


@contextmanager
def budget(now: datetime) -> Iterator[Budget]:
    """Lock and refill the shared buckets until the surrounding transaction ends."""
    assert connection.in_atomic_block, "a budget outlives no transaction"
    _ensure(APPLICATION, now)
    buckets = {
        bucket.name: bucket
        for bucket in Bucket.objects.order_by("name").select_for_update()
    }
    for bucket in buckets.values():
        _refill(bucket, now)
    application = buckets.pop(APPLICATION)
    makes = {name.removeprefix("make:"): bucket for name, bucket in buckets.items()}
    yield Budget(application, makes, now)
    Bucket.objects.bulk_update(
        [application, *makes.values()],
        ["tokens", "refilled_at", "capacity", "refill_per_minute"],
    )


def glance(now: datetime) -> Budget:
    """Return what is left of the application's bucket, without a lock."""
    bucket = Bucket.objects.filter(name=APPLICATION).first()
    if bucket is None:  # a new one starts empty
        empty = Bucket(name=APPLICATION, capacity=0, refill_per_minute=0)
        return Budget(empty, {}, now)
    _refill(bucket, now)
    return Budget(bucket, {}, now)


def pause(scope: Scope, *, make: str, until: datetime, now: datetime) -> None:
    """Let everybody wait as the provider told us; an empty bucket goes with it.

    A car's own pause is part of its command's outcome (`pause_vehicles`).
    """
    name = APPLICATION if scope is Scope.APPLICATION else f"make:{make}"
    if scope is Scope.MAKE:
        _ensure(name, now)
    Bucket.objects.filter(name=name).update(
        tokens=0, refilled_at=now, blocked_until=until
    )


def pause_vehicles(until_by_vehicle: Mapping[int, datetime]) -> None:
    """Let single cars wait as the provider told us."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            update fleets_vehiclebucket b set blocked_until = pause.until
            from unnest(%s::bigint[], %s::timestamptz[]) as pause (vehicle_id, until)
            where b.vehicle_id = pause.vehicle_id
            """,
            [list(until_by_vehicle), list(until_by_vehicle.values())],
        )


def calls_per_minute() -> float:
    """Return the rate at which the application's bucket refills."""
    return float(settings.PROVIDER_REFILL_PER_MINUTE)


def duration_of(calls: int, *, now: datetime) -> timedelta:
    """Return how long this many calls take at the present state of the bucket."""
    bucket = glance(now).application
    wait = timedelta()
    if bucket.blocked_until is not None:
        wait = max(bucket.blocked_until - now, timedelta())
    beyond = max(0.0, calls - bucket.tokens)
    return wait + timedelta(minutes=beyond / calls_per_minute())


def _ensure(name: str, now: datetime) -> None:
    """Make a bucket: empty, since we cannot know what was spent."""
    capacity, refill_per_minute = _contract(name)
    Bucket.objects.get_or_create(
        name=name,
        defaults={
            "capacity": capacity,
            "refill_per_minute": refill_per_minute,
            "refilled_at": now,
        },
    )


def _contract(name: str) -> tuple[float, float]:
    """Return what a bucket holds, and how fast it refills."""
    if name == APPLICATION:
        return settings.PROVIDER_BUCKET_CALLS, settings.PROVIDER_REFILL_PER_MINUTE
    return settings.MAKE_BUCKET_CALLS, settings.MAKE_REFILL_PER_MINUTE


def _refill(bucket: Bucket, now: datetime) -> None:
    """Bring a bucket up to now. A clock that was set back refills nothing."""
    # The contract may have changed.
    bucket.capacity, bucket.refill_per_minute = _contract(bucket.name)
    minutes = max(0.0, (now - bucket.refilled_at).total_seconds() / 60.0)
    if bucket.blocked_until is not None and bucket.blocked_until > bucket.refilled_at:
        # What was refilled while we were told to wait is not ours to spend at once.
        minutes = max(0.0, (now - bucket.blocked_until).total_seconds() / 60.0)
    bucket.tokens = min(
        _most(bucket), bucket.tokens + minutes * bucket.refill_per_minute
    )
    bucket.refilled_at = max(now, bucket.refilled_at)


def _most(bucket: Bucket) -> float:
    """Return what a full bucket holds."""
    return float(bucket.capacity - _underway(bucket))


def _underway(bucket: Bucket) -> float:
    """Return what flows in while a call is on its way from its claim to the provider.

    We count calls when they leave, the provider when they arrive. Our bucket begins to
    refill that much earlier, so a full one holds that much less than the provider's.
    """
    speed = clock.timeline().speed
    flows_in = bucket.refill_per_minute / 60.0 * speed * UNDERWAY_SECONDS
    return min(flows_in, bucket.capacity / 2.0)
