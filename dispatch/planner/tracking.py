"""How sure it is that a target is met, and who that takes or lets go.

What no reading has shown yet counts by its chance. One maker's cloud may be down for
all of its cars at once, so their chances are not independent: each such case is looked
at for itself (N-1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from dispatch.planner.order import by_number
from dispatch.planner.shapes import Bools, Cars, Floats, Ints, Tracking

NORMAL = NormalDist()
ROUNDING = 1e-9
# Cars that answer less often than not are taken when there is nobody else.
RATHER_NOT_BELOW = 0.5
# A longer wait than a day makes nobody a better candidate.
MOST_SLACK_HOURS = 24.0


@dataclass(frozen=True, slots=True)
class Line:
    """Cars in a row, with what each is expected to bring."""

    places: Ints
    kw: Floats  # if it responds
    chance: Floats  # 1: a reading has shown it
    make: Ints

    @classmethod
    def of_held(cls, cars: Cars, places: Ints) -> Line:
        """Return held cars, with what they would be drawing now without us."""
        return cls(
            places,
            (cars.held_kw * cars.would_draw_share)[places],
            np.where(cars.shown, 1.0, cars.response)[places],
            cars.make[places],
        )

    @classmethod
    def of_free(cls, cars: Cars, places: Ints, fits: Bools) -> Line:
        """Return cars that nobody holds; one that does not fit brings nothing."""
        kw = np.where(fits, cars.power_kw[places], 0.0)
        return cls(places, kw, cars.response[places], cars.make[places])

    def __getitem__(self, some: slice | Bools) -> Line:
        return Line(
            self.places[some], self.kw[some], self.chance[some], self.make[some]
        )

    def __len__(self) -> int:
        return len(self.places)


@dataclass(frozen=True, slots=True)
class Tally:
    """What is held towards a target: sure kW, and by make what is on its way."""

    rules: Tracking
    sure_kw: float
    mean_kw: Floats
    variance: Floats

    @classmethod
    def of(cls, cars: Cars, held: Bools, rules: Tracking) -> Tally:
        """Return what these cars come to."""
        size = int(cars.make.max()) + 1 if cars.n else 0
        nothing = cls(rules, 0.0, np.zeros(size), np.zeros(size))
        return nothing.plus(Line.of_held(cars, by_number(cars, held)))

    @property
    def expected_kw(self) -> float:
        """Return the mean of what it comes to."""
        return self.sure_kw + float(self.mean_kw.sum())

    def plus(self, line: Line, *, sign: float = 1.0) -> Tally:
        """Return it with these cars, or with -1 without them."""
        size = len(self.mean_kw)
        is_sure = line.chance >= 1.0
        sure = np.where(is_sure, line.kw, 0.0)
        mean = np.where(is_sure, 0.0, line.kw * line.chance)
        spread = mean * line.kw * (1.0 - line.chance)
        return Tally(
            self.rules,
            float(np.cumsum(np.concatenate([[self.sure_kw], sign * sure]))[-1]),
            self.mean_kw + sign * np.bincount(line.make, mean, size),
            self.variance + sign * np.bincount(line.make, spread, size),
        )

    def chance_of(self, kw: float) -> float:
        """Return how likely it comes to so many kW: in each case, by its likelihood.

        Either every maker answers, or one is down and nothing of its cars comes. What
        is shown suffices by itself, however doubtful the rest.
        """
        if self.sure_kw >= kw - ROUNDING * max(kw, 1.0):
            return 1.0
        mean, variance = self.expected_kw, float(self.variance.sum())
        exposed = np.flatnonzero(self.mean_kw > ROUNDING).tolist()
        each = min(self.rules.maker_outage, 1.0 / max(len(exposed), 1))
        chance = (1.0 - each * len(exposed)) * _at_least(kw, mean, variance)
        for make in exposed:
            chance += each * _at_least(
                kw,
                mean - float(self.mean_kw[make]),
                variance - float(self.variance[make]),
            )
        return chance

    def is_sure_of(self, kw: float) -> bool:
        """Say whether so many kW are met with the confidence that is asked for."""
        return self.chance_of(kw) >= self.rules.confidence - ROUNDING

    def needed(self, line: Line, target_kw: float) -> int:
        """Return how many of a line it takes to be sure of the target; all, if never.

        None within the dead band: a small gap is not worth a customer's evening.
        """
        if self.is_sure_of(target_kw * (1.0 - self.rules.dead_band)):
            return 0
        return _first(
            len(line), lambda count: self.plus(line[:count]).is_sure_of(target_kw)
        )

    def to_spare(self, line: Line, target_kw: float) -> int:
        """Return how many of a line can go while what is shown meets the target.

        None before the surplus is clear: what goes now may be missed soon. And what no
        reading has shown lets nobody go: a guess that fails would have to be made good
        by a second stop.
        """
        if self.sure_kw < target_kw * (1.0 + self.rules.let_go_above):
            return 0
        sure = np.where(line.chance >= 1.0, line.kw, 0.0)
        left = self.sure_kw - np.cumsum(sure)
        return int(np.searchsorted(-left, -target_kw * (1.0 - ROUNDING), side="right"))


def in_order(
    cars: Cars, mask: Bools, ends_at: float, calls: Ints, rules: Tracking
) -> Ints:
    """Sort cars by who is best taken: slack, kW for a call, and whose turn it is."""
    places = by_number(cars, mask)
    slack_hours = (cars.latest_start[places] - ends_at) / 3600.0
    chance = cars.response[places]
    merit = (
        rules.slack_weight * np.clip(slack_hours, 0.0, MOST_SLACK_HOURS)
        + rules.kw_weight * cars.power_kw[places] * chance / calls[places]
        - rules.rotation_weight * cars.recent_hours[places]
    )
    # The last key leads.
    return places[np.lexsort((-merit, chance < RATHER_NOT_BELOW))]


def surplus(cars: Cars, tally: Tally, target_kw: float, places: Ints) -> Ints:
    """Return how far along this line an event can let go of cars."""
    return places[: tally.to_spare(Line.of_held(cars, places), target_kw)]


def _first(length: int, holds: Callable[[int], bool]) -> int:
    """Return the first count at which something holds that then goes on to hold."""
    low, high = 0, length
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _at_least(kw: float, mean: float, variance: float) -> float:
    """Return how likely a sum of many cars is at least so many kW."""
    tolerance = ROUNDING * max(kw, 1.0)
    if variance <= tolerance**2:
        return 1.0 if mean >= kw - tolerance else 0.0
    return NORMAL.cdf((mean - kw) / variance**0.5)
