"""Time as quarter hours: numbers since 1970, and what the wall clock shows at each.

A local day has 96 of them; 92 when clocks go forward, 100 when they go back.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SECONDS = 900
A_DAY = 96


def number(moment: datetime) -> int:
    """Return the quarter hour that a moment lies in."""
    return int(moment.timestamp()) // SECONDS


def moment(quarter: int) -> datetime:
    """Return when a quarter hour begins (UTC)."""
    return datetime.fromtimestamp(quarter * SECONDS, UTC)


def midnight(day: date, zone: ZoneInfo) -> int:
    """Return the first quarter hour of a local day."""
    return number(datetime.combine(day, time(), tzinfo=zone))


def of_day(day: date, zone: ZoneInfo) -> int:
    """Return how many quarter hours a local day has: 96, or 92 or 100."""
    return midnight(day + timedelta(days=1), zone) - midnight(day, zone)


def ahead_of_utc(first: int, count: int, zone: ZoneInfo) -> Ints:
    """Return by how many quarter hours the wall clock is ahead, for each (count)."""
    return np.array([_ahead(first + i, zone) for i in range(count)], dtype=np.int64)


@lru_cache(maxsize=1 << 17)  # a season of quarter hours in several zones
def _ahead(quarter: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(quarter * SECONDS, zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds()) // SECONDS


def weekday(first: int, ahead: Ints) -> Ints:
    """Return each quarter hour's local weekday, Monday is 0 (count)."""
    local_days = (first + np.arange(len(ahead)) + ahead) // A_DAY
    return (local_days + 3) % 7  # 1 January 1970 was a Thursday


def mean_over(
    first: int, count: int, begins: Floats, ends: Floats, weights: Floats
) -> Floats:
    """Return the sum of spans' weights, as the mean of each quarter hour (count).

    Spans are seconds since 1970; what lies outside is cut off.
    """
    total = np.zeros(count + 2)
    for moments, sign in ((begins, 1.0), (ends, -1.0)):
        place = np.clip(moments / SECONDS - first, 0.0, float(count))
        whole = np.floor(place).astype(np.int64)
        within = place - whole
        np.add.at(total, whole, sign * weights * (1.0 - within))
        np.add.at(total, whole + 1, sign * weights * within)
    mean: Floats = np.maximum(np.cumsum(total)[:count], 0.0)  # rounding goes below
    return mean
