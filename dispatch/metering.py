"""Meter what leaves against the envelopes. Pure; `gauges.py` keeps the rows.

An envelope bounds three things in each direction, holding and restoring: the kW that
leave within any minute, and the kW and cars outstanding: held, or started and not shown
by the car yet. It asks nobody what a command is for: an operator's event, a machine's
and a mistake of our own are all counted here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple


class Scope(NamedTuple):
    """What an envelope is of: one program, one feeder, or (neither) everything."""

    program_id: int = 0
    feeder_id: int = 0


ALL = Scope()


class Bounds(NamedTuple):
    """The most of one direction."""

    kw: float
    cars: float
    kw_per_minute: float


@dataclass(slots=True)
class Gauge:
    """What counts against one envelope in one direction."""

    bounds: Bounds
    outstanding_kw: float = 0.0
    outstanding_cars: int = 0
    # What left lately, as (second since 1970, kW), oldest first.
    lately: list[tuple[int, float]] = field(default_factory=list)
    lately_kw: float = 0.0
    is_touched: bool = False

    def admits(self, kw: float) -> bool:
        """Say whether a car of so many kW may go as well."""
        return (
            self.lately_kw + kw <= self.bounds.kw_per_minute
            and self.outstanding_kw + kw <= self.bounds.kw
            and self.outstanding_cars + 1 <= self.bounds.cars
        )

    @property
    def is_idle(self) -> bool:
        """Say whether nothing left lately and nothing is outstanding."""
        return not self.lately and not self.outstanding_cars

    def spend(self, kw: float, *, second: int) -> None:
        """Count a car that is about to go."""
        if self.lately and self.lately[-1][0] >= second:
            latest, before = self.lately[-1]
            self.lately[-1] = (latest, before + kw)
        else:
            self.lately.append((second, kw))
        self.lately_kw += kw
        self.outstanding_kw += kw
        self.outstanding_cars += 1
        self.is_touched = True

    def forget(self, *, before: float, second: int) -> None:
        """Drop the seconds that were over at a moment, as seen from another.

        What left later than now left under a clock that was wrong, and is taken for
        just gone: it must neither be forgotten nor block the gauge until that time.
        """
        # Written down even if nobody goes, or it would be just gone at every look.
        self.is_touched |= any(at > second for at, _ in self.lately)
        self.lately = [
            (min(at, second), kw) for at, kw in self.lately if at + 1 > before
        ]
        self.lately_kw = sum(kw for _, kw in self.lately)


@dataclass(slots=True)
class Meter:
    """All gauges of one direction, at one moment."""

    gauges: dict[Scope, Gauge]
    second: int
    # A bound below a single car would keep that car for ever; what is owed outranks it.
    one_always_may: bool

    def admit(self, scopes: Iterable[Scope], kw: float) -> Scope | None:
        """Count a car in, or return the scope whose envelope has no room for it."""
        concerned = [scope for scope in scopes if scope in self.gauges]
        for scope in concerned:
            gauge = self.gauges[scope]
            if not gauge.admits(kw) and not (self.one_always_may and gauge.is_idle):
                return scope
        for scope in concerned:
            self.gauges[scope].spend(kw, second=self.second)
        return None
