"""Battery arithmetic: energy, hours, departures. Pure; floats and arrays alike."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from math import isnan
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


def charge_after(
    soc_percent: ArrayLike,
    limit_percent: ArrayLike,
    battery_kwh: ArrayLike,
    power_kw: ArrayLike,
    hours: ArrayLike,
) -> Floats:
    """Return the charge (%) after so many hours of charging, at most the limit.

    The other way round from `hours_needed`.
    """
    soc = np.asarray(soc_percent, dtype=float)
    limit = np.asarray(limit_percent, dtype=float)
    per_hour = (
        np.asarray(power_kw, dtype=float) / np.asarray(battery_kwh, float) * 100.0
    )
    full = np.maximum(np.minimum(limit, TAPER_FROM_PERCENT) - soc, 0.0)
    fast = np.minimum(np.asarray(hours, dtype=float) * per_hour, full)
    slow = (np.asarray(hours, dtype=float) * per_hour - fast) * TAPERED_SHARE
    charge: Floats = np.minimum(soc + fast + slow, np.maximum(limit, soc))
    return charge


def next_departure(
    today_seconds: ArrayLike,
    tomorrow_seconds: ArrayLike,
    *,
    zone: ZoneInfo,
    now: datetime,
) -> Floats:
    """Return the first of two moments that is after now, in seconds since 1970.

    Given are times of the wall clock, in seconds since midnight, of today and tomorrow;
    NaN is none.
    """
    day = now.astimezone(zone).date()
    first = on_the_wall(today_seconds, day, zone=zone)
    second = on_the_wall(tomorrow_seconds, day + timedelta(days=1), zone=zone)
    return np.where(first > now.timestamp(), first, second)


def on_the_wall(clock_seconds: ArrayLike, day: date, *, zone: ZoneInfo) -> Floats:
    """Return when the wall clock shows these times, in seconds since 1970.

    They count from a day's midnight, and may go beyond that day; NaN stays NaN. A time
    that a clock change leaves out becomes the same instant an hour on, one that exists
    twice is its first.
    """
    # Of a fleet's times few are different.
    times, places = np.unique(np.atleast_1d(clock_seconds), return_inverse=True)
    midnight = datetime.combine(day, time(), tzinfo=zone)
    # Within a zone, Python adds by the wall clock.
    moments = [
        at if isnan(at) else (midnight + timedelta(seconds=at)).timestamp()
        for at in times.tolist()
    ]
    return np.array(moments, dtype=float)[places]


def seconds_of(at: time) -> float:
    """Return a time of day as seconds since midnight."""
    return at.hour * 3600 + at.minute * 60 + at.second + at.microsecond / 1e6
