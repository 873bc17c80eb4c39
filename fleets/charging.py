"""Battery arithmetic: energy, hours, departures. Pure; floats and arrays alike."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# Above this charge, cars slow down; a mean of half the power until full is on the
# careful side of published charging curves at home power.
TAPER_FROM_PERCENT = 80.0
TAPERED_SHARE = 0.5


def energy_needed_kwh(
    soc_percent: ArrayLike, limit_percent: ArrayLike, battery_kwh: ArrayLike
) -> Floats:
    """Return the energy (kWh) that is missing up to the charge limit, never below 0."""
    missing: Floats = np.asarray(limit_percent, float) - np.asarray(soc_percent, float)
    energy: Floats = np.maximum(missing, 0.0) / 100.0 * np.asarray(battery_kwh, float)
    return energy


def hours_needed(
    soc_percent: ArrayLike,
    limit_percent: ArrayLike,
    battery_kwh: ArrayLike,
    power_kw: ArrayLike,
) -> Floats:
    """Return the hours a car must charge to reach its limit, slowing down at the top.

    `power_kw` is what it draws below the taper; it must be above 0.
    """
    soc = np.asarray(soc_percent, dtype=float)
    limit = np.asarray(limit_percent, dtype=float)
    fast = energy_needed_kwh(soc, np.minimum(limit, TAPER_FROM_PERCENT), battery_kwh)
    slow = energy_needed_kwh(np.maximum(soc, TAPER_FROM_PERCENT), limit, battery_kwh)
    hours: Floats = (fast + slow / TAPERED_SHARE) / np.asarray(power_kw, dtype=float)
    return hours


def next_ready_by(
    week: Sequence[time | None], default: time, *, zone: ZoneInfo, now: datetime
) -> datetime:
    """Return the next moment (UTC) at which a car must be ready, after `now`.

    `week` holds seven local times of day, Monday first; None, or an empty week, stands
    for `default`. On the days of the clock change the wall clock counts: a time that
    does not exist that day becomes the same instant an hour on, one that exists twice
    is its first.
    """
    today = now.astimezone(zone).date()
    for ahead in range(8):
        day = today + timedelta(days=ahead)
        at = (week[day.weekday()] if week else None) or default
        moment = datetime.combine(day, at, tzinfo=zone).astimezone(UTC)
        if moment > now:
            return moment
    raise AssertionError("eight days hold every weekday once after now")
