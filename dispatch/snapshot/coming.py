"""What cars that are still to come will draw, by the newest forecast."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from dispatch.forecast import arrivals, quarters
from dispatch.planner import Floats
from dispatch.room import AHEAD_SECONDS, AHEAD_STEPS
from fleets.models import Feeder, Program


def coming_kw(of: Program | Feeder, here_kw: Floats, *, now: datetime) -> Floats:
    """Return the load of cars to come, in steps of AHEAD_SECONDS (AHEAD_STEPS).

    The unmanaged load that is forecast, but for the cars that are held, less `here_kw`:
    that of cars which charge already and were not held. Nothing without a forecast, nor
    beyond its end.
    """
    ahead = arrivals.not_held(of, now=now)
    if ahead is None:
        return np.zeros(AHEAD_STEPS)
    since = (now - ahead.starts_at).total_seconds()
    quarter = (since + np.arange(AHEAD_STEPS) * AHEAD_SECONDS) // quarters.SECONDS
    forecast_kw = np.append(np.nan_to_num(ahead.median_kw), 0.0)
    places = np.minimum(quarter.astype(np.int64), len(forecast_kw) - 1)
    return np.maximum(forecast_kw[places] - here_kw, 0.0)
