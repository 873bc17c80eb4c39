"""What still fits: a restore before its latest start, a car under a bound or ceiling.

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
# What will be drawn is known in steps of five minutes, for a day.
AHEAD_SECONDS = 300.0
AHEAD_STEPS = 24 * 12
# Of a step: what is whole but for this is whole.
ROUNDING = 1e-9


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

    def exceeded(self, kw: Floats) -> Bools:
        """Say of a line of cars that start whatever the bound which go beyond it."""
        return self._line(kw)[1:] > self._most_kw

    def add(self, kw: Floats) -> None:
        """Count cars."""
        self._kw = float(self._line(kw)[-1])

    def _line(self, kw: Floats) -> Floats:
        """Return the sum before the first car, and after each."""
        return np.cumsum(np.concatenate([[self._kw], kw]))


class Ceiling:
    """The most that may be drawn at any time, and what will be.

    A car fits if, over the time for which it charges, what others draw then leaves room
    for it. What is drawn in a step is its mean: a car's last step counts in part.
    """

    def __init__(self, most_kw: float, others_kw: Floats) -> None:
        """`others_kw` is by steps of AHEAD_SECONDS from now; the last one goes on."""
        self._most_kw = most_kw
        beyond = max(AHEAD_STEPS - len(others_kw), 0)
        self._kw: Floats = np.pad(others_kw[:AHEAD_STEPS], (0, beyond), mode="edge")

    def fits(self, kw: Floats, seconds: Floats) -> Bools:
        """Say of a line of cars, each of so many kW for so long, which fit in turn.

        A car that does not fit keeps back all behind it that charge as long or longer,
        or smaller ones would overtake it for ever; shorter ones may go.

        One always may where nothing is drawn: a ceiling below a single car would keep
        it for ever.
        """
        found: Bools = np.zeros(len(kw), dtype=bool)
        if np.isposinf(self._most_kw):
            found[:] = True
            return found
        steps = np.ceil(_steps(seconds) - ROUNDING).astype(np.int64)
        drawn = self._kw
        line = np.arange(len(kw))
        while len(line):
            highest = np.maximum.accumulate(drawn)[steps[line] - 1]
            sums = np.cumsum(np.concatenate([[0.0], kw[line]]))
            fits = (highest + sums[1:] <= self._most_kw) | (highest + sums[:-1] <= 0.0)
            stop = len(line) if fits.all() else int(np.argmin(fits))
            going = line[:stop]
            found[going] = True
            drawn = drawn + ahead_kw(kw[going], seconds[going])
            if stop == len(line):
                break
            behind = line[stop:]
            line = behind if stop else behind[steps[behind] < steps[behind[0]]]
        return found

    def is_exceeded(self) -> bool:
        """Say whether more is drawn at any time."""
        return bool((self._kw > self._most_kw).any())

    def exceeded(self, seconds: Floats) -> Bools:
        """Say of cars that are counted, each for so long, in whose time more is."""
        over = np.flatnonzero(self._kw > self._most_kw)
        first = over[0] if len(over) else np.inf
        return np.ceil(_steps(seconds) - ROUNDING) > first

    def add(self, kw: Floats, seconds: Floats) -> None:
        """Count cars, each of so many kW for so long."""
        self._kw = self._kw + ahead_kw(kw, seconds)


def ahead_kw(kw: Floats, seconds: Floats) -> Floats:
    """Return what cars draw that charge from now on, each of so many kW for so long.

    By steps of AHEAD_SECONDS (AHEAD_STEPS).
    """
    steps = _steps(seconds)
    whole = np.floor(steps + ROUNDING).astype(np.int64)
    ends = np.bincount(whole, weights=kw, minlength=AHEAD_STEPS + 1)
    part = np.bincount(
        whole, weights=kw * np.maximum(steps - whole, 0.0), minlength=AHEAD_STEPS + 1
    )
    still = np.cumsum(ends[::-1])[::-1][1:]
    return (still + part[:-1]).astype(np.float64)


def _steps(seconds: Floats) -> Floats:
    """Return how many steps of AHEAD_SECONDS these are: a moment's at least."""
    steps: Floats = np.clip(seconds / AHEAD_SECONDS, 1e-3, AHEAD_STEPS)
    return steps


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
