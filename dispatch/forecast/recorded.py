"""The model tried on recorded sessions: held-out days forecast, and the scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from dispatch.charging_sessions import Session
from dispatch.forecast import quarters, scoring, similar_days
from dispatch.forecast.quarters import A_DAY, Floats
from dispatch.forecast.scoring import Score

# A car counts from its first session until it was silent for so long: nobody who
# forecasts can know that it will not come again.
SILENT = timedelta(days=28)
ISSUED_AT_HOURS = (0, 6, 12, 18)  # local
PERSISTENCES = {"last_value": 0, "day_before": A_DAY, "week_before": 7 * A_DAY}


class TooShort(Exception):
    """The sessions do not reach around a day that is to be forecast."""


@dataclass(frozen=True)
class Record:
    """A fleet's quarter hours, from number `first` on (n)."""

    first: int
    zone: ZoneInfo
    cars: Floats
    load_kw: Floats
    plugged_in: Floats

    def last_full_day(self) -> date:
        """Return the last day before more than half of the cars are silent for good."""
        there = np.flatnonzero(self.cars >= self.cars.max() / 2.0)
        silent = quarters.moment(self.first + int(there[-1])).astimezone(self.zone)
        return (silent - SILENT).date() - timedelta(days=1)


@dataclass(frozen=True)
class Trial:
    """How the model and what it must beat did on the same quarter hours."""

    model: Score
    persistence: dict[str, Score]

    @property
    def best_persistence(self) -> float:
        """The least pinball loss among them."""
        return min(score.pinball for score in self.persistence.values())


def try_out(record: Record, values: Floats, *, until: date, days: int) -> Trial:
    """Forecast held-out days as they came, each from what was before it alone.

    Four forecasts a day, 24 hours each, in the unit of `values`.
    """
    model: list[Score] = []
    persistence: dict[str, list[Score]] = {name: [] for name in PERSISTENCES}
    rates = values / np.where(record.cars > 0, record.cars, np.nan)
    for day in range(days):
        on = until - timedelta(days=days - 1 - day)
        for hour in ISSUED_AT_HOURS:
            moment = datetime(on.year, on.month, on.day, hour, tzinfo=record.zone)
            issued = quarters.number(moment) - record.first
            if issued < A_DAY or issued + A_DAY > len(values):
                raise TooShort(f"the sessions do not reach around {on}")
            known, came = rates[:issued], values[issued : issued + A_DAY]
            cars = record.cars[issued - 1]
            bounds = similar_days.forecast(known, first=record.first, zone=record.zone)
            told = np.isfinite(bounds).all(axis=0)
            model.append(scoring.score(bounds * cars, came))
            for name, back in PERSISTENCES.items():
                other = similar_days.persistence(known, back=back)
                # On the same quarter hours, or it would be another race.
                other[:, ~told] = np.nan
                persistence[name].append(scoring.score(other * cars, came))
    return Trial(
        scoring.together(model),
        {name: scoring.together(found) for name, found in persistence.items()},
    )


def in_quarters(sessions: Sequence[Session], *, zone: ZoneInfo) -> Record:
    """Lay sessions on quarter hours: a car draws its power until it has its energy."""
    begins = np.array([_seconds(one.plugged_in, zone) for one in sessions])
    ends = np.array([_seconds(one.unplugged, zone) for one in sessions])
    kw = np.array([one.power_kw for one in sessions])
    hours = np.array([one.energy_kwh for one in sessions]) / kw
    first = int(begins.min()) // quarters.SECONDS
    count = int(ends.max()) // quarters.SECONDS - first + 1
    users = [one.user for one in sessions]
    return Record(
        first=first,
        zone=zone,
        cars=quarters.mean_over(first, count, *_presence(users, begins, ends)),
        load_kw=quarters.mean_over(
            first, count, begins, np.minimum(ends, begins + hours * 3600.0), kw
        ),
        plugged_in=quarters.mean_over(
            first, count, begins, ends, np.ones(len(sessions))
        ),
    )


def _seconds(moment: datetime, zone: ZoneInfo) -> float:
    """Return seconds since 1970 of a moment by the clock on the wall."""
    return moment.replace(tzinfo=zone).timestamp()


def _presence(
    users: Sequence[str], begins: Floats, ends: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return from when until when each car counts as there, and ones."""
    spans: dict[str, list[list[float]]] = defaultdict(list)
    for place in np.argsort(begins, kind="stable"):
        known = spans[users[place]]
        until = float(ends[place]) + SILENT.total_seconds()
        if known and begins[place] <= known[-1][1]:
            known[-1][1] = max(known[-1][1], until)
        else:
            known.append([float(begins[place]), until])
    pairs = np.array([span for user in sorted(spans) for span in spans[user]])
    return pairs[:, 0], pairs[:, 1], np.ones(len(pairs))
