"""What is known of a car now, and how one report changes it. Pure.

The rules that are easy to get wrong:

- A car's own time decides, not the order of arrival: an older report changes nothing,
  one of the same time adds to it.
- Silence on a field is no news: it does not wipe what is known, unless it was known of
  another state (the power of a car that has since begun or ceased to charge).
- A limit is as old as the report that told it: a newer one may not have mentioned it.
- "At home" belongs to one plug-in. Unplugging forgets it; while the car stays plugged
  in, the first yes or no stands.
- A value that cannot be is as good as none. Cars and makers do send 140 % and -1 kW.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from fleets.providers.base import Report

T = TypeVar("T")

LARGEST_POWER_KW = 500.0  # above the fastest public charger
LARGEST_BATTERY_KWH = 500.0  # above the largest electric lorry sold with an app
# Below this a car preheats or balances its cells: no measure of how it charges.
LEAST_CHARGING_KW = 0.5
# One report in five of the mean: a taper passes, a new wall box is learnt in an hour.
SHARE_OF_NEWEST = 0.2
# How far a car's clock may run ahead; processes themselves differ by half a minute
# when the clock runs fast.
CLOCK_TOLERANCE = timedelta(minutes=2)
# A car that charges reports every few percent; one that was charging and has been
# silent for longer may have done anything since.
CHARGING_IS_KNOWN_FOR = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class LastKnown:
    """The state columns of a vehicle; None is unknown."""

    battery_kwh: float
    usual_power_kw: float
    is_plugged_in: bool | None = None
    is_charging: bool | None = None
    soc_percent: float | None = None
    limit_percent: float | None = None
    limit_observed_at: datetime | None = None
    power_kw: float | None = None
    plugged_in_at: datetime | None = None
    is_home: bool | None = None
    observed_at: datetime | None = None
    received_at: datetime | None = None


def clean(report: Report, *, received_at: datetime) -> Report:
    """Return the report without what cannot be, field by field.

    A time ahead of ours would shut out every later report, so it becomes ours.
    """
    return Report(
        vehicle_id=report.vehicle_id,
        observed_at=_not_ahead(report.observed_at, received_at),
        is_plugged_in=report.is_plugged_in,
        is_charging=report.is_charging,
        soc_percent=_within(report.soc_percent, 0.0, 100.0),
        limit_percent=_within(report.limit_percent, 0.0, 100.0),
        limit_observed_at=(
            _not_ahead(report.limit_observed_at, received_at)
            if report.limit_observed_at
            else None
        ),
        power_kw=_within(report.power_kw, 0.0, LARGEST_POWER_KW),
        battery_kwh=_within(report.battery_kwh, 1.0, LARGEST_BATTERY_KWH),
        is_home=report.is_home,
    )


def after(state: LastKnown, report: Report, *, received_at: datetime) -> LastKnown:
    """Return what is known once a clean report is added."""
    if state.observed_at is not None and report.observed_at < state.observed_at:
        return state
    is_plugged_in = _or(report.is_plugged_in, state.is_plugged_in)
    is_charging = _or(report.is_charging, state.is_charging)
    if is_plugged_in is False and report.is_charging is None:
        is_charging = False  # nothing charges without a cable
    plugged_in_at, is_home = _plug_in(state, report)
    limit_percent, limit_observed_at = _limit(state, report)
    is_home_charge = is_charging is True and is_home is not False
    measured_kw = report.power_kw if is_home_charge else None
    return LastKnown(
        battery_kwh=_or(report.battery_kwh, state.battery_kwh),
        usual_power_kw=_usual_power_kw(state.usual_power_kw, measured_kw),
        is_plugged_in=is_plugged_in,
        is_charging=is_charging,
        soc_percent=_or(report.soc_percent, state.soc_percent),
        limit_percent=limit_percent,
        limit_observed_at=limit_observed_at,
        power_kw=_power_kw(state, report, is_charging),
        plugged_in_at=plugged_in_at,
        is_home=is_home,
        observed_at=report.observed_at,
        received_at=received_at,
    )


def has_left_home(before: LastKnown, now: LastKnown) -> bool:
    """Say whether a plug-in at home has just ended."""
    was_home = before.is_plugged_in is True and before.is_home is True
    return was_home and now.is_plugged_in is False


def _plug_in(state: LastKnown, report: Report) -> tuple[datetime | None, bool | None]:
    """Return since when the car is plugged in, and whether that is at home."""
    if report.is_plugged_in is False:
        return None, None
    if report.is_plugged_in and not state.is_plugged_in:
        return report.observed_at, report.is_home
    if state.is_plugged_in:
        return state.plugged_in_at, _or(state.is_home, report.is_home)
    return None, None  # unplugged or unknown before, and nothing said


def _limit(state: LastKnown, report: Report) -> tuple[float | None, datetime | None]:
    """Return the limit, and when the car told it."""
    told_at = report.limit_observed_at or report.observed_at
    known_at = state.limit_observed_at
    if report.limit_percent is None or (known_at is not None and told_at < known_at):
        return state.limit_percent, known_at
    return report.limit_percent, told_at


def _power_kw(
    state: LastKnown, report: Report, is_charging: bool | None
) -> float | None:
    if report.power_kw is not None:
        return report.power_kw
    if is_charging is False:
        return 0.0
    # What was measured while it did not charge says nothing of now.
    return state.power_kw if is_charging == state.is_charging else None


def _usual_power_kw(usual_kw: float, measured_kw: float | None) -> float:
    """Return what the car draws at home, learnt while it charges there."""
    if measured_kw is None or measured_kw < LEAST_CHARGING_KW:
        return usual_kw
    return usual_kw + SHARE_OF_NEWEST * (measured_kw - usual_kw)


def _not_ahead(moment: datetime, received_at: datetime) -> datetime:
    return received_at if moment > received_at + CLOCK_TOLERANCE else moment


def _within(value: float | None, low: float, high: float) -> float | None:
    if value is None or not math.isfinite(value) or not low <= value <= high:
        return None
    return value


def _or(first: T | None, second: T) -> T:
    return second if first is None else first
