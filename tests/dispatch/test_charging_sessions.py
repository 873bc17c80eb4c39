"""Charging sessions from files."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatch import charging_sessions
from dispatch.charging_sessions import UnreadableSessions
from tests.dispatch.rehearsal.files import POWER, SESSIONS, write


def test_it_reads_decimal_commas_and_leaves_out_what_tells_no_session(
    tmp_path: Path,
) -> None:
    files = write(
        tmp_path,
        [
            "A;ada;1;2020-01-13 16:00:00;2020-01-14 07:00:00;15;19,96",
            # a moment and an energy are missing, a row is torn
            "A;ada;2;2020-01-14 16:00:00;NA;NA;5",
            "A;ada;3;2020-01-14 16:00:00;2020-01-15 07:00:00;15;NA",
            "A;ada;4;2020-01-14 16:00:00",
            # unplugged before it plugged in; no energy
            "A;ada;5;2020-01-14 16:00:00;2020-01-13 07:00:00;15;5",
            "A;ada;6;2020-01-14 16:00:00;2020-01-15 07:00:00;15;0",
            # no power is known of them
            "A;ben;7;2020-01-13 17:00:00;2020-01-14 07:00:00;14;8,5",
            "A;chloe;8;2020-01-13 17:00:00;2020-01-14 07:00:00;14;8,5",
        ],
        ["ada;3,5;24", "ben;NA;NA"],
    )

    (ada,), left_out = charging_sessions.read(*files)

    assert (ada.user, ada.energy_kwh, ada.power_kw) == ("ada", 19.96, 3.5)
    assert ada.plugged_in.isoformat() == "2020-01-13T16:00:00"
    assert left_out == 7


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


def test_without_powers_a_car_draws_the_least_that_explains_its_sessions(
    tmp_path: Path,
) -> None:
    rows = [
        "A;ben;1;2020-01-06 18:00:00;2020-01-06 20:00:00;2;22",
        "A;ben;2;2020-01-07 18:00:00;2020-01-08 06:00:00;12;11",
        # so short that it tells no power
        "A;ada;3;2020-01-06 18:00:00;2020-01-06 18:00:01;0;0,1",
    ]
    sessions, _ = write(tmp_path, rows, [])

    found, _ = charging_sessions.read(sessions)

    assert [one.power_kw for one in found] == [11.0, 11.0, 1.0]


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    row = "ada;2020-01-13 16:00:00;2020-01-14 07:00:00;5"
    path = tmp_path / "sessions.csv"
    head = "user_id;plugin_time;plugout_time;energy_session"
    path.write_text(f"{head}\n{row}\n", encoding="utf-8-sig")

    found, _ = charging_sessions.read(path)

    assert [one.user for one in found] == ["ada"]
