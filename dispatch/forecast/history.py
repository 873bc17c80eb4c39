"""Samples as arrays: what a program's or a feeder's cars did, per known car."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from dispatch.forecast import quarters, similar_days
from dispatch.forecast.quarters import Floats
from dispatch.models import QuarterSample
from dispatch.models.forecasts import Measure
from fleets.models import Feeder, Program

# With fewer of its cars heard of, a quarter hour counts as not seen.
LEAST_KNOWN_SHARE = 0.5


@dataclass(frozen=True)
class Scope:
    """What is foretold together: a program's cars, or those on a feeder."""

    program: Program | None
    feeder: Feeder | None
    zone: ZoneInfo

    @property
    def ids(self) -> dict[str, int | None]:
        """Say which it is, as rows do."""
        return {
            "program_id": self.program.pk if self.program else None,
            "feeder_id": self.feeder.pk if self.feeder else None,
        }


@dataclass(frozen=True)
class History:
    """Quarter hours from number `first` on; NaN where nothing was seen (n)."""

    first: int
    per_car: dict[Measure, Floats]

    def until(self, quarter: int) -> History:
        """Return what was known before a quarter hour."""
        count = max(0, quarter - self.first)
        return History(
            self.first, {name: seen[:count] for name, seen in self.per_car.items()}
        )

    def of(self, measure: Measure, *, begin: int, length: int) -> Floats:
        """Return the values of some quarter hours (length)."""
        return self.per_car[measure][begin - self.first : begin - self.first + length]


def read(scope: Scope, *, until: datetime) -> History:
    """Return what was seen before a moment, as far as forecasts look back.

    What holds moved is left out, but for who was plugged in.
    """
    end = quarters.number(until)
    first = end - similar_days.HISTORY - quarters.A_DAY
    rows = np.array(
        QuarterSample.objects.filter(
            **scope.ids, at__gte=quarters.moment(first), at__lt=quarters.moment(end)
        ).values_list("at", "cars", "known_cars", "is_managed", *Measure.values),
        dtype=object,
    ).reshape(-1, 4 + len(Measure))
    place = np.array([quarters.number(at) - first for at in rows[:, 0]], dtype=np.int64)
    cars, known = rows[:, 1].astype(float), rows[:, 2].astype(float)
    unseen = (known == 0.0) | (known < LEAST_KNOWN_SHARE * cars)
    managed = rows[:, 3].astype(bool)
    per_car: dict[Measure, Floats] = {}
    for column, measure in enumerate(Measure, 4):
        left_out = unseen if measure == Measure.PLUGGED_IN else unseen | managed
        rates = rows[:, column].astype(float) / np.where(known > 0.0, known, 1.0)
        per_car[measure] = np.full(end - first, np.nan)
        per_car[measure][place] = np.where(left_out, np.nan, rates)
    return History(first, per_car)
