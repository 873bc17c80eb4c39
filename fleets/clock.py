"""The one clock that everything in Gridbalance reads.

In production it is the machine's clock. For a demo, a rehearsal or an acceptance test
one row (`fleets_clock`) bends it for every process alike: it may start elsewhere, run
fast, or stand still. Domain time and durations on the wire (`Retry-After`, token life,
bucket refill) go through it; sockets, heartbeats and beat stay in real time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from django.db import DatabaseError, connection

log = structlog.get_logger(__name__)

# A changed row is noticed this late: at a speed of 120 it is half a minute.
MAX_AGE_SECONDS = 0.25


@dataclass(frozen=True)
class Timeline:
    """A straight line from real to simulated time; a speed of 0 stands still."""

    real: datetime  # an instant on the machine's clock ...
    simulated: datetime  # ... and what this clock showed then
    speed: float  # simulated seconds per real second

    def at(self, real: datetime) -> datetime:
        """Return what this clock shows at an instant of the machine's clock."""
        return self.simulated + (real - self.real) * self.speed

    def real_seconds(self, duration: timedelta) -> float:
        """Return how long a simulated duration takes in real seconds.

        A clock that stands still would never get there: the answer is then infinite.
        """
        return duration.total_seconds() / self.speed if self.speed else float("inf")


REAL_TIME = Timeline(
    real=datetime(2000, 1, 1, tzinfo=UTC),
    simulated=datetime(2000, 1, 1, tzinfo=UTC),
    speed=1.0,
)


@dataclass
class _Cache:
    timeline: Timeline = REAL_TIME
    read_at: float = float("-inf")  # time.monotonic()


_cache = _Cache()


def real_now() -> datetime:
    """Return the machine's time: for heartbeats, leases and sockets alone."""
    return datetime.now(UTC)


def now() -> datetime:
    """Return the time that the domain lives in, timezone-aware, in UTC."""
    return timeline().at(real_now())


def timeline() -> Timeline:
    """Return the present timeline, at most `MAX_AGE_SECONDS` old.

    Without a database the last known line goes on: time must not stop with it.
    """
    if time.monotonic() - _cache.read_at > MAX_AGE_SECONDS:
        try:
            follow(read())
        except DatabaseError as error:
            log.warning("clock_unreadable", error=str(error))
            _cache.read_at = time.monotonic()
    return _cache.timeline


def read() -> Timeline:
    """Return the timeline as the database holds it."""
    with connection.cursor() as cursor:
        cursor.execute("select real, simulated, speed, paused from fleets_clock")
        row = cursor.fetchone()
    return REAL_TIME if row is None else from_row(*row)


def from_row(
    real: datetime, simulated: datetime, speed: float, paused: bool
) -> Timeline:
    """Return the timeline that a row of `fleets_clock` describes."""
    return Timeline(real=real, simulated=simulated, speed=0.0 if paused else speed)


def follow(timeline: Timeline) -> None:
    """Let this process follow a timeline that was read elsewhere."""
    _cache.timeline = timeline
    _cache.read_at = time.monotonic()


def detach(timeline: Timeline) -> None:
    """Let this process follow a timeline for good: it has no database to ask."""
    _cache.timeline = timeline
    _cache.read_at = float("inf")
