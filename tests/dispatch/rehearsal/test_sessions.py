"""Charging sessions from files."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from dispatch.rehearsal import sessions
from dispatch.rehearsal.sessions import UnreadableSessions
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

    read = sessions.read(*files)

    (ada,) = read.by_evening[date(2020, 1, 13)]
    assert (ada.user, ada.energy_kwh, ada.power_kw) == ("ada", 19.96, 3.5)
    assert read.left_out == 3
    assert read.enrolled(date(2020, 1, 13)) == 1


def test_a_user_is_there_between_the_first_and_the_last_session(tmp_path: Path) -> None:
    rows = [
        f"A;ada;{n};2020-01-{n} 16:00:00;2020-01-{n} 17:00:00;1;5" for n in (13, 20)
    ]

    read = sessions.read(*write(tmp_path, rows, ["ada;3,5;24"]))

    there = [day for day in (12, 13, 17, 20, 21) if read.enrolled(date(2020, 1, day))]
    assert there == [13, 17, 20]


def test_power_can_be_multiplied(tmp_path: Path) -> None:
    row = "A;ada;1;2020-01-13 16:00:00;2020-01-14 07:00:00;15;20"

    read = sessions.read(*write(tmp_path, [row], ["ada;3,5;24"]), times_power=2.0)

    assert read.by_evening[date(2020, 1, 13)][0].power_kw == 7.0


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
        sessions.read(*files)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSessions, match="nowhere"):
        sessions.read(tmp_path / "nowhere.csv", tmp_path / "nowhere.csv")


def test_winter_weekdays_leave_out_weekends_and_yule() -> None:
    days = sessions.winter_weekdays(date(2019, 12, 18), date(2020, 1, 8))

    assert [day.isoformat() for day in days] == [
        "2019-12-18", "2019-12-19", "2020-01-06", "2020-01-07", "2020-01-08",
    ]  # fmt: skip
