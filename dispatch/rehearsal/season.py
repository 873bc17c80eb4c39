"""Many evenings under one setting: laid over each other, and each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from datetime import date, time

import numpy as np

from dispatch.rehearsal import evening, figures, forecast, frontier
from dispatch.rehearsal.evening import STEP_HOURS, Evening, Floats, Ints
from dispatch.rehearsal.figures import Figures
from dispatch.rehearsal.play import Rules, play
from dispatch.rehearsal.sessions import Sessions, winter_weekdays

# The cap search reckons with so many cars at most; more change it by under 1 %.
MOST_EXPECTED = 8000
# Where nobody said when a car leaves.
READY_BY = time(7, 0)
# A learned departure is earlier than four in five that were seen, of at least so many.
LEARNED_QUANTILE = 0.2
LEARNED_FROM = 5
# Departures that may be wrong are taken to be earlier by this many standard errors.
LEAD_ERRORS = 1.0
CATCH_STREAM = 1  # of chance, beside the one of departures
PERCENTILES = (10, 50, 90)


class NothingToRehearse(Exception):
    """No evening of the span has sessions, and evenings before it to expect them by."""


@dataclass(frozen=True)
class Catch:
    """How long it takes until a plug-in is known, of some share of the cars."""

    share: float  # of the sum of all shares
    least_minutes: float
    most_minutes: float


@dataclass(frozen=True)
class Setting:
    """What is rehearsed; kW are per 1,000 enrolled cars."""

    window: tuple[int, int]
    departure: str = "known"  # or "ready-by", "learned"
    departure_error_hours: float = 0.0
    managed: bool = False
    within_hours: float | None = None
    catches: Sequence[Catch] = (Catch(1.0, 5.0, 5.0),)
    target_kw: float | None = None
    cap_kw: float | None = None  # None: the lowest by the forecast, and its margin
    cap_margin: float = frontier.CAP_MARGIN
    ramp_kw_per_minute: float = float("inf")
    seed: int = 1

    def debts(self, cars: Evening) -> frontier.Debts:
        """Return what its event would leave these cars to be given back."""
        return frontier.debts_after(
            cars,
            self.window,
            managed=self.managed,
            within_steps=self._within_steps,
        )

    def rules(self, cars: Evening, cap_kw: float) -> Rules:
        """Return its rules for a fleet of this size."""
        fleets = 1.0 / cars.per_thousand
        return Rules(
            self.window,
            target_kw=None if self.target_kw is None else self.target_kw * fleets,
            cap_kw=cap_kw * fleets,
            ramp_kw_per_minute=self.ramp_kw_per_minute * fleets,
            managed=self.managed,
            within_steps=self._within_steps,
        )

    @property
    def _within_steps(self) -> float:
        hours = self.within_hours
        return float("inf") if hours is None else hours / STEP_HOURS


@dataclass(frozen=True)
class Season:
    """What came of it, per 1,000 enrolled cars."""

    days: int
    cars: int
    enrolled_days: int
    pooled: Figures
    cap_from_truth_kw: float
    truth: Figures  # the pooled evening under that cap
    spread: dict[str, dict[str, float]]  # over single days: p10, p50, p90
    frontier: list[frontier.Point]


@dataclass(frozen=True)
class Expected:
    """What was known before an evening."""

    cars: Evening
    debts: frontier.Debts
    arrivals: forecast.Arrivals

    @classmethod
    def of(cls, cars: Evening, setting: Setting) -> Expected:
        """Reckon with a fleet that is expected."""
        cars = evening.thinned(cars, most=MOST_EXPECTED)
        return cls(cars, setting.debts(cars), forecast.Arrivals.of(cars))

    def cap_kw(self, setting: Setting) -> float:
        """Return the cap that a person would be offered."""
        if setting.cap_kw is not None:
            return setting.cap_kw
        lowest = frontier.lowest_cap(self.debts).cap_kw
        return lowest * setting.cap_margin * self.cars.per_thousand


def rehearse(
    sessions: Sessions, days: Sequence[date], setting: Setting, *, single: bool = True
) -> Season:
    """Return what these evenings would have been under one setting."""
    if not days:
        raise NothingToRehearse("The span has no winter weekday")
    similar = winter_weekdays(min(sessions.by_evening), max(days))
    evenings = _evenings(sessions, similar, setting)
    known = {
        day: before
        for day in days
        if day in evenings
        and (before := forecast.similar_evenings(evenings, day, similar=similar))
    }
    if not known:
        raise NothingToRehearse("No evening has others before it to be expected by")
    pooled = evening.pooled([evenings[day] for day in known])
    expected = Expected.of(evening.pooled(list(known.values())), setting)
    truth = setting.debts(replace(pooled, believed_leaves=pooled.leaves.astype(float)))
    truth_cap_kw = frontier.lowest_cap(truth).cap_kw * pooled.per_thousand
    singles = []
    for day, before in known.items() if single else ():
        singles.append(_one(evenings[day], Expected.of(before, setting), setting))
    return Season(
        days=len(known),
        cars=len(pooled),
        enrolled_days=pooled.enrolled,
        pooled=_one(pooled, expected, setting),
        cap_from_truth_kw=truth_cap_kw,
        truth=_one(
            pooled, Expected.of(pooled, setting), replace(setting, cap_kw=truth_cap_kw)
        ),
        spread=_spread(singles),
        frontier=_frontier(expected),
    )


def _one(cars: Evening, expected: Expected, setting: Setting) -> Figures:
    """Play one evening, with what was known before it."""
    rules = setting.rules(cars, expected.cap_kw(setting))
    course = play(cars, rules, expected.arrivals)
    told = replace(cars, believed_leaves=cars.leaves.astype(float))
    return figures.of(cars, course, rules, setting.debts(told))


def _frontier(expected: Expected) -> list[frontier.Point]:
    """Return what each cap would cost, from the lowest to none, per 1,000 cars."""
    per_thousand = expected.cars.per_thousand
    lowest = frontier.lowest_cap(expected.debts).cap_kw
    highest = frontier.point(expected.debts, float("inf")).peak_kw
    caps = np.linspace(lowest, max(highest, lowest), 8)
    return [
        replace(
            point,
            cap_kw=point.cap_kw * per_thousand,
            peak_kw=point.peak_kw * per_thousand,
            late=point.late * per_thousand,
        )
        for point in frontier.frontier(expected.debts, caps.tolist())
    ]


def _spread(singles: Sequence[Figures]) -> dict[str, dict[str, float]]:
    """Return p10, p50 and p90 of every figure over single days."""
    spread = {}
    for field in fields(Figures):
        values = [getattr(one, field.name) for one in singles]
        numbers = [value for value in values if value is not None]
        if numbers:
            spread[field.name] = {
                f"p{percent}": float(np.percentile(numbers, percent))
                for percent in PERCENTILES
            }
    return spread


def _evenings(
    sessions: Sessions, days: Sequence[date], setting: Setting
) -> dict[date, Evening]:
    """Return every day's cars, with what is believed of their departures."""
    seen: dict[str, list[float]] = {}
    evenings = {}
    for day in days:
        if day not in sessions.by_evening:
            continue
        cars = evening.of(sessions.by_evening[day], enrolled=sessions.enrolled(day))
        evenings[day] = replace(
            cars,
            believed_leaves=believed_leaves(cars, seen, setting, day),
            catch_steps=catch_steps(len(cars), setting, day),
        )
        for user, leaves in zip(cars.user, cars.leaves, strict=True):
            seen.setdefault(str(user), []).append(float(leaves))
    return evenings


def believed_leaves(
    cars: Evening, seen: dict[str, list[float]], setting: Setting, day: date
) -> Floats:
    """Return when each car is taken to leave (steps)."""
    leaves = cars.leaves.astype(float)
    if setting.departure != "known":
        ready_by = float(evening.step_of(READY_BY))
        leaves = np.full(len(cars), ready_by)
        if setting.departure == "learned":
            for place, user in enumerate(cars.user):
                before = seen.get(str(user), [])
                if len(before) >= LEARNED_FROM:
                    leaves[place] = np.quantile(before, LEARNED_QUANTILE)
    if setting.departure_error_hours:
        random = np.random.default_rng([setting.seed, day.toordinal()])
        error = random.normal(0.0, setting.departure_error_hours, len(cars))
        lead = LEAD_ERRORS * setting.departure_error_hours
        leaves = leaves + (error - lead) / STEP_HOURS
    return leaves


def catch_steps(cars: int, setting: Setting, day: date) -> Ints:
    """Return how long it takes until each car is known (steps, rounded up)."""
    random = np.random.default_rng([setting.seed, day.toordinal(), CATCH_STREAM])
    shares, least, most = np.array([astuple(one) for one in setting.catches]).T
    kind = random.choice(len(shares), size=cars, p=shares / shares.sum())
    minutes = random.uniform(least[kind], most[kind])
    steps: Ints = np.ceil(minutes / (STEP_HOURS * 60.0)).astype(np.int64)
    return steps
