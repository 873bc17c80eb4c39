"""Time as quarter hours: days of any length, and spans cut into them."""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.forecast import quarters

ZONES = [ZoneInfo(name) for name in ("Europe/Oslo", "America/New_York", "UTC")]
FIRST = 1_700_000
COUNT = 40
moments = st.floats(FIRST * 900.0, (FIRST + COUNT) * 900.0)


@given(st.sampled_from(ZONES), st.dates(date(2015, 1, 1), date(2030, 1, 1)))
def test_a_local_day_has_92_96_or_100_and_one_weekday(
    zone: ZoneInfo, day: date
) -> None:
    first, count = quarters.midnight(day, zone), quarters.of_day(day, zone)

    ahead = quarters.ahead_of_utc(first, count, zone)

    assert count in {92, 96, 100}
    assert (quarters.weekday(first, ahead) == day.weekday()).all()
    assert first + count == quarters.midnight(day + timedelta(days=1), zone)


@given(st.integers(0, 4_000_000))
def test_a_number_is_that_of_its_moment(number: int) -> None:
    assert quarters.number(quarters.moment(number)) == number


@given(st.lists(st.tuples(moments, moments, st.floats(0.1, 50.0)), max_size=8))
def test_cut_into_quarter_hours_nothing_is_lost(
    spans: list[tuple[float, float, float]],
) -> None:
    begins = np.array([min(a, b) for a, b, _ in spans])
    ends = np.array([max(a, b) for a, b, _ in spans])
    weights = np.array([weight for *_, weight in spans])

    mean = quarters.mean_over(FIRST, COUNT, begins, ends, weights)

    assert (mean >= 0.0).all()
    assert mean.sum() == pytest.approx(
        float((weights * (ends - begins)).sum()) / 900.0, abs=1e-6
    )
