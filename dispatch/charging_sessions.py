"""Charging sessions from files: who plugged in when, for how long, for how much.

Two files, `;` between columns, decimal comma, `NA` for missing, local wall-clock times:
sessions (user_id, plugin_time, plugout_time, energy_session in kWh) and users (user_id,
charging_power in kW). What misses a value is left out and counted.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

MISSING = ("", "NA")


class UnreadableSessions(Exception):
    """The files are not what they are said to be; the text says where."""


@dataclass(frozen=True, slots=True)
class Session:
    """One car, from plugging in to unplugging."""

    user: str
    plugged_in: datetime  # naive: by the clock on the wall
    unplugged: datetime
    energy_kwh: float
    power_kw: float


def read(sessions: Path, charging_power: Path) -> tuple[list[Session], int]:
    """Return the sessions, and how many were left out."""
    power_kw = {
        row["user_id"]: _number(row["charging_power"], charging_power)
        for row in _rows(charging_power, "user_id", "charging_power")
        if row["charging_power"] not in MISSING
    }
    columns = ("user_id", "plugin_time", "plugout_time", "energy_session")
    found: list[Session] = []
    left_out = 0
    for row in _rows(sessions, *columns):
        user = row["user_id"]
        missing = any(row[name] in MISSING for name in columns)
        if missing or power_kw.get(user, 0.0) <= 0.0:
            left_out += 1
            continue
        found.append(
            Session(
                user,
                _moment(row["plugin_time"], sessions),
                _moment(row["plugout_time"], sessions),
                _number(row["energy_session"], sessions),
                power_kw[user],
            )
        )
    if not found:
        raise UnreadableSessions(f"{sessions} has no session with a known power")
    return found, left_out


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
