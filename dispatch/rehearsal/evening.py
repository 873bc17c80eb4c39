"""The cars of an evening on a grid of 5 minutes, and the load that they draw.

Times are steps after noon; the grid goes on to midnight of the next day, so that what
is given back late is still seen. A car begins with the first whole step after its
plug-in and ends with the last before it leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, time

import numpy as np
from numpy.typing import NDArray

from dispatch.charging_sessions import Session
from dispatch.rehearsal.sessions import EVENING_BEGINS, evening_of

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STEP_SECONDS = 300.0
STEP_HOURS = STEP_SECONDS / 3600.0
STEPS = 36 * 12
# The next evening's cars are not simulated: from its noon on there is nothing to judge.
NEXT_NOON = 24 * 12
# A car that leaves with more than this missing is late.
LATE_KWH = 0.25


@dataclass(frozen=True)
class Evening:
    """Cars in the order in which they came (n), of so many enrolled ones."""

    arrives: Ints
    leaves: Ints
    energy_kwh: Floats
    power_kw: Floats
    user: NDArray[np.str_]
    believed_leaves: Floats  # what the planner goes by
    catch_steps: Ints  # from the plug-in until it is known
    enrolled: int

    def __len__(self) -> int:
        return len(self.arrives)

    @property
    def per_thousand(self) -> float:
        """What turns a sum over its cars into one per 1,000 enrolled."""
        return 1000.0 / max(self.enrolled, 1)


def of(sessions: Sequence[Session], *, enrolled: int) -> Evening:
    """Return the evening of these sessions, by the local wall clock.

    What is known of them is true, and known at once.
    """
    noons = [
        datetime.combine(evening_of(one.plugged_in), time()) + EVENING_BEGINS
        for one in sessions
    ]
    arrives = [
        (one.plugged_in - noon).total_seconds() / STEP_SECONDS
        for one, noon in zip(sessions, noons, strict=True)
    ]
    leaves = [
        (one.unplugged - noon).total_seconds() / STEP_SECONDS
        for one, noon in zip(sessions, noons, strict=True)
    ]
    return Evening(
        arrives=np.ceil(arrives).astype(np.int64),
        leaves=np.floor(leaves).astype(np.int64),
        energy_kwh=np.array([one.energy_kwh for one in sessions], dtype=float),
        power_kw=np.array([one.power_kw for one in sessions], dtype=float),
        user=np.array([one.user for one in sessions], dtype=str),
        believed_leaves=np.floor(leaves),
        catch_steps=np.zeros(len(sessions), dtype=np.int64),
        enrolled=enrolled,
    )


def pooled(evenings: Sequence[Evening]) -> Evening:
    """Lay evenings over each other: one evening of a fleet as large as all of them."""
    names = [field.name for field in fields(Evening) if field.name != "enrolled"]
    columns = {
        name: np.concatenate([getattr(one, name) for one in evenings]) for name in names
    }
    return Evening(**columns, enrolled=sum(one.enrolled for one in evenings))


def thinned(evening: Evening, *, most: int) -> Evening:
    """Keep every so-manieth car, so that at most so many are left to reckon with."""
    every = max(-(-len(evening) // most), 1)
    names = [field.name for field in fields(Evening) if field.name != "enrolled"]
    columns = {name: getattr(evening, name)[::every] for name in names}
    return Evening(**columns, enrolled=max(round(evening.enrolled / every), 1))


def load_kw(starts: Ints, leaves: Ints, energy_kwh: Floats, power_kw: Floats) -> Floats:
    """Return the load (STEPS) of cars that charge from `starts` until full or gone.

    The last step of a car that fills up is drawn in part.
    """
    steps = energy_kwh / (power_kw * STEP_HOURS)
    whole = np.floor(steps + 1e-9).astype(np.int64)
    starts = np.clip(starts, 0, STEPS)
    ends = np.clip(np.minimum(starts + whole, leaves), starts, STEPS)
    edges = np.zeros(STEPS + 1)  # of no cars at all, bincount counts in integers
    edges += np.bincount(starts, weights=power_kw, minlength=STEPS + 1)
    edges -= np.bincount(ends, weights=power_kw, minlength=STEPS + 1)
    load: Floats = np.cumsum(edges)[:STEPS]
    rest = (ends < np.minimum(leaves, STEPS)) & (starts + whole == ends)
    load += np.bincount(
        ends[rest], weights=(power_kw * (steps - whole))[rest], minlength=STEPS
    )[:STEPS]
    return load


def unmanaged_kw(evening: Evening) -> Floats:
    """Return the load (STEPS) if nobody does anything."""
    return load_kw(
        evening.arrives, evening.leaves, evening.energy_kwh, evening.power_kw
    )


def unmanaged_missing_kwh(evening: Evening) -> Floats:
    """Return what each car would lack when it leaves, by the grid alone (n)."""
    hours = np.maximum(evening.leaves - evening.arrives, 0) * STEP_HOURS
    missing: Floats = np.maximum(evening.energy_kwh - evening.power_kw * hours, 0.0)
    return missing


def step_of(clock: time) -> int:
    """Return the step after noon at which an hour of the evening, or night, begins."""
    minutes = clock.hour * 60 + clock.minute
    noon = 12 * 60
    return int((minutes - noon) % (24 * 60) // 5)
