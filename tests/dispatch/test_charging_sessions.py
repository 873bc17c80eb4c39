"""Charging sessions from files."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatch import charging_sessions
from dispatch.charging_sessions import UnreadableSessions
from tests.dispatch.rehearsal.files import POWER, SESSIONS, write


def test_it_reads_decimal_commas_and_leaves_out_what_misses_a_value(
    tmp_path: Path,
) -> None:
    files = write(
        tmp_path,
        [
            "A;ada;1;2020-01-13 16:00:00;2020-01-14 07:00:00;15;19,96",
            "A;ada;2;2020-01-14 16:00:00;NA;NA;5",
            "A;ben;3;2020-01-13 17:00:00;2020-01-14 07:00:00;14;8,5",
            "A;chloe;4;2020-01-13 17:00:00;2020-01-14 07:00:00;14;8,5",
        ],
        ["ada;3,5;24", "ben;NA;NA"],
    )

    (ada,), left_out = charging_sessions.read(*files)

    assert (ada.user, ada.energy_kwh, ada.power_kw) == ("ada", 19.96, 3.5)
    assert ada.plugged_in.isoformat() == "2020-01-13T16:00:00"
    assert left_out == 3


@pytest.mark.parametrize(
    ("session_lines", "power_lines", "told"),
    [
        # another file's columns
        (["user;energy"], POWER, "no column"),
        (SESSIONS, ["user_id;battery"], "no column"),
        # not a number
        (
            [*SESSIONS, "A;ada;1;2020-01-13 16:00:00;2020-01-14 07:00:00;1;x"],
            POWER,
            "x",
        ),
        # nothing in it
        (SESSIONS, POWER, "no session"),
    ],
)
def test_a_file_that_is_something_else_is_refused(
    tmp_path: Path, session_lines: list[str], power_lines: list[str], told: str
) -> None:
    files = (tmp_path / "sessions.csv", tmp_path / "power.csv")
    for file, lines in zip(files, (session_lines, power_lines), strict=True):
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    with pytest.raises(UnreadableSessions, match=told):
        charging_sessions.read(*files)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSessions, match="nowhere"):
        charging_sessions.read(tmp_path / "nowhere.csv", tmp_path / "nowhere.csv")
