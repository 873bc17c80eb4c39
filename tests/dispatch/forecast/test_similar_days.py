"""The model: what it answers whatever the fleet, and what it must learn from one."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.forecast import quarters, scoring, similar_days
from dispatch.forecast.quarters import A_DAY, Floats

OSLO = ZoneInfo("Europe/Oslo")
MONDAY = quarters.midnight(date(2019, 9, 2), OSLO)
DAYS = 100


def evenings(days: int = DAYS, *, seed: int = 1, first: int = MONDAY) -> Floats:
    """Return load per car that peaks at 18 h by the wall clock, half as high on
    Saturdays and Sundays, with noise.
    """
    count = days * A_DAY
    ahead = quarters.ahead_of_utc(first, count, OSLO)
    hour = (first + np.arange(count) + ahead) % A_DAY / 4.0
    peak = np.exp(-(((hour - 18.0) / 2.0) ** 2))
    size = np.where(quarters.weekday(first, ahead) < 5, 1.0, 0.5)
    noise = np.random.default_rng(seed).normal(0.0, 0.05, count)
    return np.maximum(peak * size + noise, 0.0)


@st.composite
def any_history(draw: st.DrawFn) -> Floats:
    """A history of any length, with gaps, outliers and dull stretches."""
    days = draw(st.integers(0, 130))
    values = evenings(max(days, 1), seed=draw(st.integers(0, 99)))[: days * A_DAY]
    values = values * draw(st.sampled_from([0.0, 1.0, 1e6]))
    for _ in range(draw(st.integers(0, 4))):
        if len(values):
            begin = draw(st.integers(0, len(values) - 1))
            values[begin : begin + draw(st.integers(1, 2000))] = draw(
                st.sampled_from([np.nan, 0.0, 50.0])
            )
    return values


@given(any_history(), st.sampled_from([92, 96, 100]))
@settings(max_examples=25, deadline=None)
def test_whatever_was_seen_bounds_are_in_order_and_never_below_nothing(
    values: Floats, length: int
) -> None:
    bounds = similar_days.forecast(values, first=MONDAY, zone=OSLO, length=length)

    assert bounds.shape == (5, length)
    told = np.isfinite(bounds).all(axis=0)
    assert (told | np.isnan(bounds).all(axis=0)).all()
    assert (bounds[:, told] >= 0.0).all()
    assert (np.diff(bounds[:, told], axis=0) >= 0.0).all()


@given(any_history())
@settings(max_examples=10, deadline=None)
def test_the_same_history_gets_the_same_answer_and_is_left_as_it_was(
    values: Floats,
) -> None:
    before = values.copy()

    once = similar_days.forecast(values, first=MONDAY, zone=OSLO)
    again = similar_days.forecast(values, first=MONDAY, zone=OSLO)

    np.testing.assert_array_equal(once, again)
    np.testing.assert_array_equal(values, before)


def test_what_is_older_than_it_looks_back_changes_nothing() -> None:
    values = evenings(140)
    older = np.concatenate([np.full(30 * A_DAY, 99.0), values])

    np.testing.assert_array_equal(
        similar_days.forecast(values, first=MONDAY, zone=OSLO),
        similar_days.forecast(older, first=MONDAY - 30 * A_DAY, zone=OSLO),
    )


def test_it_scales_with_the_load() -> None:
    # Large enough that the floor for cars that hardly charge has no part in it.
    values = evenings() + 1.0

    bounds = similar_days.forecast(values, first=MONDAY, zone=OSLO)
    tenfold = similar_days.forecast(values * 10.0, first=MONDAY, zone=OSLO)

    np.testing.assert_allclose(tenfold, bounds * 10.0)


@pytest.mark.parametrize("days", [DAYS, DAYS + 3], ids=["a weekday", "a saturday"])
def test_it_knows_the_kind_of_day(days: int) -> None:
    values = evenings(days)
    is_weekday = (days % 7) < 5

    median = similar_days.forecast(values, first=MONDAY, zone=OSLO)[2]

    peak = float(median.max())
    assert peak == pytest.approx(1.0 if is_weekday else 0.5, abs=0.1)


@pytest.mark.parametrize(
    ("day", "length"),
    [
        # clocks go forward at 2 h: 92 quarter hours
        (date(2020, 3, 29), 92),
        # clocks go back at 3 h: 100 quarter hours
        (date(2019, 10, 27), 100),
        (date(2020, 1, 15), 96),
    ],
)
def test_a_peak_stays_at_its_hour_of_the_wall_clock_when_clocks_change(
    day: date, length: int
) -> None:
    issued = quarters.midnight(day, OSLO)
    first = issued - DAYS * A_DAY
    values = evenings(DAYS, first=first)

    bounds = similar_days.forecast(values, first=first, zone=OSLO, length=length)

    assert quarters.of_day(day, OSLO) == length
    peak = issued + int(np.argmax(np.convolve(bounds[2], np.ones(9), "same")))
    assert quarters.moment(peak).astimezone(OSLO).hour in {17, 18}
    assert np.isfinite(bounds).all()


def test_a_day_that_begins_higher_is_foretold_higher_for_some_hours() -> None:
    rng = np.random.default_rng(5)
    mood = np.repeat(rng.normal(0.0, 0.3, DAYS), A_DAY)  # each day as it likes
    values = np.maximum(evenings() + 1.0 + mood, 0.0)[: -A_DAY // 2]
    usual = similar_days.forecast(values, first=MONDAY, zone=OSLO)
    values[-4:] += 0.5

    moved = similar_days.forecast(values, first=MONDAY, zone=OSLO)

    assert moved[2, 0] > usual[2, 0] + 0.2
    # The next day knows nothing of it.
    assert moved[2, -1] == pytest.approx(usual[2, -1], abs=0.1)


def test_gaps_are_left_out_and_not_taken_for_nothing() -> None:
    values = evenings()
    hour = (MONDAY + np.arange(len(values))) % A_DAY / 4.0
    gaps = values.copy()
    gaps[(hour > 15) & (np.arange(len(values)) // A_DAY % 3 == 0)] = np.nan

    bounds = similar_days.forecast(gaps, first=MONDAY, zone=OSLO)
    whole = similar_days.forecast(values, first=MONDAY, zone=OSLO)

    assert bounds[2].max() == pytest.approx(whole[2].max(), abs=0.1)


def test_three_weeks_are_too_little_to_say_anything() -> None:
    bounds = similar_days.forecast(evenings(20), first=MONDAY, zone=OSLO)

    assert np.isnan(bounds).all()


def test_its_90_percent_interval_covers_days_it_has_not_seen() -> None:
    values = evenings(150)
    scores = []
    for day in range(100, 149):
        known, came = values[: day * A_DAY], values[day * A_DAY : (day + 1) * A_DAY]
        bounds = similar_days.forecast(known, first=MONDAY, zone=OSLO)
        scores.append(scoring.score(bounds, came))

    found = scoring.together(scores)

    assert 0.85 < found.covered(found.within_90) < 0.95
    assert 0.43 < found.covered(found.within_50) < 0.57


@pytest.mark.parametrize("back", [0, A_DAY, 7 * A_DAY])
def test_persistence_goes_on_as_it_was(back: int) -> None:
    values = np.tile(np.arange(A_DAY, dtype=float), 90)

    bounds = similar_days.persistence(values, back=back)

    # Each day is the same: only the last value goes on wrongly, and knows by how much.
    np.testing.assert_allclose(bounds[2], np.arange(A_DAY), atol=1e-9 if back else 7)
