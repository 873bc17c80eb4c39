"""What still fits: a restore before its latest start, a car under a bound of kW.

Pure; the planner asks for each car in turn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Deadlines are compared in steps of a minute, over a day and a half.
STEP_SECONDS = 60.0
STEPS = 36 * 60


class Bound:
    """Kilowatts that may start, and those that do already."""

    def __init__(self, most_kw: float, kw: float) -> None:
        self._most_kw = most_kw
        self._kw = kw

    def admits(self, kw: float) -> bool:
        """Return whether a car fits. One always may: a bound below a single car would
        keep it for ever.
        """
        return self._kw + kw <= self._most_kw or self._kw <= 0

    def add(self, kw: float) -> None:
        """Count a car."""
        self._kw += kw


class Room:
    """How many restores still fit before their latest starts (promise 3).

    Restores of equal length on one channel, each with a deadline, all fit if and only
    if for every moment t the number due by t is at most what the channel carries by
    then (earliest deadline first is optimal: Jackson 1955). `spare[k]` is that
    difference at step k; a further restore takes one from every step after its own.
    """

    def __init__(
        self,
        owed_latest_starts: Floats,
        *,
        reserve_calls: float,
        per_minute: float,
        now: float,
    ) -> None:
        self._reserve_calls = reserve_calls
        self._per_minute = per_minute
        self._now = now
        owed = np.minimum(owed_latest_starts, 1e12)  # inf // 60 is no number
        steps = np.clip((owed - now) // STEP_SECONDS, 0, STEPS - 1)
        counts = np.bincount(steps.astype(np.int64), minlength=STEPS)
        self._due_by: Floats = np.cumsum(counts).astype(float)

    def take(self, latest_start: float, ends_at: float, *, calls: int = 1) -> bool:
        """Book one restore after `ends_at`, or return False when it does not fit."""
        step = int((min(latest_start, 1e12) - self._now) // STEP_SECONDS)
        step = min(step, STEPS - 1)
        if step < 0:
            return False
        times = self._now + np.arange(step, STEPS) * STEP_SECONDS
        minutes = np.maximum(times - max(ends_at, self._now), 0.0) / 60.0
        carried = self._reserve_calls + self._per_minute * minutes
        if np.any(self._due_by[step:] + calls > carried):
            return False
        self._due_by[step:] += calls
        return True
