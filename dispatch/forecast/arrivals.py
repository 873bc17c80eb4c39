"""What will be drawn beside a restore: by cars that nobody holds, most yet to come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from dispatch import holds
from dispatch.forecast import issuing, quarters
from dispatch.forecast.quarters import Floats
from dispatch.models import Forecast, Hold
from dispatch.models.forecasts import Measure
from fleets import charging
from fleets.models import Feeder, Program

FULL_PERCENT = 100.0


@dataclass(frozen=True)
class Ahead:
    """kW of each quarter hour from `starts_at` on (n); NaN where nothing was told."""

    starts_at: datetime
    low_90_kw: Floats
    median_kw: Floats
    high_90_kw: Floats


def not_held(of: Program | Feeder, *, now: datetime) -> Ahead | None:
    """Return the unmanaged load of cars that are not held: a program's, or a feeder's.

    The newest forecast, from this quarter hour to its end, less what the held cars
    would be drawing had nobody held them: that is owed, and comes by the restore. None
    when no forecast reaches this quarter hour.
    """
    forecast = (
        Forecast.objects.filter(
            **{"feeder" if isinstance(of, Feeder) else "program": of},
            measure=Measure.LOAD,
            issued_at__lte=now,
            issued_at__gt=now - timedelta(days=1),
        )
        .order_by("-issued_at")
        .first()
    )
    if forecast is None:
        return None
    begin = quarters.number(now)
    bounds = issuing.bounds_of(forecast)[
        :, begin - quarters.number(forecast.issued_at) :
    ]
    held = _would_draw_kw(of, begin=begin, count=bounds.shape[1])
    low, _, median, _, high = np.maximum(bounds - held, 0.0)
    return Ahead(quarters.moment(begin), low, median, high)


def _would_draw_kw(of: Program | Feeder, *, begin: int, count: int) -> Floats:
    """Return what held cars would draw, had they charged on until full (count)."""
    rows = np.array(
        Hold.objects.open()
        .filter(
            **{"vehicle__feeder" if isinstance(of, Feeder) else "event__program": of},
            was_charging=True,
        )
        .exclude(holds.AWAY)  # those would draw nothing here
        .values_list(
            "opened_at", "power_kw", "soc_percent", "limit_percent",
            "vehicle__battery_kwh",
        ),
        dtype=object,
    ).reshape(-1, 5)  # fmt: skip
    opened = np.array([at.timestamp() for at in rows[:, 0]], dtype=float)
    power_kw, soc, limit, battery_kwh = rows[:, 1:].astype(float).T
    hours = charging.hours_needed(
        np.nan_to_num(soc),
        np.where(np.isnan(limit), FULL_PERCENT, limit),
        battery_kwh,
        np.maximum(power_kw, np.finfo(float).tiny),
    )
    until = opened + np.minimum(hours, 24.0 * 7) * 3600.0
    return quarters.mean_over(begin, count, opened, until, power_kw)
