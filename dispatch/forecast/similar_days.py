"""The model: similar days, moved by how today goes, with the spread of past errors.

1. *Similar days.* A quarter hour is expected to be as on earlier days of its kind
   (Monday to Friday, Saturday, Sunday) at the same time of the wall clock: a mean in
   which a day weighs half as much a fortnight later, and the same weekday three times.
2. *Today.* What the last hour was above or below that is carried on, as far as it was
   in the past at the same distance: mostly for some hours.
3. *Intervals.* The same two steps for the same time of day on each of the last 60 days,
   told only what was known then, would have been wrong by so much. The quantiles of
   these errors, relative to the root of the level as counts are, are put around the
   new forecast (split conformal prediction, with the newest days as calibration).

Values are per car, a missing one is NaN and is left out: it is never taken for 0.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np

from dispatch.forecast import quarters
from dispatch.forecast.quarters import A_DAY, Floats, Ints

# Bounds of the 50 % and the 90 % interval, and the median between them.
LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])

# Chosen on 4 October to 2 December 2019 of the Norwegian sessions (docs/forecast.md).
SIMILAR_DAYS = 56  # days that are looked back on
HALF_AS_MUCH_AFTER_DAYS = 14.0
SAME_WEEKDAY = 3.0
ERROR_DAYS = 60
RECENT = 4  # the last hour
NEIGHBOURS = 6  # quarter hours on each side whose errors count as alike

# The outermost bound needs one error in twenty beyond it.
FEWEST_ERRORS = 20
# Of a car that hardly ever charges: the spread of nothing is not nothing (per car).
LEAST_LEVEL = 0.02
HISTORY = (SIMILAR_DAYS + ERROR_DAYS + 1) * A_DAY


def forecast(
    values: Floats, *, first: int, zone: ZoneInfo, length: int = A_DAY
) -> Floats:
    """Return the quantiles of what follows the values, as `LEVELS` (5, length).

    `values` are of the quarter hours from number `first` on. NaN where too little is
    known to say.
    """
    values = np.asarray(values, dtype=float)
    first, values = first + max(0, len(values) - HISTORY), values[-HISTORY:]
    issued = len(values)
    known = np.concatenate([values, np.full(length, np.nan)])
    expected = _similar(known, first=first, zone=zone)
    errors, moved = _errors(known - expected, issued=issued, length=length)
    level = np.sqrt(np.maximum(expected, LEAST_LEVEL))
    past = _past(issued, length)
    spread = _spread(errors / _at(level, past))
    ahead = slice(issued, issued + length)
    return _as_quantiles(expected[ahead] + moved + spread * level[ahead])


def persistence(values: Floats, *, back: int, length: int = A_DAY) -> Floats:
    """Return quantiles as `forecast` does, from what was `back` quarter hours before.

    `back` of 0 goes on with the last value. Its intervals are made in the same way,
    from its own errors at the same time of day and distance.
    """
    values = np.asarray(values, dtype=float)[-HISTORY:]
    issued = len(values)
    known = np.concatenate([values, np.full(length, np.nan)])
    ahead = issued + np.arange(length)
    past = _past(issued, length)
    if back:
        errors = _at(known, past) - _at(known, past - back)
        centre = _at(known, ahead - back)
    else:
        errors = _at(known, past) - _at(known, past[:, :1] - 1)
        centre = np.full(length, _at(known, np.array([issued - 1]))[0])
    return _as_quantiles(centre + _spread(errors))


def _similar(known: Floats, *, first: int, zone: ZoneInfo) -> Floats:
    """Return what similar days before tell of each quarter hour (n).

    Nothing younger than a day is used, so a forecast of any of the next 96 knows it.
    """
    here = np.arange(len(known))
    clock = quarters.ahead_of_utc(first, len(known), zone)
    weekday = quarters.weekday(first, clock)
    kind = np.maximum(weekday, 4)  # Monday to Friday are one
    total, weights = np.zeros(len(known)), np.zeros(len(known))
    for days in range(1, SIMILAR_DAYS + 1):
        there = np.maximum(here - days * A_DAY, 0)
        # The same time of the wall clock, across a change of it.
        there = np.clip(there + clock - clock[there], 0, len(known) - 1)
        weight = np.where(weekday == weekday[there], SAME_WEEKDAY, 1.0)
        weight *= 0.5 ** (days / HALF_AS_MUCH_AFTER_DAYS)
        usable = (kind == kind[there]) & np.isfinite(known[there])
        usable &= (here >= days * A_DAY) & (there <= here - A_DAY)
        total += np.where(usable, weight * known[there], 0.0)
        weights += np.where(usable, weight, 0.0)
    expected: Floats = np.divide(
        total, weights, out=np.full(len(known), np.nan), where=weights > 0.0
    )
    return expected


def _errors(off: Floats, *, issued: int, length: int) -> tuple[Floats, Floats]:
    """Return errors of past forecasts (days, length), and the move of this (length).

    `off` is by how much similar days were wrong.
    """
    past = _past(issued, length)
    then = _recently(off, past[:, 0])
    errors = _at(off, past)
    both = then[:, None] * errors
    seen = np.isfinite(both)
    square = np.where(seen, then[:, None] ** 2, 0.0).sum(0)
    carried = np.divide(
        np.where(seen, both, 0.0).sum(0), square,
        out=np.zeros(length), where=square > 0.0,
    )  # fmt: skip
    carried = np.clip(_smooth(carried), 0.0, 1.0)
    now = _recently(off, np.array([issued]))[0]
    # Nothing was seen lately: then nothing is moved, in the past as now.
    errors = errors - np.nan_to_num(then)[:, None] * carried
    return errors, np.nan_to_num(now) * carried


def _recently(off: Floats, issued: Ints) -> Floats:
    """Return by how much the last hour before each was off; NaN where nobody saw."""
    hour = _at(off, issued[:, None] - 1 - np.arange(RECENT))
    seen = np.isfinite(hour)
    count = seen.sum(1)
    off_by: Floats = np.divide(
        np.where(seen, hour, 0.0).sum(1), count,
        out=np.full(len(issued), np.nan), where=count > 0,
    )  # fmt: skip
    return off_by


def _smooth(values: Floats) -> Floats:
    width = 2 * NEIGHBOURS + 1
    padded = np.pad(values, NEIGHBOURS, mode="edge")
    return np.convolve(padded, np.full(width, 1.0 / width), "valid")


def _spread(errors: Floats) -> Floats:
    """Return quantiles of errors (days, length), pooled with their neighbours'."""
    length = errors.shape[1]
    padded = np.pad(errors, ((0, 0), (NEIGHBOURS, NEIGHBOURS)), mode="edge")
    pooled = np.concatenate(
        [padded[:, i : i + length] for i in range(2 * NEIGHBOURS + 1)]
    )
    spread = np.full((len(LEVELS), length), np.nan)
    enough = np.isfinite(errors).sum(0) >= FEWEST_ERRORS
    if enough.any():
        spread[:, enough] = np.nanquantile(pooled[:, enough], LEVELS, axis=0)
    return spread


def _past(issued: int, length: int) -> Ints:
    """Return what was ahead at this time of day on each past day (days, length)."""
    days = np.arange(1, ERROR_DAYS + 1)
    return issued - days[:, None] * A_DAY + np.arange(length)


def _at(values: Floats, places: Ints) -> Floats:
    """Return values at places; NaN outside."""
    inside = (places >= 0) & (places < len(values))
    return np.where(inside, values[np.where(inside, places, 0)], np.nan)


def _as_quantiles(bounds: Floats) -> Floats:
    """Order them, and keep them from falling below nothing."""
    return np.maximum(np.sort(bounds, axis=0), 0.0)
