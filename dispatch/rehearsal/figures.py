"""What a rehearsed evening came to, per 1,000 enrolled cars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dispatch.rehearsal import bound, evening
from dispatch.rehearsal.evening import (
    LATE_KWH,
    NEXT_NOON,
    STEP_HOURS,
    Bools,
    Evening,
    Floats,
)
from dispatch.rehearsal.frontier import Debts
from dispatch.rehearsal.play import Course, Rules

# A target is judged from here on: before, cars are still being called.
SETTLED_STEPS = 3


@dataclass(frozen=True)
class Figures:
    """All kW and kWh per 1,000 enrolled cars; None: there was nothing to measure."""

    peak_unmanaged_kw: float
    peak_after_kw: float
    rebound_ratio: float | None
    bound_kw: float  # field.md D2: power may be divided
    bound_ratio: float | None
    bound_one_start_kw: float
    bound_one_start_ratio: float | None
    cap_kw: float | None
    stopped_kw: float  # at the most
    shed_kwh: float
    shed_share_of_harmless: float | None
    late_share: float
    late_share_unmanaged: float
    hours_to_restore_p50: float | None
    hours_to_restore_max: float | None
    hours_to_charged_p50: float | None  # until what was taken is charged again
    hours_to_charged_max: float | None
    commands_per_car_max: int
    starts_per_car_max: int
    target_error_p95: float | None


def of(cars: Evening, course: Course, rules: Rules, debts: Debts) -> Figures:
    """Sum up; `debts` is what was owed at the event's end, with the true departures."""
    begins, ends = rules.window
    per_thousand = cars.per_thousand
    unmanaged = evening.unmanaged_kw(cars)
    peak_unmanaged = float(unmanaged[:NEXT_NOON].max())
    peak_after = float(course.load_kw[ends:].max())
    shed = unmanaged[begins:ends] - course.load_kw[begins:ends]
    shed_kwh = float(shed.sum()) * STEP_HOURS
    divisible = _divisible(debts)
    once = _one_start(debts)
    held = ~np.isnan(course.waited_hours)
    waited, charged = course.waited_hours[held], course.charged_hours[held]
    late = course.missing_kwh > LATE_KWH
    late_unmanaged = evening.unmanaged_missing_kwh(cars) > LATE_KWH
    capped = np.isfinite(rules.cap_kw)
    return Figures(
        peak_unmanaged_kw=peak_unmanaged * per_thousand,
        peak_after_kw=peak_after * per_thousand,
        rebound_ratio=_ratio(peak_after, peak_unmanaged),
        bound_kw=divisible * per_thousand,
        bound_ratio=_ratio(peak_after, divisible),
        bound_one_start_kw=once * per_thousand,
        bound_one_start_ratio=_ratio(peak_after, once),
        cap_kw=rules.cap_kw * per_thousand if capped else None,
        stopped_kw=float(course.held_kw[begins:ends].max()) * per_thousand,
        shed_kwh=shed_kwh * per_thousand,
        shed_share_of_harmless=_ratio(shed_kwh, harmless_kwh(cars, rules.window)),
        late_share=float(late.mean()),
        late_share_unmanaged=float(late_unmanaged.mean()),
        hours_to_restore_p50=float(np.median(waited)) if len(waited) else None,
        hours_to_restore_max=float(waited.max()) if len(waited) else None,
        hours_to_charged_p50=float(np.median(charged)) if len(charged) else None,
        hours_to_charged_max=float(charged.max()) if len(charged) else None,
        commands_per_car_max=int((course.stops + course.starts).max(initial=0)),
        starts_per_car_max=int(course.starts.max(initial=0)),
        target_error_p95=_target_error(shed, rules),
    )


def harmless_kwh(cars: Evening, window: tuple[int, int]) -> float:
    """Return what can be shed of cars that lose nothing by waiting for the end (kWh).

    Of every car that would still be full, or as full, if it drew nothing between its
    plug-in, or the event's start, and the event's end: what it would have drawn then.
    """
    begins, ends = window
    steps = cars.energy_kwh / (cars.power_kw * STEP_HOURS)
    until = np.minimum(cars.arrives + steps, cars.leaves)
    inside = np.minimum(until, ends) - np.maximum(cars.arrives, begins)
    after = steps - np.clip(begins - cars.arrives, 0, steps)
    harmless: Bools = (inside > 0) & (cars.leaves - ends >= after - 1e-9)
    kwh: Floats = (inside * cars.power_kw * STEP_HOURS)[harmless]
    return float(kwh.sum())


def _divisible(debts: Debts) -> float:
    """Return the bound of field.md D2 for what is owed, from the event's end on."""
    return bound.divisible(
        debts.ready, debts.until, debts.owed_kwh, debts.power_kw, _others(debts)
    )


def _one_start(debts: Debts) -> float:
    last = np.floor(np.minimum(debts.start_by, debts.leaves)).astype(np.int64)
    return bound.one_start(
        debts.ready, last, debts.owed_kwh, debts.power_kw, _others(debts)
    )


def _others(debts: Debts) -> Floats:
    others = debts.others_kw[:NEXT_NOON].copy()
    others[: debts.ends] = 0.0
    return others


def _target_error(shed_kw: Floats, rules: Rules) -> float | None:
    """Return how far shed kW is from the target in all but the worst 5 % of steps."""
    settled = shed_kw[SETTLED_STEPS:]
    if not rules.target_kw or not len(settled):
        return None
    off = np.abs(settled - rules.target_kw) / rules.target_kw
    return float(np.percentile(off, 95))


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
