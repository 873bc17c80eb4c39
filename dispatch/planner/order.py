"""Who comes first."""

from __future__ import annotations

import numpy as np

from dispatch.planner.shapes import Bools, Cars, Texts


def texts(cars: Cars, text: str) -> Texts:
    """Return one text for every car (n)."""
    return np.full(len(cars.vehicle_id), text, dtype="U40")


def places(mask: Bools) -> list[int]:
    """Return where the mask is true, ascending."""
    return [int(place) for place in np.flatnonzero(mask)]


def longest_slack_first(cars: Cars, mask: Bools) -> list[int]:
    """Sort cars that can wait longest first, then those that bring most per call."""
    return sorted(
        places(mask),
        key=lambda place: (-cars.latest_start[place], -cars.power_kw[place], place),
    )


def least_slack_first(cars: Cars, mask: Bools) -> list[int]:
    """Sort cars whose latest start comes first to the front."""
    return sorted(places(mask), key=lambda place: (cars.latest_start[place], place))
