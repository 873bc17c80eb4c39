"""Cars on a grid of five minutes."""

from __future__ import annotations

from datetime import datetime, time

import numpy as np
import pytest

from dispatch.charging_sessions import Session
from dispatch.rehearsal import evening
from dispatch.rehearsal.evening import STEP_HOURS, STEPS
from dispatch.rehearsal.sessions import evening_of
from tests.dispatch.rehearsal.nights import night, step


def test_a_car_begins_with_the_next_whole_step_and_ends_with_the_last() -> None:
    came = datetime(2020, 1, 13, 16, 1)  # noqa: DTZ001
    left = datetime(2020, 1, 14, 7, 4)  # noqa: DTZ001

    cars = evening.of([Session("ada", came, left, 12.0, 6.0)], enrolled=1)

    assert (cars.arrives[0], cars.leaves[0]) == (step(16) + 1, step(24 + 7))


def test_what_comes_before_noon_belongs_to_the_evening_before() -> None:
    came = datetime(2020, 1, 14, 2, 0)  # noqa: DTZ001
    session = Session("ada", came, came, 1.0, 6.0)

    assert evening_of(session.plugged_in).isoformat() == "2020-01-13"
    assert evening.of([session], enrolled=1).arrives[0] == step(26)


def test_it_draws_until_it_is_full_the_last_step_in_part() -> None:
    load = evening.unmanaged_kw(night((16, 31, 1.04)))

    assert load[step(16) : step(17)] == pytest.approx(np.full(12, 6.0))
    assert load[step(17)] == pytest.approx(6.0 * 0.04 / STEP_HOURS)
    assert load.sum() * STEP_HOURS == pytest.approx(1.04 * 6.0)


def test_it_draws_no_more_once_it_is_gone() -> None:
    cars = night((16, 17, 3))

    assert evening.unmanaged_kw(cars).sum() * STEP_HOURS == pytest.approx(6.0)
    assert evening.unmanaged_missing_kwh(cars) == pytest.approx([12.0])


def test_no_cars_draw_nothing() -> None:
    nobody = np.array([], dtype=np.int64)

    load = evening.load_kw(nobody, nobody, np.array([]), np.array([]))

    assert load.dtype == float
    assert load.shape == (STEPS,)
    assert not load.any()


def test_evenings_lie_over_each_other() -> None:
    one, other = night((16, 31, 1), enrolled=10), night((18, 31, 2), enrolled=30)

    both = evening.pooled([one, other])

    assert both.per_thousand == 25.0
    assert evening.unmanaged_kw(both) == pytest.approx(
        evening.unmanaged_kw(one) + evening.unmanaged_kw(other)
    )


def test_a_thinned_evening_has_as_much_a_car() -> None:
    cars = night(*[(16, 31, 1)] * 90, enrolled=180)

    few = evening.thinned(cars, most=30)

    assert len(few) == 30
    assert few.per_thousand * len(few) == pytest.approx(500.0)


@pytest.mark.parametrize(
    ("clock", "hour"), [(time(12), 12), (time(16, 5), 16 + 5 / 60), (time(7), 31)]
)
def test_an_hour_of_the_clock_is_a_step(clock: time, hour: float) -> None:
    assert evening.step_of(clock) == step(hour)
