"""What can be expected of an evening before its event: similar evenings before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from dispatch.rehearsal import evening
from dispatch.rehearsal.evening import NEXT_NOON, STEPS, Evening, Floats

# Four weeks of weekdays: fewer are noisy, more reach back into another season.
SIMILAR_DAYS = 20


@dataclass(frozen=True)
class Arrivals:
    """The load of cars that will plug in, if nobody holds them, per enrolled car."""

    ahead: Floats  # (NEXT_NOON + 1, STEPS): of those that come at a step or later

    @classmethod
    def of(cls, expected: Evening) -> Arrivals:
        """Add up an evening's cars by when they come."""
        ahead = np.zeros((NEXT_NOON + 1, STEPS))
        for step in np.unique(expected.arrives):
            come = expected.arrives == step
            ahead[min(int(step), NEXT_NOON)] = evening.load_kw(
                expected.arrives[come],
                expected.leaves[come],
                expected.energy_kwh[come],
                expected.power_kw[come],
            )
        suffixes = np.cumsum(ahead[::-1], axis=0)[::-1]
        return cls(suffixes / max(expected.enrolled, 1))


def similar_evenings(
    evenings: Mapping[date, Evening], day: date, *, similar: Sequence[date]
) -> Evening | None:
    """Lay the last similar evenings before a day over each other; None without any."""
    before = [one for one in similar if one < day and one in evenings]
    if not before:
        return None
    return evening.pooled([evenings[one] for one in before[-SIMILAR_DAYS:]])
