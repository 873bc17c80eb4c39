"""What still fits: a restore before its latest start, a car under a bound of kW.

Pure. The planner asks for a whole line of cars at once; the answers are those that
each car would get, asked for in turn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Deadlines are compared in steps of a minute, over a day and a half.
STEP_SECONDS = 60.0
STEPS = 36 * 60


class Bound:
    """Kilowatts that may start, and those that do already."""

    def __init__(self, most_kw: float, kw: float) -> None:
        self._most_kw = most_kw
        self._kw = kw

    def admits(self, kw: Floats) -> int:
        """Return how many of a line of cars fit before the first that does not.

        One always may: a bound below a single car would keep it for ever.
        """
        before, after = self._line(kw)[:-1], self._line(kw)[1:]
        fits = (after <= self._most_kw) | (before <= 0)
        return len(kw) if fits.all() else int(np.argmin(fits))

    def add(self, kw: Floats) -> None:
        """Count cars."""
        self._kw = float(self._line(kw)[-1])

    def _line(self, kw: Floats) -> Floats:
        """Return the sum before the first car, and after each."""
        return np.cumsum(np.concatenate([[self._kw], kw]))


class Room:
    """How many restores still fit before their latest starts (promise 3).

    Restores of equal length on one channel, each with a deadline, all fit if and only
    if for every moment t the number due by t is at most what the channel carries by
    then (earliest deadline first is optimal: Jackson 1955). That difference at every
    step is what is spare; a further restore takes one from its own step on.
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
        steps = np.clip(self._steps(owed_latest_starts), 0, STEPS - 1)
        self._due_by: Floats = np.cumsum(
            np.bincount(steps, minlength=STEPS), dtype=float
        )

    def fits(self, latest_starts: Floats, calls: Ints, *, ends_at: float) -> Bools:
        """Say of a line of restores after `ends_at` which still fit, each of so many
        calls and asked for in turn. Latest starts must not rise along the line.

        A restore takes from its own step and those behind it, and the next in line is
        due no later. So all that counts of what was taken in this line is how much is
        left for the next: one number, and no step is looked at twice.
        """
        times = self._now + np.arange(STEPS) * STEP_SECONDS
        minutes = np.maximum(times - max(ends_at, self._now), 0.0) / 60.0
        carried = self._reserve_calls + self._per_minute * minutes
        spare = np.floor(carried) - self._due_by
        least_from = np.minimum.accumulate(spare[::-1])[::-1]

        found: Bools = np.zeros(len(latest_starts), dtype=bool)
        steps = self._steps(latest_starts)
        in_time = steps[: np.searchsorted(-steps, 0, side="right")]
        begins = np.flatnonzero(np.diff(in_time, prepend=STEPS))
        ends = np.append(begins, len(in_time))[1:]
        asked = np.concatenate([[0], np.cumsum(calls)])
        left = np.inf
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            left = min(left, float(least_from[in_time[begin]]))
            at = begin
            while at < end and left > 0:
                # All up to the first that needs more than is left ...
                all_of = asked[at + 1 : end + 1] - asked[at] <= left
                stop = end if all_of.all() else at + int(np.argmin(all_of))
                found[at:stop] = True
                left -= float(asked[stop] - asked[at])
                # ... and on with the next that needs less.
                smaller = calls[stop:end] <= left
                at = stop + int(np.argmax(smaller)) if smaller.any() else end
        return found

    def book(self, latest_starts: Floats, calls: Ints) -> None:
        """Book restores that fit."""
        due = np.bincount(self._steps(latest_starts), weights=calls, minlength=STEPS)
        self._due_by += np.cumsum(due)

    def _steps(self, latest_starts: Floats) -> Ints:
        """Return the step of each, negative for the past."""
        moments = np.minimum(latest_starts, 1e12)  # inf // 60 is no number
        steps = (moments - self._now) // STEP_SECONDS
        return np.minimum(steps, STEPS - 1).astype(np.int64)
