"""Small session files for tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

SESSIONS = [
    "location;user_id;session_id;plugin_time;plugout_time;connection_time;energy_session"
]
POWER = ["user_id;charging_power;battery_capacity", "ada;3,5;24"]


def write(
    folder: Path, sessions: Sequence[str], power: Sequence[str]
) -> tuple[Path, Path]:
    """Write both files; return their paths."""
    files = folder / "sessions.csv", folder / "power.csv"
    files[0].write_text("\n".join([*SESSIONS, *sessions]) + "\n", encoding="utf-8")
    files[1].write_text("\n".join([POWER[0], *power]) + "\n", encoding="utf-8")
    return files


def weeks(folder: Path, *, cars: int = 12, days: int = 21) -> tuple[Path, Path]:
    """Write some weeks from 6 January 2020 in which the same cars come every day."""
    monday = date(2020, 1, 6)
    rows = []
    for n in range(days):
        day, next_day = monday + timedelta(days=n), monday + timedelta(days=n + 1)
        for car in range(cars):
            came = f"{day} {15 + car % 6}:{7 * (car % 8):02}:00"
            left = f"{next_day} 0{6 + car % 3}:30:00"
            energy = f"{6 + 2 * (car % 5)},5"
            rows.append(f"A;car{car};{n}-{car};{came};{left};NA;{energy}")
    return write(folder, rows, [f"car{car};6,0;40" for car in range(cars)])
