"""The model tried on recorded sessions: forecasts of held-out days, and their scores.

A file has `;` between columns, a decimal comma, `NA` for what is missing and local
wall-clock times: user_id, plugin_time, plugout_time, energy_session (kWh). A second
file may tell user_id, charging_power (kW); without it a car's power is the least that
explains its sessions.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from dispatch.forecast import quarters, scoring, similar_days
from dispatch.forecast.quarters import A_DAY, Floats
from dispatch.forecast.scoring import Score

# A car counts from its first session until it was silent for so long: nobody who
# forecasts can know that it will not come again.
SILENT = timedelta(days=28)
SHORTEST = timedelta(minutes=15)  # what is shorter tells no power
ISSUED_AT_HOURS = (0, 6, 12, 18)  # local
PERSISTENCES = {"last_value": 0, "day_before": A_DAY, "week_before": 7 * A_DAY}


class Unreadable(Exception):
    """A file is not what it is said to be, or tells too little; the text says why."""


@dataclass(frozen=True, slots=True)
class _Session:
    user: str
    begins: float  # seconds since 1970
    ends: float
    energy_kwh: float


@dataclass(frozen=True)
class Record:
    """A fleet's quarter hours, from number `first` on (n)."""

    first: int
    zone: ZoneInfo
    cars: Floats
    load_kw: Floats
    plugged_in: Floats
    left_out: int  # sessions that miss a value

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
                raise Unreadable(f"the sessions do not reach around {on}")
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


def read(sessions: Path, *, charging_power: Path | None, zone: ZoneInfo) -> Record:
    """Read sessions into quarter hours: a car draws its power until it has its energy.

    Raises `Unreadable`.
    """
    told_kw = dict(_powers(charging_power)) if charging_power else None
    found: list[_Session] = []
    left_out = 0
    for row in _rows(sessions, "user_id", "plugin_time", "plugout_time",
                     "energy_session"):  # fmt: skip
        session = _session(row, zone)
        if session is None or (told_kw is not None and session.user not in told_kw):
            left_out += 1
        else:
            found.append(session)
    if not found:
        raise Unreadable(f"{sessions} has no session with a known power")
    power_kw = told_kw if told_kw is not None else _least_powers(found)
    first = int(min(one.begins for one in found)) // quarters.SECONDS
    last = int(max(one.ends for one in found)) // quarters.SECONDS
    count = last - first + 1
    begins = np.array([one.begins for one in found])
    ends = np.array([one.ends for one in found])
    kw = np.array([power_kw[one.user] for one in found])
    hours = np.array([one.energy_kwh for one in found]) / kw
    return Record(
        first=first,
        zone=zone,
        cars=quarters.mean_over(first, count, *_presence(found)),
        load_kw=quarters.mean_over(
            first, count, begins, np.minimum(ends, begins + hours * 3600.0), kw
        ),
        plugged_in=quarters.mean_over(first, count, begins, ends, np.ones(len(found))),
        left_out=left_out,
    )


def _presence(found: list[_Session]) -> tuple[Floats, Floats, Floats]:
    """Return from when until when each car counts as there, and ones."""
    spans: dict[str, list[list[float]]] = defaultdict(list)
    for one in sorted(found, key=lambda one: one.begins):
        known = spans[one.user]
        until = one.ends + SILENT.total_seconds()
        if known and one.begins <= known[-1][1]:
            known[-1][1] = max(known[-1][1], until)
        else:
            known.append([one.begins, until])
    pairs = np.array([span for user in sorted(spans) for span in spans[user]])
    return pairs[:, 0], pairs[:, 1], np.ones(len(pairs))


def _least_powers(found: list[_Session]) -> dict[str, float]:
    powers: dict[str, float] = defaultdict(lambda: 1.0)  # no car draws less
    for one in found:
        seconds = max(one.ends - one.begins, SHORTEST.total_seconds())
        least = one.energy_kwh / seconds * 3600.0
        powers[one.user] = max(powers[one.user], least)
    return powers


def _session(row: dict[str, str], zone: ZoneInfo) -> _Session | None:
    try:
        begins, ends = (
            datetime.fromisoformat(row[name]).replace(tzinfo=zone).timestamp()
            for name in ("plugin_time", "plugout_time")
        )
        energy_kwh = _number(row["energy_session"])
    except ValueError:  # NA, or a torn row
        return None
    if not (0.0 < energy_kwh < float("inf") and ends > begins):
        return None
    return _Session(row["user_id"], begins, ends, energy_kwh)


def _powers(path: Path) -> Iterator[tuple[str, float]]:
    for row in _rows(path, "user_id", "charging_power"):
        try:
            power_kw = _number(row["charging_power"])
        except ValueError:
            continue
        if 0.0 < power_kw < float("inf"):
            yield row["user_id"], power_kw


def _number(text: str) -> float:
    return float(text.replace(",", "."))


def _rows(path: Path, *columns: str) -> Iterator[dict[str, str]]:
    """Yield a file's rows once it has shown that it has these columns."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=";")
            if missing := set(columns) - set(reader.fieldnames or ()):
                raise Unreadable(f"{path} has no column {min(missing)}")
            yield from reader
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"{path}: {error}") from error
