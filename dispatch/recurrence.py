"""When a window that recurs begins, whatever the clock on the wall does. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def starts_on(day: date, at: time, zone: ZoneInfo) -> datetime | None:
    """Return when a window begins on this local day, in UTC; None if no such day is.

    A time that the clock shows twice is its first showing. One that it skips is
    reckoned as if it had not been put forward, so 02:30 begins at 03:30.
    """
    moment = datetime.combine(day, at, zone).astimezone(UTC)
    # Some islands once changed the side of the date line and skipped a whole day.
    return moment if moment.astimezone(zone).date() == day else None


def days_between(first: date, last: date, weekdays: Collection[int]) -> Iterator[date]:
    """Yield the days from first to last that fall on these weekdays, Monday being 0."""
    for n in range((last - first).days + 1):
        day = first + timedelta(days=n)
        if day.weekday() in weekdays:
            yield day
