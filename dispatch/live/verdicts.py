"""What an event's figures mean, in words."""

from __future__ import annotations

from datetime import datetime, timedelta

from dispatch import results
from dispatch.lifecycle import EventStatus
from dispatch.live import shapes
from dispatch.live.chart import Sample
from dispatch.live.words import counted, kilowatts
from dispatch.models import GridEvent

# Before that a shortfall is the ramp at work.
RAMP_UP = timedelta(minutes=15)
MET_FROM = 0.98  # of the target


def gone(left: results.Left) -> str:
    """Say with what those left that an event held."""
    if not left.cars:
        return ""
    text = f"{counted(left.cars, 'car')} left after a hold, {left.late} late"
    if left.late:
        text += f" ({left.late_per_1000:.0f} per 1,000), {left.short_kwh:.1f} kWh short"
    return text


def broken(found: results.Broken) -> str:
    """Say what gave way: a cap, a ramp, a target."""
    parts = []
    if found.over_cap:
        parts.append(f"{counted(found.over_cap, 'car')} went back over the restore cap")
    if found.over_ramp:
        parts.append(f"{counted(found.over_ramp, 'car')} beyond the ramp")
    if found.minutes_out_of_reach:
        minutes = counted(found.minutes_out_of_reach, "minute")
        parts.append(f"target out of reach for {minutes}")
    return ", ".join(parts)


def shed(newest: Sample | None) -> tuple[str, str]:
    """Return the estimate of what is shed, and its interval."""
    if newest is None or newest.shed_kw is None:
        return "", ""
    low, high = newest.shed_low_kw or 0.0, newest.shed_high_kw or 0.0
    return kilowatts(newest.shed_kw), f"{kilowatts(low)} to {kilowatts(high)}"


def verdict(
    event: GridEvent, newest: Sample | None, now: datetime
) -> tuple[shapes.Tone, str]:
    """Say in words how the confirmed figure stands to what was promised."""
    if newest is None:
        return "", "no figures yet"
    if event.status == EventStatus.RESTORING:
        return "", "giving back"
    if event.target_kw is None:
        return "", "no target: all that can be held"
    # What cars would have finished by now is stopped and not shed.
    met_kw = newest.confirmed_kw if newest.shed_kw is None else newest.shed_kw
    if met_kw >= event.target_kw * MET_FROM:
        return "", "target met"
    short = f"{kilowatts(event.target_kw - met_kw)} kW short"
    if now - event.starts_at < RAMP_UP:
        return "", f"{short}, still ramping"
    return "warning", short
