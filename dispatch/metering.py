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
# Sums of kW that were added and taken away again differ by less.
ROUNDING_KW = 1e-6


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
        self._count(kw, second=second)
        self.outstanding_kw += kw
        self.outstanding_cars += 1

    def _count(self, kw: float, *, second: int) -> None:
        if self.lately and self.lately[-1][0] >= second:
            latest, before = self.lately[-1]
            self.lately[-1] = (latest, before + kw)
        else:
            self.lately.append((second, kw))
        self.lately_kw += kw
        self.is_touched = True

    def can_move(self, kw: float, *, since: int) -> bool:
        """Say whether a car that was counted in a second may go now instead."""
        adds = kw - self._counted(kw, in_second=since)
        return adds <= ROUNDING_KW or (
            self.lately_kw + adds <= self.bounds.kw_per_minute + ROUNDING_KW
        )

    def move(self, kw: float, *, since: int, second: int) -> None:
        """Count a car's kW as leaving now; it is outstanding since its claim."""
        counted = self._counted(kw, in_second=since)
        self.lately = [
            (at, most - counted if at == since else most) for at, most in self.lately
        ]
        self.lately_kw -= counted
        self._count(kw, second=second)

    def _counted(self, kw: float, *, in_second: int) -> float:
        """Return how much of a car's kW is in the window yet."""
        return min(kw, sum(kw for at, kw in self.lately if at == in_second))

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

    def move(self, scopes: Iterable[Scope], kw: float, *, since: int) -> bool:
        """Count a car that was let in at a second as leaving now, if there is room.

        Until then it was held up on this side of the wire. While its own kW are in the
        window, moving them adds nothing; later they need room like anybody's.
        """
        concerned = [self.gauges[scope] for scope in scopes if scope in self.gauges]
        for gauge in concerned:
            goes_alone = self.one_always_may and not gauge.lately
            if not goes_alone and not gauge.can_move(kw, since=since):
                return False
        for gauge in concerned:
            gauge.move(kw, since=since, second=self.second)
        return True
