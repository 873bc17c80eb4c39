"""Recorded sessions as quarter hours, and the model tried on them by the command."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from dispatch import charging_sessions
from dispatch.forecast import recorded
from dispatch.forecast.recorded import Record

OSLO = ZoneInfo("Europe/Oslo")
HEAD = '"user_id";"session_id";"plugin_time";"plugout_time";"energy_session"'
Write = Callable[[Iterable[str]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(lines: Iterable[str], name: str = "sessions.csv") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return make


@pytest.fixture
def power(tmp_path: Path) -> Path:
    path = tmp_path / "power.csv"
    path.write_text("user_id;charging_power\nada;7,2\n", encoding="utf-8")
    return path


def read(sessions: Path, charging_power: Path | None = None) -> Record:
    found, _ = charging_sessions.read(sessions, charging_power)
    return recorded.in_quarters(found, zone=OSLO)


def test_a_car_draws_its_power_until_it_has_its_energy(
    write: Write, power: Path
) -> None:
    path = write([HEAD, "ada;1;2020-01-06 18:00:00;2020-01-07 07:00:00;7,2"])

    record = read(path, power)

    np.testing.assert_allclose(record.load_kw[:6], [7.2, 7.2, 7.2, 7.2, 0, 0])
    np.testing.assert_allclose(record.plugged_in[: 13 * 4], 1.0)
    assert record.load_kw.sum() / 4 == pytest.approx(7.2)
    assert record.cars[0] == 1.0


def test_parts_of_a_quarter_hour_count_in_part(write: Write, power: Path) -> None:
    path = write([HEAD, "ada;1;2020-01-06 18:10:00;2020-01-06 18:20:00;7,2"])

    record = read(path, power)

    # five minutes of each quarter hour; the energy does not fit into its stay
    np.testing.assert_allclose(record.load_kw[:2], [2.4, 2.4])


def test_a_stay_across_a_clock_change_has_its_real_length(
    write: Write, power: Path
) -> None:
    path = write([HEAD, "ada;1;2020-03-29 00:00:00;2020-03-29 06:00:00;7,2"])

    record = read(path, power)

    assert record.plugged_in.sum() / 4 == pytest.approx(5.0)


def season(days: int = 150) -> list[str]:
    """Return sessions of 30 cars: home at about 17 h on weekdays, later on others."""
    rng = np.random.default_rng(3)
    lines = [HEAD]
    for day in range(days):
        on = datetime(2019, 9, 2) + timedelta(days=day)  # noqa: DTZ001 local, as read
        for car in range(30):
            if rng.random() < 0.5:
                hour = rng.normal(17.0 if on.weekday() < 5 else 20.0, 1.0)
                begin = on + timedelta(hours=float(hour))
                end = on + timedelta(hours=31.0)
                kwh = f"{rng.uniform(5, 20):.2f}".replace(".", ",")
                lines.append(f"car{car};{len(lines)};{begin:%F %T};{end:%F %T};{kwh}")
    return lines


def test_the_command_scores_held_out_days_and_beats_persistence(write: Write) -> None:
    out = io.StringIO()

    call_command(
        "forecast", "score", "--sessions", str(write(season())), "--days", "5",
        "--json", stdout=out,
    )  # fmt: skip

    told = json.loads(out.getvalue().splitlines()[-1])
    assert told["held_out_days"] == 5
    assert told["quarter_hours"] == 5 * 4 * 96
    assert 0.8 <= told["coverage_90"] <= 0.97
    assert told["pinball"] < told["pinball_persistence"]
    assert told["pinball_persistence"] == min(
        one["pinball"] for one in told["persistence"].values()
    )
    assert told["plugged_in"]["pinball"] < told["plugged_in"]["pinball_persistence"]


def test_what_comes_later_changes_no_forecast(write: Write) -> None:
    """A forecast that knew its own day would be right for the wrong reason."""
    lines = season()
    cut = [line for line in lines if ";2020-01-2" not in line]
    records = [read(write(some)) for some in (lines, cut)]
    until = date(2020, 1, 15)

    trials = [
        recorded.try_out(record, record.plugged_in, until=until, days=3)
        for record in records
    ]

    assert trials[0] == trials[1]


def test_days_that_the_record_does_not_reach_are_refused(write: Write) -> None:
    path = str(write(season(20)))

    with pytest.raises(CommandError, match="do not reach"):
        call_command("forecast", "score", "--sessions", path, "--days", "60")
