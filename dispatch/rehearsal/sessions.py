"""Charging sessions from a CSV: who plugged in when, for how long, for how much.

Two files, `;` between columns, decimal comma, `NA` for missing, local wall-clock times:
sessions (user_id, plugin_time, plugout_time, energy_session) and the users' power
(user_id, charging_power). What misses a value is left out and counted.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

# A day's cars plug in from noon to noon: nothing that matters here happens at noon.
EVENING_BEGINS = timedelta(hours=12)
MISSING = ("", "NA")


class UnreadableSessions(Exception):
    """The files are not what they are said to be; the text says where."""


@dataclass(frozen=True, slots=True)
class Session:
    """One car, from plugging in to unplugging."""

    user: str
    plugged_in: datetime
    unplugged: datetime
    energy_kwh: float
    power_kw: float

    @property
    def evening(self) -> date:
        """The day at whose noon its evening began."""
        return (self.plugged_in - EVENING_BEGINS).date()


@dataclass(frozen=True)
class Sessions:
    """What was read, by evening, and between which days each user was there."""

    by_evening: Mapping[date, list[Session]]
    first: Mapping[str, date]
    last: Mapping[str, date]
    left_out: int

    def enrolled(self, day: date) -> int:
        """Return how many users are there: between their first and last session."""
        return sum(self.first[user] <= day <= self.last[user] for user in self.first)


def read(sessions: Path, charging_power: Path, *, times_power: float = 1.0) -> Sessions:
    """Read both files; `times_power` multiplies every car's power."""
    power_kw = {
        row["user_id"]: _number(row["charging_power"], charging_power) * times_power
        for row in _rows(charging_power, "user_id", "charging_power")
        if row["charging_power"] not in MISSING
    }
    columns = ("user_id", "plugin_time", "plugout_time", "energy_session")
    by_evening: dict[date, list[Session]] = {}
    first: dict[str, date] = {}
    last: dict[str, date] = {}
    left_out = 0
    for row in _rows(sessions, *columns):
        user = row["user_id"]
        missing = any(row[name] in MISSING for name in columns)
        if missing or power_kw.get(user, 0.0) <= 0.0:
            left_out += 1
            continue
        session = Session(
            user,
            _moment(row["plugin_time"], sessions),
            _moment(row["plugout_time"], sessions),
            _number(row["energy_session"], sessions),
            power_kw[user],
        )
        day = session.evening
        by_evening.setdefault(day, []).append(session)
        first[user] = min(first.get(user, day), day)
        last[user] = max(last.get(user, day), day)
    if not by_evening:
        raise UnreadableSessions(f"{sessions} has no session with a known power")
    return Sessions(by_evening, first, last, left_out)


def winter_weekdays(since: date, until: date) -> list[date]:
    """Return the weekdays of a span but for 20 December to 5 January."""
    days = [since + timedelta(days=n) for n in range((until - since).days + 1)]
    return [day for day in days if day.weekday() < 5 and not _is_yule(day)]


def _is_yule(day: date) -> bool:
    return (day.month, day.day) >= (12, 20) or (day.month, day.day) <= (1, 5)


def _number(text: str, path: Path) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        raise UnreadableSessions(f"{path}: {text} is no number") from None


def _moment(text: str, path: Path) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise UnreadableSessions(f"{path}: {text} is no date and time") from None


def _rows(path: Path, *columns: str) -> Iterator[dict[str, str]]:
    """Yield a file's rows once it has shown that it has these columns."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, delimiter=";")
            missing = set(columns) - set(reader.fieldnames or ())
            if missing:
                raise UnreadableSessions(f"{path} has no column {min(missing)}")
            yield from reader
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableSessions(f"{path}: {error}") from error
