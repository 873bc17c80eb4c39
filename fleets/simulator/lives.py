"""When cars come home, plug in and leave: drawn, or replayed from real sessions.

Hours are local, at a fixed distance from UTC. A life answers for any car and any day
without memory, so the same seed gives the same evenings whatever anybody commands.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Protocol

DAY_SECONDS = 86_400
HOUR_SECONDS = 3_600
WEEKEND = (5, 6)

PLUGS_IN = 0.8  # share of cars that plug in on an evening
AT_HOME_BY_DAY = 0.08  # these come around noon and stay
FAST_CHARGING = 0.01  # these charge elsewhere, at a fast charger, in the evening
FAST_POWER_KW = (50.0, 150.0)
SOCKETS_KW = (3.6, 7.4, 11.0)  # the usual wall boxes, and a replayed car's power


@dataclass(frozen=True, slots=True)
class Session:
    """One stay at a plug."""

    plug_in: float  # seconds since the epoch
    plug_out: float
    soc_percent: float  # at plug-in
    power_kw: float | None = None  # the car's own where none is given
    is_home: bool = True


@dataclass(frozen=True, slots=True)
class Replayed:
    """A car found in recorded sessions, with what these tell about it."""

    label: str
    capacity_kwh: float
    power_kw: float
    stays: tuple[tuple[float, float, float], ...]  # hours in, hours out, soc percent


class Life(Protocol):
    """Whoever knows when a car is at a plug."""

    def sessions(self, index: int, day: int) -> Iterable[Session]:
        """Return the stays that begin in the 24 hours from a day's noon."""
        ...


@dataclass(frozen=True, slots=True)
class Evenings:
    """Weekday evenings as the field reports them, drawn from a seed."""

    seed: int
    utc_offset_hours: float

    def sessions(self, index: int, day: int) -> list[Session]:
        """Return the stay of one evening, if the car plugs in at all."""
        draw = Random(f"{self.seed}/{index}/{day}")  # noqa: S311 - a simulation
        midnight = day * DAY_SECONDS - self.utc_offset_hours * HOUR_SECONDS
        is_weekend = (
            datetime.fromtimestamp((day + 1) * DAY_SECONDS, UTC).weekday() in WEEKEND
        )
        kind = draw.random()
        if kind < FAST_CHARGING:
            arrival = draw.uniform(15, 20)
            return [
                Session(
                    midnight + arrival * HOUR_SECONDS,
                    midnight + (arrival + draw.uniform(0.4, 0.9)) * HOUR_SECONDS,
                    soc_percent=draw.uniform(10, 40),
                    power_kw=draw.uniform(*FAST_POWER_KW),
                    is_home=False,
                )
            ]
        if kind > PLUGS_IN:
            return []
        soc_percent = draw.triangular(8, 95, 55)
        if kind < FAST_CHARGING + AT_HOME_BY_DAY:
            arrival = draw.uniform(12, 14)
            soc_percent = max(soc_percent, 45)
        else:
            arrival = draw.triangular(16, 23, 18.5)
        leaves = draw.triangular(8, 11, 9) if is_weekend else draw.triangular(6, 8, 7)
        return [
            Session(
                midnight + arrival * HOUR_SECONDS,
                midnight + (24 + leaves) * HOUR_SECONDS,
                soc_percent=soc_percent,
            )
        ]


@dataclass(frozen=True, slots=True)
class Replay:
    """One recorded evening, the same on every simulated day."""

    cars: tuple[Replayed, ...]
    utc_offset_hours: float

    def sessions(self, index: int, day: int) -> list[Session]:
        """Return the recorded stays of a car; cars beyond the record stay away."""
        if index >= len(self.cars):
            return []
        midnight = day * DAY_SECONDS - self.utc_offset_hours * HOUR_SECONDS
        return [
            Session(
                midnight + plug_in * HOUR_SECONDS,
                midnight + plug_out * HOUR_SECONDS,
                soc_percent=soc_percent,
            )
            for plug_in, plug_out, soc_percent in self.cars[index].stays
        ]


def next_session(
    life: Life, index: int, *, at: float, running: bool, utc_offset_hours: float
) -> Session | None:
    """Return the first stay that begins after an instant, or still runs then."""
    day = int((at + utc_offset_hours * HOUR_SECONDS) // DAY_SECONDS)
    for ahead in range(-1, 15):  # a fortnight without a plug is a car laid up
        for session in life.sessions(index, day + ahead):
            if session.plug_in > at or (running and session.plug_out > at):
                return session
    return None


def read_sessions(path: Path, *, vehicles: int | None) -> tuple[Replayed, ...]:
    """Return the cars of the busiest recorded evening.

    More cars than that evening had are taken from the next busiest ones.
    """
    evenings: dict[datetime, dict[str, list[_Row]]] = {}
    rows = list(_rows(path))
    power_kw, capacity_kwh = _guess_cars(rows)
    for row in rows:
        noon = (row.plug_in - timedelta(hours=12)).replace(
            hour=0, minute=0, second=0, microsecond=0
        )
        evenings.setdefault(noon, defaultdict(list))[row.user].append(row)
    busiest = sorted(evenings, key=lambda day: (-len(evenings[day]), day))
    cars: list[Replayed] = []
    for number, day in enumerate(busiest, start=1):
        if len(cars) >= (vehicles or 1):
            break
        for user, stays in sorted(evenings[day].items()):
            cars.append(
                Replayed(
                    label=user if number == 1 else f"{user}#{number}",
                    capacity_kwh=capacity_kwh[user],
                    power_kw=power_kw[user],
                    stays=_stays(day, stays, capacity_kwh[user]),
                )
            )
    return tuple(cars[:vehicles])


@dataclass(frozen=True, slots=True)
class _Row:
    user: str
    plug_in: datetime  # naive, local
    plug_out: datetime
    energy_kwh: float


def _rows(path: Path) -> Iterable[_Row]:
    """Yield the usable rows of a file with `;` between and decimal commas."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        for line in csv.DictReader(file, delimiter=";"):
            try:
                row = _Row(
                    user=line["user_id"],
                    plug_in=datetime.fromisoformat(line["plugin_time"]),
                    plug_out=datetime.fromisoformat(line["plugout_time"]),
                    energy_kwh=float(line["energy_session"].replace(",", ".")),
                )
            except ValueError:  # NA, or a torn row
                continue
            if row.energy_kwh > 0 and row.plug_out > row.plug_in:
                yield row


def _guess_cars(rows: list[_Row]) -> tuple[dict[str, float], dict[str, float]]:
    """Return power and battery per user: the least that explains all sessions."""
    power_kw: dict[str, float] = {}
    most_kwh: dict[str, float] = defaultdict(float)
    fastest_kw: dict[str, float] = defaultdict(float)
    for row in rows:
        hours = (row.plug_out - row.plug_in).total_seconds() / HOUR_SECONDS
        if hours > 0.25:  # shorter ones divide by rounding
            fastest = row.energy_kwh / hours
            fastest_kw[row.user] = max(fastest_kw[row.user], fastest)
        most_kwh[row.user] = max(most_kwh[row.user], row.energy_kwh)
    for user in most_kwh:
        fits = [kw for kw in SOCKETS_KW if kw >= fastest_kw[user] * 0.95]
        power_kw[user] = fits[0] if fits else SOCKETS_KW[-1]
    capacity_kwh = {
        user: min(100.0, max(24.0, kwh / 0.8)) for user, kwh in most_kwh.items()
    }
    return power_kw, capacity_kwh


def _stays(
    day: datetime, rows: list[_Row], capacity_kwh: float
) -> tuple[tuple[float, float, float], ...]:
    """Return stays as hours from the day's midnight and charge at plug-in.

    The charge is what lets the recorded energy end at 100 %.
    """
    stays = []
    for row in sorted(rows, key=lambda row: row.plug_in):
        plug_in = (row.plug_in - day).total_seconds() / HOUR_SECONDS
        plug_out = (row.plug_out - day).total_seconds() / HOUR_SECONDS
        soc_percent = max(1.0, 100 - 100 * row.energy_kwh / capacity_kwh)
        # The same evening comes back every day: nobody stays into the next one.
        plug_out = min(plug_out, 35.5)
        if plug_out > plug_in:
            stays.append((plug_in, plug_out, soc_percent))
    return tuple(stays)
