"""What a restore cap costs: rebound against hours until restored, with late cars.

The restore as `decide` does it - least slack first, as many as the cap admits, one
start each, and those that cannot wait whatever the cap says - for a fleet that is only
expected, in arrays and without its reasons. Before an event that is all there is to
choose a cap by. All loads are of the fleet, in kW; times are steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dispatch.planner import MARGIN_SECONDS, Cars
from dispatch.rehearsal import evening
from dispatch.rehearsal.evening import (
    LATE_KWH,
    STEP_HOURS,
    STEP_SECONDS,
    STEPS,
    Bools,
    Evening,
    Floats,
    Ints,
)
from dispatch.room import Ceiling

MARGIN_STEPS = MARGIN_SECONDS / STEP_SECONDS
# The search ends when the cap is known to half a percent.
CAP_PRECISION = 0.005
# A forecast errs. Too low a cap makes cars that cannot wait start together later,
# which costs more than a cap that is as much too high: see planner.md for the curve.
CAP_MARGIN = 1.03
# Of a larger fleet, so many groups of cars alike are reckoned with at most.
MOST_RECKONED = 2_000
# Alike: their latest starts fall into the same half hour.
ALIKE_STEPS = 6


@dataclass(frozen=True)
class Debts:
    """What is owed at an event's end and, if arrivals queue, after it (n)."""

    ready: Ints  # from when on a car waits
    leaves: Ints
    owed_kwh: Floats
    power_kw: Floats
    start_by: Floats  # whatever the cap says
    until: Ints  # the last step in which it may draw, and one
    others_kw: Floats  # (STEPS) what nobody holds back
    ends: int  # of the event
    spared_late: int  # of the cars that are not in here


def debts_of(
    cars: Cars,
    owed: Ints,
    *,
    kw: Floats,
    back_by: Floats,
    ahead_kw: Floats,
    now: float,
    ends: int,
) -> Debts:
    """Return what is owed to these cars from step `ends` after now on.

    `kw` is what each will draw, `ahead_kw` what all others will (by steps). What comes
    after the last of these cars can be full is no matter of this restore.
    """
    kw, seconds = kw[owed], cars.charge_seconds[owed]
    latest = np.minimum(cars.latest_start[owed], back_by[owed] - seconds)
    start_by = (latest - now) / STEP_SECONDS
    takes = seconds / STEP_SECONDS
    # Whoever is late already goes first, and stays until it is full.
    stays = np.maximum((cars.latest_start[owed] - now) / STEP_SECONDS, ends) + takes
    leaves = np.clip(np.ceil(stays), 1, STEPS).astype(np.int64)
    full_by = float((np.maximum(start_by, ends) + takes).max(initial=0.0))
    until = int(min(np.ceil(full_by), STEPS))
    others = np.zeros(STEPS)
    counts = min(until, len(ahead_kw))
    others[:counts] = ahead_kw[:counts]
    start_by = start_by - MARGIN_STEPS
    owed_kwh = kw * seconds / 3600.0

    line = np.lexsort((seconds, start_by // ALIKE_STEPS))
    every = max(-(-len(line) // MOST_RECKONED), 1)
    begins = np.arange(0, len(line), every)
    return Debts(
        ready=np.full(len(begins), ends),
        leaves=np.maximum.reduceat(leaves[line], begins),
        owed_kwh=np.add.reduceat(owed_kwh[line], begins),
        power_kw=np.add.reduceat(kw[line], begins),
        start_by=np.minimum.reduceat(start_by[line], begins),
        until=np.maximum.reduceat(leaves[line], begins),
        others_kw=others,
        ends=ends,
        spared_late=0,
    )


@dataclass(frozen=True)
class Point:
    """One choice of a cap, and what comes of it."""

    cap_kw: float
    peak_kw: float
    hours_to_restore_p50: float
    hours_to_restore_max: float
    late: float  # cars


def debts_after(
    expected: Evening,
    window: tuple[int, int],
    *,
    managed: bool,
    within_steps: float,
) -> Debts:
    """Return what an event without a target would leave to give back.

    `within_steps` after the event's end everybody has charged what was taken, or, at
    its power, as much of it as that allows.
    """
    begins, ends = window
    n = len(expected)
    seen = np.maximum(expected.arrives + expected.catch_steps, begins)
    steps = expected.energy_kwh / (expected.power_kw * STEP_HOURS)
    # A car that would be late by the event's end charges until it would not.
    short = ends + MARGIN_STEPS - (expected.believed_leaves - steps)
    enough = np.ceil(expected.arrives + np.maximum(short, 0.0)).astype(np.int64)
    seen = np.where(seen < ends, np.maximum(seen, enough), seen)
    left = np.maximum(steps - np.maximum(seen - expected.arrives, 0), 0.0)
    owed = left * expected.power_kw * STEP_HOURS
    drawn = expected.energy_kwh - owed
    start_by = expected.believed_leaves - left
    charging = (owed > 1e-9) & (seen < expected.leaves)
    held = charging & (seen < ends)
    queued: Bools = np.zeros(n, dtype=bool)
    if managed:
        queued = charging & (seen >= ends) & (start_by >= seen + MARGIN_STEPS)
    ours = held | queued
    start_by = start_by - MARGIN_STEPS
    until = expected.leaves.copy()
    if np.isfinite(within_steps):
        back = ends + within_steps
        start_by[held] = np.minimum(start_by[held], (back - left)[held])
        until[held] = np.minimum(until[held], int(back))
    others = evening.load_kw(
        expected.arrives,
        expected.leaves,
        np.where(ours, drawn, expected.energy_kwh),
        expected.power_kw,
    )
    missing = evening.unmanaged_missing_kwh(expected)
    return Debts(
        ready=np.maximum(seen, ends)[ours],
        leaves=expected.leaves[ours],
        owed_kwh=owed[ours],
        power_kw=expected.power_kw[ours],
        start_by=start_by[ours],
        until=until[ours],
        others_kw=others,
        ends=ends,
        spared_late=int((missing[~ours] > LATE_KWH).sum()),
    )


def restore(debts: Debts, cap_kw: float) -> tuple[Ints, Floats]:
    """Return each car's start (n), -1: none before it left, and the load (STEPS)."""
    starts = np.full(len(debts.ready), -1, dtype=np.int64)
    load = debts.others_kw.copy()
    charges = debts.owed_kwh / debts.power_kw * 3600.0  # seconds
    line = np.argsort(debts.start_by, kind="stable")
    for step in range(debts.ends, STEPS):
        line = line[(starts[line] < 0) & (debts.leaves[line] > step)]
        if not len(line):
            break
        waiting = line[debts.ready[line] <= step]
        # The line is by `start_by`, so who cannot wait stands in front.
        must = int(np.searchsorted(debts.start_by[waiting], step, side="right"))
        ceiling = Ceiling(cap_kw, load[step:])
        ceiling.add(debts.power_kw[waiting[:must]], charges[waiting[:must]])
        others = waiting[must:]
        fit = ceiling.fits(debts.power_kw[others], charges[others])
        going = np.concatenate([waiting[:must], others[fit]])
        if len(going):
            starts[going] = step
            load += evening.load_kw(
                starts[going],
                debts.leaves[going],
                debts.owed_kwh[going],
                debts.power_kw[going],
            )
    return starts, load


def point(debts: Debts, cap_kw: float) -> Point:
    """Return what comes of one cap."""
    starts, load = restore(debts, cap_kw)
    started = starts >= 0
    hours = np.where(started, debts.leaves - starts, 0) * STEP_HOURS
    missing = debts.owed_kwh - debts.power_kw * hours
    held = debts.ready == debts.ends
    ends_at = np.where(started, starts, debts.leaves)
    waited = (ends_at - debts.ready)[held] * STEP_HOURS
    return Point(
        cap_kw=cap_kw,
        peak_kw=float(load[debts.ends :].max()),
        hours_to_restore_p50=float(np.median(waited)) if len(waited) else 0.0,
        hours_to_restore_max=float(waited.max(initial=0.0)),
        late=float((missing > LATE_KWH).sum()) + debts.spared_late,
    )


def lowest_cap(debts: Debts) -> Point:
    """Return the lowest cap that everybody's latest start lets stand.

    Below it, cars that cannot wait any longer go over it, all at a time.
    """
    low = float(debts.others_kw[debts.ends :].max(initial=0.0))
    high = point(debts, float("inf")).peak_kw
    best = point(debts, high)
    while high - low > CAP_PRECISION * high:
        tried = point(debts, (low + high) / 2.0)
        if tried.peak_kw <= tried.cap_kw * (1.0 + CAP_PRECISION):
            high, best = tried.cap_kw, tried
        else:
            low = tried.cap_kw
    return best


def frontier(debts: Debts, caps_kw: Sequence[float]) -> list[Point]:
    """Return what comes of each of these caps, for a person to choose from."""
    return [point(debts, cap_kw) for cap_kw in caps_kw]
