"""Many evenings under one setting."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from dispatch import charging_sessions
from dispatch.rehearsal import season
from dispatch.rehearsal.evening import STEP_HOURS
from dispatch.rehearsal.season import Catch, NothingToRehearse, Season, Setting
from dispatch.rehearsal.sessions import Sessions, winter_weekdays
from tests.dispatch.rehearsal.files import weeks
from tests.dispatch.rehearsal.nights import night, step

SETTING = Setting((step(16), step(20)))
DAYS = winter_weekdays(date(2020, 1, 13), date(2020, 1, 24))


@pytest.fixture
def read(tmp_path: Path) -> Sessions:
    found, _ = charging_sessions.read(*weeks(tmp_path))
    return Sessions.of(found)


def rehearse(read: Sessions, setting: Setting = SETTING) -> Season:
    return season.rehearse(read, DAYS, setting, single=False)


def test_evenings_that_repeat_are_forecast_as_they_come(read: Sessions) -> None:
    """Then the cap from the forecast, its margin off, is the one from the truth."""
    found = rehearse(read, replace(SETTING, cap_margin=1.0))

    assert found.pooled.cap_kw == pytest.approx(found.cap_from_truth_kw, rel=0.01)
    assert found.pooled.late_share == found.pooled.late_share_unmanaged
    assert found.pooled.starts_per_car_max == 1


def test_a_restore_under_a_cap_stays_below_all_at_once(read: Sessions) -> None:
    capped, at_once = rehearse(read), rehearse(read, replace(SETTING, cap_kw=1e6))

    assert capped.pooled.rebound_ratio is not None
    assert at_once.pooled.rebound_ratio is not None
    assert capped.pooled.rebound_ratio < 0.8 * at_once.pooled.rebound_ratio
    assert capped.pooled.bound_ratio is not None
    assert capped.pooled.bound_ratio >= 1.0 - 1e-9


def test_the_evening_itself_is_not_looked_at_before_it(read: Sessions) -> None:
    """One strange evening, the last of all, changes no cap that came before it."""
    setting = replace(SETTING, managed=True)
    strange = dict(read.by_evening)
    last = DAYS[-1]
    strange[last] = [replace(one, energy_kwh=60.0) for one in strange[last]]

    usual = rehearse(read, setting)
    surprised = rehearse(replace(read, by_evening=strange), setting)

    assert surprised.pooled.cap_kw == usual.pooled.cap_kw
    assert surprised.cap_from_truth_kw > usual.cap_from_truth_kw


def test_single_days_lie_around_the_pooled_one(read: Sessions) -> None:
    spread = season.rehearse(read, DAYS, SETTING).spread["shed_kwh"]

    pooled = rehearse(read).pooled.shed_kwh
    assert spread["p10"] <= spread["p50"] <= spread["p90"]
    assert spread["p10"] <= pooled * 1.01
    assert pooled <= spread["p90"] * 1.01


def test_the_frontier_trades_peak_for_hours(read: Sessions) -> None:
    points = rehearse(read).frontier

    peaks = [point.peak_kw for point in points]
    hours = [point.hours_to_restore_max for point in points]
    assert peaks == sorted(peaks)
    assert hours == sorted(hours, reverse=True)
    assert hours[-1] <= STEP_HOURS


def test_errors_of_departures_come_from_the_seed(read: Sessions) -> None:
    wrong = replace(SETTING, departure_error_hours=2.0)

    assert rehearse(read, wrong).pooled == rehearse(read, wrong).pooled
    assert rehearse(read, wrong).pooled != rehearse(read, replace(wrong, seed=2)).pooled


def test_catches_come_from_the_seed_in_the_shares_of_the_makes() -> None:
    mix = [Catch(30, 0.0, 5.0), Catch(10, 30.0, 60.0)]
    setting = replace(SETTING, catches=mix)

    steps = season.catch_steps(10_000, setting, DAYS[0])

    assert (steps <= 1).mean() == pytest.approx(0.75, abs=0.02)
    assert steps[steps > 1].mean() == pytest.approx(9.5, abs=0.1)  # 45 min, rounded up
    assert np.array_equal(steps, season.catch_steps(10_000, setting, DAYS[0]))
    for other in ((setting, DAYS[1]), (replace(setting, seed=2), DAYS[0])):
        assert not np.array_equal(steps, season.catch_steps(10_000, *other))


def test_a_learned_departure_is_earlier_than_most_that_were_seen() -> None:
    cars = night((16, 31, 1), (16, 31, 1))
    seen = {"car 0": [210.0, 220.0, 230.0, 240.0, 250.0], "car 1": [220.0]}
    setting = replace(SETTING, departure="learned")

    believed = season.believed_leaves(cars, seen, setting, date(2020, 1, 13))

    # Five were seen of one; the other leaves by the default.
    assert believed == pytest.approx(np.array([218.0, step(24 + 7)]))


def test_a_span_without_evenings_before_it_is_refused(read: Sessions) -> None:
    with pytest.raises(NothingToRehearse):
        season.rehearse(read, [date(2020, 1, 6)], SETTING)
    with pytest.raises(NothingToRehearse):
        season.rehearse(read, [], SETTING)
