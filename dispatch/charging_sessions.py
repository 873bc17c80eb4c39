"""Charging sessions from files: who plugged in when, for how long, for how much.

Two files, `;` between columns, decimal comma, `NA` for missing, local wall-clock times:
sessions (user_id, plugin_time, plugout_time, energy_session in kWh) and users (user_id,
charging_power in kW). What misses a value, has no energy or ends before it begins is
left out and counted.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path

MISSING = ("", "NA", None)  # None: the row is torn
LEAST_KW = 1.0  # no car draws less
SHORTEST_SECONDS = 900.0  # what is shorter tells no power


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


def read(
    sessions: Path, charging_power: Path | None = None, *, zone: tzinfo = UTC
) -> tuple[list[Session], int]:
    """Return the sessions, and how many were left out.

    Without a file of powers, a user's is the least that explains all sessions; of one
    over a clock change, `zone` tells the real length.
    """
    columns = ("user_id", "plugin_time", "plugout_time", "energy_session")
    told_kw = dict(_powers(charging_power)) if charging_power else None
    found: list[Session] = []
    left_out = 0
    for row in _rows(sessions, *columns):
        power_kw = LEAST_KW if told_kw is None else told_kw.get(row["user_id"])
        if power_kw is None or any(row[name] in MISSING for name in columns):
            left_out += 1
            continue
        session = Session(
            row["user_id"],
            _moment(row["plugin_time"], sessions),
            _moment(row["plugout_time"], sessions),
            _number(row["energy_session"], sessions),
            power_kw,
        )
        if session.energy_kwh > 0.0 and session.unplugged > session.plugged_in:
            found.append(session)
        else:
            left_out += 1
    if not found:
        raise UnreadableSessions(f"{sessions} has no session with a known power")
    return (_with_least_powers(found, zone) if told_kw is None else found), left_out


def _powers(path: Path) -> Iterator[tuple[str, float]]:
    for row in _rows(path, "user_id", "charging_power"):
        if row["charging_power"] not in MISSING:
            power_kw = _number(row["charging_power"], path)
            if power_kw > 0.0:
                yield row["user_id"], power_kw


def _with_least_powers(found: list[Session], zone: tzinfo) -> list[Session]:
    power_kw: dict[str, float] = defaultdict(lambda: LEAST_KW)
    for one in found:
        began, ended = (
            moment.replace(tzinfo=zone).timestamp()
            for moment in (one.plugged_in, one.unplugged)
        )
        least = one.energy_kwh / max(ended - began, SHORTEST_SECONDS) * 3600.0
        power_kw[one.user] = max(power_kw[one.user], least)
    return [replace(one, power_kw=power_kw[one.user]) for one in found]


def _number(text: str, path: Path) -> float:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        number = math.inf
    if not math.isfinite(number):
        raise UnreadableSessions(f"{path}: {text} is no number")
    return number


def _moment(text: str, path: Path) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise UnreadableSessions(f"{path}: {text} is no date and time") from None


def _rows(path: Path, *columns: str) -> Iterator[dict[str, str]]:
    """Yield a file's rows once it has shown that it has these columns."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=";")
            missing = set(columns) - set(reader.fieldnames or ())
            if missing:
                raise UnreadableSessions(f"{path} has no column {min(missing)}")
            yield from reader
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableSessions(f"{path}: {error}") from error
