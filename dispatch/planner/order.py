"""Who comes first; of equals, who has the lower number."""

from __future__ import annotations

import numpy as np

from dispatch.planner.shapes import Bools, Cars, Ints


def by_number(cars: Cars, mask: Bools) -> Ints:
    """Return the places of these cars by their numbers."""
    places = np.flatnonzero(mask)
    return places[np.argsort(cars.vehicle_id[places], kind="stable")]


def longest_slack_first(cars: Cars, mask: Bools) -> Ints:
    """Sort cars that can wait longest first, then those that bring most per call."""
    places = by_number(cars, mask)
    keys = (-cars.power_kw[places], -cars.latest_start[places])  # the last one leads
    return places[np.lexsort(keys)]


def least_slack_first(cars: Cars, mask: Bools) -> Ints:
    """Sort cars whose latest start comes first to the front."""
    places = by_number(cars, mask)
    return places[np.argsort(cars.latest_start[places], kind="stable")]
