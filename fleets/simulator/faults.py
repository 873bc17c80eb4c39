"""Faults by name and rate, drawn for each call.

A rate is a probability per call. What is a condition of a car or of a make is drawn
as an episode that passes after some simulated minutes. A plan for one car, or one
that is bounded to a number of calls, says exactly what happens: no episodes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random

from fleets.simulator.cars import Car

COMMANDS = frozenset({"start", "stop", "set-limit"})
NO_FAULTS: frozenset[str] = frozenset()
OUTAGE_WINDOW_SECONDS = 1800.0  # a make draws once in this time whether it fails

# name -> what happens
NAMES = {
    "slow": "the answer takes seconds, at times beyond the long-answer bound",
    "hang": "no answer at all",
    "asleep": "409 to commands, old data to reads, no reports",
    "unreachable": "the same, for want of a signal",
    "accepts-but-ignores": "200 and the car does nothing",
    "acts-but-times-out": "the car acts, the answer is 502 or 504",
    "restarts-by-itself": "a stopped car starts again some minutes later",
    "reconnect-needed": "400, the owner must sign in again",
    "quota-spent": "430, the month's calls are used up",
    "maker-outage": "502 for every car of one make, and no reports",
    "server-error": "500",
    "rate-limited": "429 for this car with Retry-After",
    "late-stop": "504, and the stop lands minutes later",
    "lost-webhooks": "a report is never delivered",
    "doubled-webhooks": "a report is delivered twice",
    "reordered-webhooks": "a report is delivered after later ones",
    "mixed-times": "time stamps as ISO text instead of milliseconds",
}
EPISODES = frozenset({"asleep", "unreachable", "reconnect-needed", "quota-spent"})
SILENT = frozenset({"asleep", "unreachable"})
OF_COMMANDS = frozenset({"accepts-but-ignores", "acts-but-times-out"})
OF_STOPS = frozenset({"restarts-by-itself", "late-stop"})
OF_WEBHOOKS = frozenset(
    {"lost-webhooks", "doubled-webhooks", "reordered-webhooks", "mixed-times"}
)


class UnknownFault(ValueError):
    """A name or a rate that means nothing here."""


@dataclass(slots=True)
class Plan:
    """Rates by name, for ever or for the next so many calls of some kinds."""

    rates: dict[str, float] = field(default_factory=dict)
    calls: int | None = None
    kinds: tuple[str, ...] = ()  # none means all


@dataclass(slots=True, kw_only=True)
class Faults:
    """Which faults are drawn, and which conditions last."""

    draw: Random
    episode_minutes: tuple[float, float] = (10.0, 20.0)
    everywhere: Plan = field(default_factory=Plan)
    cars: dict[str, Plan] = field(default_factory=dict)
    episodes: dict[str, tuple[str, float]] = field(default_factory=dict)  # car -> until
    outages: dict[str, tuple[float, float]] = field(
        default_factory=dict
    )  # make -> span
    windows: dict[str, int] = field(default_factory=dict)  # make -> last window drawn
    drawn: dict[str, int] = field(default_factory=dict)  # how often each came

    def of_call(self, car: Car, kind: str, at: float) -> frozenset[str]:
        """Return the faults that this call meets."""
        if not self.everywhere.rates and not self.cars and not self.episodes:
            return NO_FAULTS
        met = set(self._planned(self.cars.get(car.id), kind))
        met.update(self._planned(self.everywhere, kind, for_ever=False))
        met.update(self._from_everywhere(car, kind, at))
        for name in met:
            self.drawn[name] = self.drawn.get(name, 0) + 1
        return frozenset(met)

    def of_webhook(self, car: Car) -> frozenset[str]:
        """Return the faults that a report of this car meets."""
        met = set()
        for plan in (self.everywhere, self.cars.get(car.id)):
            for name, rate in plan.rates.items() if plan else ():
                if name in OF_WEBHOOKS and self.draw.random() < rate:
                    met.add(name)
                    self.drawn[name] = self.drawn.get(name, 0) + 1
        return frozenset(met)

    def silent_until(self, car: Car, at: float) -> float:
        """Return when the car reports again: now, unless something keeps it silent."""
        name, until = self.episodes.get(car.id, ("", -math.inf))
        silent_until = until if name in SILENT else at
        begins, ends = self.outages.get(car.make, (math.inf, -math.inf))
        if begins <= at < ends:
            silent_until = max(silent_until, ends)
        plan = self.cars.get(car.id)
        if plan and any(plan.rates.get(name, 0) >= 1 for name in SILENT):
            silent_until = max(silent_until, at + 60)  # look again in a minute
        return max(silent_until, at)

    def of_car(self, car: Car, at: float) -> dict[str, float]:
        """Return the conditions that the car is in, and until when."""
        name, until = self.episodes.get(car.id, ("", -math.inf))
        return {name: until} if until > at else {}

    def forget(self) -> None:
        """End every condition that was drawn."""
        self.episodes.clear()
        self.outages.clear()
        self.windows.clear()

    def _from_everywhere(self, car: Car, kind: str, at: float) -> Iterable[str]:
        name, until = self.episodes.get(car.id, ("", -math.inf))
        if until > at:
            yield name
        elif name:
            del self.episodes[car.id]
        if self.everywhere.calls is not None:
            return
        rates = self.everywhere.rates
        if self._has_outage(car.make, at):
            yield "maker-outage"
        for name, rate in rates.items():
            if name == "maker-outage" or not _fits(name, kind):
                continue
            if name in EPISODES and (car.id in self.episodes):
                continue
            if self.draw.random() < rate:
                if name in EPISODES:
                    self.episodes[car.id] = (name, at + self._episode_seconds())
                yield name

    def _has_outage(self, make: str, at: float) -> bool:
        rate = self.everywhere.rates.get("maker-outage", 0.0)
        window = int(at // OUTAGE_WINDOW_SECONDS)
        if rate and self.windows.get(make) != window:
            self.windows[make] = window
            if self.draw.random() < rate:
                begins = at + self.draw.uniform(0, 0.3) * OUTAGE_WINDOW_SECONDS
                self.outages[make] = (begins, begins + self._episode_seconds())
        begins, ends = self.outages.get(make, (math.inf, -math.inf))
        return begins <= at < ends

    def _planned(
        self, plan: Plan | None, kind: str, *, for_ever: bool = True
    ) -> Iterable[str]:
        if plan is None or plan.calls == 0 or (plan.kinds and kind not in plan.kinds):
            return
        if plan.calls is None and not for_ever:
            return
        if plan.calls is not None:
            plan.calls -= 1
        for name, rate in plan.rates.items():
            if _fits(name, kind) and self.draw.random() < rate:
                yield name

    def _episode_seconds(self) -> float:
        return 60 * self.draw.uniform(*self.episode_minutes)


def plan_from(wanted: Mapping[str, object]) -> Plan:
    """Return a plan from its JSON form; raise `UnknownFault` with the reason."""
    plan = Plan()
    for name, value in wanted.items():
        if name == "calls" and (value is None or isinstance(value, int)):
            plan.calls = value
        elif name == "kinds" and isinstance(value, list):
            plan.kinds = tuple(str(kind) for kind in value)
        elif name not in NAMES:
            raise UnknownFault(f"no fault is named {name}")
        elif isinstance(value, bool) or not isinstance(value, int | float):
            raise UnknownFault(f"the rate of {name} must be a number")
        elif not 0 <= value <= 1:
            raise UnknownFault(f"the rate of {name} must be between 0 and 1")
        elif value:
            plan.rates[name] = float(value)
    return plan


def rates_from_text(text: str) -> dict[str, float]:
    """Return rates from `NAME=RATE,...`."""
    wanted: dict[str, object] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, rate = part.partition("=")
        try:
            wanted[name] = float(rate)
        except ValueError:
            raise UnknownFault(f"{part} is not NAME=RATE") from None
    return plan_from(wanted).rates


def _fits(name: str, kind: str) -> bool:
    """Return whether a fault can meet a call of this kind."""
    if name in OF_WEBHOOKS:
        return False
    if name in OF_STOPS:
        return kind == "stop"
    if name in OF_COMMANDS:
        return kind in COMMANDS
    return True
