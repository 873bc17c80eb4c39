"""The peak that no restore can stay below (field.md D2).

Whatever is done, inside a set of times T every car must draw at least what does not fit
outside: `max(0, owed - power * |window \\ T|)`. So

    P_min = max over T of [ sum of that + what nobody controls inside T ] / |T|

Over intervals T this is a lower bound, in O(n x slots^2). `one_start` is the same for
cars that charge in one piece, which is all that a stop and a start can do: a piece that
slides over T overlaps it least at one of its ends.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dispatch.rehearsal.evening import STEP_HOURS, Floats, Ints


def divisible(
    first: Ints, until: Ints, owed_kwh: Floats, power_kw: Floats, others_kw: Floats
) -> float:
    """Return P_min (kW) where each car may draw from `first` to before `until` (steps).

    `others_kw` is the load of what is not controlled, from step 0 on. What exceeds a
    car's window at its power cannot be delivered by anybody and is left out.
    """
    steps = np.minimum(owed_kwh / (power_kw * STEP_HOURS), np.maximum(until - first, 0))
    best = float(others_kw.max(initial=0.0))
    for begin, ends in _intervals(first, until, len(others_kw)):
        inside = np.minimum(until[:, None], ends) - np.maximum(first[:, None], begin)
        outside = (until - first)[:, None] - np.maximum(inside, 0)
        must = np.maximum(steps[:, None] - outside, 0.0)
        best = max(best, _peak(power_kw @ must, others_kw, begin, ends))
    return best


def one_start(
    first: Ints, last: Ints, owed_kwh: Floats, power_kw: Floats, others_kw: Floats
) -> float:
    """Return P_min (kW) where each car starts once, from `first` to `last` (steps)."""
    steps = owed_kwh / (power_kw * STEP_HOURS)
    last = np.maximum(last, first)
    latest_end = np.ceil(last + steps).astype(np.int64)
    best = float(others_kw.max(initial=0.0))
    for begin, ends in _intervals(first, latest_end, len(others_kw)):
        least = np.minimum(
            _overlap(first, steps, begin, ends), _overlap(last, steps, begin, ends)
        )
        best = max(best, _peak(power_kw @ least, others_kw, begin, ends))
    return best


def _overlap(start: Ints, steps: Floats, begin: int, ends: Ints) -> Floats:
    """Return how many steps of each car's piece fall into [begin, end) (n x ends)."""
    till = np.minimum((start + steps)[:, None], ends)
    since = np.maximum(start, begin)[:, None]
    overlap: Floats = np.maximum(till - since, 0.0)
    return overlap


def _intervals(first: Ints, until: Ints, steps: int) -> Iterator[tuple[int, Ints]]:
    """Yield the intervals inside which a car must draw: a begin, and all its ends."""
    if len(first):
        last = min(int(until.max()), steps)
        for begin in range(int(first.min()), last):
            yield begin, np.arange(begin + 1, last + 1)


def _peak(must_kw: Floats, others_kw: Floats, begin: int, ends: Ints) -> float:
    """Return the highest mean load that must fall between begin and an end."""
    others = np.concatenate(([0.0], np.cumsum(others_kw)))
    return float(((must_kw + others[ends] - others[begin]) / (ends - begin)).max())
