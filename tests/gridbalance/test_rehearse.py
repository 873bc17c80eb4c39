"""`manage.py rehearse` says what would come of an event, on a record or a fleet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.dispatch.rehearsal.files import weeks

KEYS = (
    "peak_unmanaged_kw", "peak_after_kw", "rebound_ratio", "bound_ratio", "shed_kwh",
    "shed_share_of_harmless", "late_share", "late_share_unmanaged",
    "hours_to_restore_p50", "hours_to_restore_max", "commands_per_car_max",
    "starts_per_car_max", "target_error_p95",
)  # fmt: skip


def rehearse(folder: Path, *options: str) -> None:
    sessions, power = weeks(folder)
    call_command(
        "rehearse",
        f"--sessions={sessions}",
        f"--charging-power={power}",
        "--from=2020-01-20",
        "--to=2020-01-22",
        *options,
    )


def rehearse_fleet(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    call_command(
        "rehearse", "--vehicles=100", "--from=2020-01-20", "--to=2020-01-22",
        "--pooled-only", "--json", *options,
    )  # fmt: skip
    return last_line(capsys)


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_the_last_line_is_one_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rehearse(tmp_path, "--json", "--arrivals=managed", "--target-kw=900")

    found = last_line(capsys)
    assert set(KEYS) <= set(found)
    assert found["days"] == 3
    assert found["peak_unmanaged_kw"] > 0
    assert set(found["single_days"]["rebound_ratio"]) == {"p10", "p50", "p90"}
    assert found["target_error_p95"] is not None


def test_a_chosen_cap_is_the_one_that_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rehearse(tmp_path, "--json", "--pooled-only", "--cap-kw=5000")

    assert last_line(capsys)["cap_kw"] == pytest.approx(5000)


@pytest.mark.parametrize("window", ["16-20", "20:00-16:00", "11:00-13:00", "noon"])
def test_a_window_that_is_none_is_refused(tmp_path: Path, window: str) -> None:
    with pytest.raises(CommandError, match="--window"):
        rehearse(tmp_path, f"--window={window}")


@pytest.mark.parametrize("minutes", ["soon", "-5", "nan", "1440"])
def test_a_catch_that_is_none_is_refused(tmp_path: Path, minutes: str) -> None:
    with pytest.raises(CommandError, match="--catch-minutes"):
        rehearse(tmp_path, f"--catch-minutes={minutes}")


def test_a_catch_typical_of_the_makes_lies_between_the_quick_and_the_slow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheds = []
    for minutes in ("5", "typical", "60"):
        rehearse(tmp_path, "--json", "--pooled-only", f"--catch-minutes={minutes}")
        sheds.append(last_line(capsys)["shed_share_of_harmless"])

    assert sheds == sorted(sheds, reverse=True)
    assert len(set(sheds)) == 3


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"nowhere\.csv"):
        call_command(
            "rehearse",
            f"--sessions={tmp_path / 'nowhere.csv'}",
            f"--charging-power={tmp_path / 'nowhere.csv'}",
        )


@pytest.mark.parametrize("arrivals", ["managed", "free"])
def test_without_sessions_a_simulated_fleet_plays(
    capsys: pytest.CaptureFixture[str], arrivals: str
) -> None:
    """Its cap is found by the weeks before it, as a record's is."""
    capped = rehearse_fleet(capsys, f"--arrivals={arrivals}")
    at_once = rehearse_fleet(capsys, "--cap-kw=1000000")

    assert set(KEYS) <= set(capped)
    assert (capped["days"], capped["enrolled_days"]) == (3, 3 * 100)
    assert at_once["rebound_ratio"] > 1.2
    assert capped["rebound_ratio"] <= 0.9
    assert capped["late_share"] <= capped["late_share_unmanaged"] + 0.015
    assert capped["starts_per_car_max"] == 1


def test_a_fleet_is_the_same_for_the_same_seed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, again, other = (
        rehearse_fleet(capsys, f"--seed={seed}") for seed in (1, 1, 2)
    )

    assert first == again
    assert first["peak_unmanaged_kw"] != other["peak_unmanaged_kw"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--vehicles=0"], "at least one"),
        (["--charging-power=users.csv"], "--sessions"),
        (["--vehicles=9", "--sessions=sessions.csv"], "--sessions"),
        (["--from=2019-12-02", "--to=2019-11-01"], "is after --to"),
        (["--window=16:00-16:01"], "grid of 5 minutes"),
        (["--target-kw=nan"], "no number from 0 on"),
        (["--cap-kw=0"], "not above 0"),
        (["--departure-error-hours=-1"], "no number from 0 on"),
        (["--restore-within-hours=inf"], "no number from 0 on"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: list[str], told: str
) -> None:
    with pytest.raises(CommandError, match=told):
        call_command("rehearse", *options)
