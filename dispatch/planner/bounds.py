"""What the program, and each of its feeders, lets be given back now."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dispatch.planner.shapes import Bools, Cars, Feeder, Floats, Ints, Program
from dispatch.room import Bound, Ceiling


class Bounds:
    """Caps and ramps while restores are decided: the program's, and its feeders'.

    A car goes back if both let it. Feeders are asked first: a car that its feeder keeps
    back takes no room from those of other feeders.
    """

    def __init__(self, program: Program, cars: Cars) -> None:
        self._cars = cars
        self._program = _Curve(program)
        self._feeders = [_Curve(feeder) for feeder in program.feeders]

    def admitted(self, line: Ints, *, capped: bool, ramped: bool) -> Ints:
        """Return who of a line may go."""
        fits: Bools = np.ones(len(line), dtype=bool)
        for feeder, at in self._by_feeder(line):
            fits[at] = feeder.admits(*self._drawn(line[at]), capped, ramped)
        line = line[fits]
        return line[self._program.admits(*self._drawn(line), capped, ramped)]

    def add(self, places: Ints) -> None:
        """Count cars that go."""
        self._program.add(*self._drawn(places))
        for feeder, at in self._by_feeder(places):
            feeder.add(*self._drawn(places[at]))

    def broken(self, line: Ints) -> tuple[Bools, Bools]:
        """Count a line of cars that go whatever the bounds.

        Return which of them go over a cap, and which over a ramp.
        """
        cap, ramp = self._program.broken(*self._drawn(line))
        for feeder, at in self._by_feeder(line):
            feeder_cap, feeder_ramp = feeder.broken(*self._drawn(line[at]))
            cap[at] |= feeder_cap
            ramp[at] |= feeder_ramp
        return cap, ramp

    def _drawn(self, places: Ints) -> tuple[Floats, Floats]:
        return self._cars.held_kw[places], self._cars.charge_seconds[places]

    def _by_feeder(self, line: Ints) -> Iterator[tuple[_Curve, Ints]]:
        """Yield each feeder with where its cars stand in the line."""
        if not self._feeders:
            return
        feeder = self._cars.feeder[line]
        order = np.argsort(feeder, kind="stable")
        order = order[np.searchsorted(feeder[order], 0) :]
        begins = np.flatnonzero(np.diff(feeder[order])) + 1
        for at in np.split(order, begins) if len(order) else ():
            yield self._feeders[int(feeder[at[0]])], at


class _Curve:
    """A cap with its ramp."""

    def __init__(self, of: Program | Feeder) -> None:
        self._cap = Ceiling(of.restore_cap_kw, of.ahead_kw)
        self._ramp = Bound(of.restore_ramp_kw_per_minute, of.restored_kw_last_minute)

    def admits(self, kw: Floats, seconds: Floats, capped: bool, ramped: bool) -> Bools:
        """Say of a line of cars, each of so many kW for so long, which may go."""
        found: Bools = np.ones(len(kw), dtype=bool)
        if capped:
            found = self._cap.fits(kw, seconds)
        if ramped:
            fits = np.flatnonzero(found)
            found[fits[self._ramp.admits(kw[fits]) :]] = False
        return found

    def broken(self, kw: Floats, seconds: Floats) -> tuple[Bools, Bools]:
        """Count a line of cars; say which go over the cap, and over the ramp."""
        over_ramp = self._ramp.exceeded(kw)
        self.add(kw, seconds)
        return self._cap.exceeded(seconds), over_ramp

    def add(self, kw: Floats, seconds: Floats) -> None:
        """Count cars, each of so many kW for so long."""
        self._cap.add(kw, seconds)
        self._ramp.add(kw)
