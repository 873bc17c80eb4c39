"""What comes beside a restore: the forecast without the cars that are held."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dispatch.forecast import arrivals, issuing
from dispatch.models import Command, GridEvent, Hold
from fleets.models import Program, Vehicle
from tests.dispatch.forecast.conftest import Keep
from tests.dispatch.forecast.test_issuing import DAY, MINUTE, NEXT
from tests.factories import HOUR, NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def issued(program: Program, keep_samples: Keep) -> Program:
    keep_samples(until=NEXT)
    issuing.issue(now=NOW)
    return program


def test_it_begins_with_this_quarter_hour_and_ends_with_the_forecast(
    issued: Program,
) -> None:
    ahead = arrivals.not_held(issued, now=NOW + HOUR + 20 * MINUTE)

    assert ahead is not None
    assert ahead.starts_at == NOW + HOUR + 15 * MINUTE
    assert len(ahead.median_kw) == 96 - 5
    assert (ahead.low_90_kw <= ahead.median_kw).all()
    assert (ahead.median_kw <= ahead.high_90_kw).all()


def test_held_cars_are_taken_out_for_as_long_as_they_would_have_charged(
    issued: Program,
    ada: Vehicle,
    make_event: Callable[..., GridEvent],
    make_stop: Callable[..., Command],
) -> None:
    free = arrivals.not_held(issued, now=NOW)
    make_stop(make_event(issued, status="active"))
    # 10 % of 70 kWh: an hour at 7 kW
    Hold.objects.update(soc_percent=50.0, limit_percent=60.0)
    Vehicle.objects.update(battery_kwh=70.0)

    beside = arrivals.not_held(issued, now=NOW)

    assert free is not None and beside is not None
    np.testing.assert_allclose((free.median_kw - beside.median_kw)[:4], 7.0)
    np.testing.assert_allclose((free.median_kw - beside.median_kw)[4:], 0.0, atol=1e-9)
    assert (beside.low_90_kw >= 0.0).all()


def test_no_forecast_that_reaches_is_none(issued: Program) -> None:
    assert arrivals.not_held(issued, now=NOW - MINUTE) is None
    assert arrivals.not_held(issued, now=NOW + DAY) is None
