"""What a stopped car would be drawing by now: it would have filled. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Battery sizes are nominal, charge comes in whole percents, and the last percents come
# slowly: the hour at which a car is full is known to about so much of the hours.
SPREAD_SHARE = 0.1
LEAST_SPREAD_HOURS = 0.1
# A normal distribution by a logistic one: within 0.01.
LOGISTIC = 1.702


def would_draw_share(hours_to_full: Floats, hours_held: Floats) -> Floats:
    """Return the chance that each car would still charge (n)."""
    spread = np.maximum(hours_to_full * SPREAD_SHARE, LEAST_SPREAD_HOURS)
    beyond = np.clip((hours_held - hours_to_full) / spread * LOGISTIC, -500.0, 500.0)
    share: Floats = 1.0 / (1.0 + np.exp(beyond))
    return share
