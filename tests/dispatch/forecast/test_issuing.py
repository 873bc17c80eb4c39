"""Forecasts are issued once an hour, stay as they are, and are scored a day later."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest
from django.db import IntegrityError, transaction

from dispatch import retention
from dispatch.forecast import issuing, quarters
from dispatch.models import Forecast, ForecastScore, QuarterSample
from dispatch.models.forecasts import Measure
from fleets.models import Feeder, Program
from tests.dispatch.forecast.conftest import Keep
from tests.dispatch.together import at_once
from tests.factories import HOUR, NOW

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
NEXT = NOW + 15 * MINUTE


def load() -> Forecast:
    return Forecast.objects.get(measure=Measure.LOAD)


def median_of(measure: Measure, begin: int, end: int) -> float:
    """Return the mean of the median over some quarter hours."""
    bounds = issuing.bounds_of(Forecast.objects.get(measure=measure))
    return float(bounds[2, begin:end].mean())


def test_it_foretells_each_measure_of_the_next_day(
    program: Program, keep_samples: Keep
) -> None:
    keep_samples(until=NEXT)

    issued = issuing.issue(now=NOW + MINUTE)

    assert issued == len(Measure)
    forecast = load()
    assert (forecast.issued_at, forecast.program, forecast.cars) == (NOW, program, 100)
    bounds = issuing.bounds_of(forecast)
    assert bounds.shape == (5, 96)
    assert (np.diff(bounds, axis=0) >= 0).all()
    # 17 to 22 h is the evening, of 30 cars with 7 kW; the night after it has two.
    assert median_of(Measure.LOAD, 0, 20) == pytest.approx(210.0, rel=0.1)
    assert median_of(Measure.LOAD, 24, 90) < 30.0


def test_it_is_issued_once_an_hour_however_often_it_is_asked_for(
    program: Program, keep_samples: Keep
) -> None:
    keep_samples(until=NEXT)
    issuing.issue(now=NOW)

    assert issuing.issue(now=NOW + MINUTE) == 0
    # Too late to be called a forecast of this hour.
    Forecast.objects.all().delete()
    assert issuing.issue(now=NOW + 20 * MINUTE) == 0


def test_a_feeder_has_forecasts_of_its_own(
    keep_samples: Keep, make_feeder: Callable[..., Feeder]
) -> None:
    feeder = make_feeder("N1")
    keep_samples(until=NEXT)
    QuarterSample.objects.update(program=None, feeder=feeder)

    issuing.issue(now=NOW)

    assert (load().program, load().feeder) == (None, feeder)
    issuing.score(now=NOW + DAY + HOUR)
    assert ForecastScore.objects.count() == len(Measure)


@pytest.mark.django_db(transaction=True)
def test_of_two_that_issue_at_once_one_is_kept(
    program: Program, keep_samples: Keep
) -> None:
    keep_samples(until=NEXT)

    at_once(lambda: issuing.issue(now=NOW), lambda: issuing.issue(now=NOW + MINUTE))

    assert Forecast.objects.count() == len(Measure)


def test_what_began_with_the_hour_is_not_used(
    program: Program, keep_samples: Keep
) -> None:
    keep_samples(until=NEXT)
    QuarterSample.objects.filter(at=NOW).update(load_kw=99_999.0)

    issuing.issue(now=NOW)

    assert max(value or 0.0 for value in load().high_90) < 1000.0


def test_it_is_never_changed(program: Program, keep_samples: Keep) -> None:
    keep_samples(until=NEXT)
    issuing.issue(now=NOW)

    with pytest.raises(IntegrityError, match="as it was issued"), transaction.atomic():
        Forecast.objects.update(cars=7)

    assert load().cars == 100


def test_too_little_known_is_no_forecast(program: Program, keep_samples: Keep) -> None:
    keep_samples(days=15, until=NEXT)

    assert issuing.issue(now=NOW) == 0


def test_evenings_of_events_change_nothing_but_who_was_plugged_in(
    program: Program, keep_samples: Keep
) -> None:
    keep_samples(days=40, until=NEXT)
    evening = QuarterSample.objects.filter(at__gte=NOW - 7 * DAY, at__hour__gte=17)
    evening.exclude(at__gte=NOW).update(
        load_kw=0.0, charging=0, sheddable_kw=0.0, is_managed=True, plugged_in=90
    )

    issuing.issue(now=NOW)

    assert median_of(Measure.LOAD, 0, 20) == pytest.approx(210.0, rel=0.1)
    assert median_of(Measure.PLUGGED_IN, 0, 20) > 60.0


def test_where_half_of_the_cars_are_unheard_of_nothing_was_seen(
    program: Program, keep_samples: Keep
) -> None:
    keep_samples(until=NEXT)
    QuarterSample.objects.filter(at__gte=NOW - 7 * DAY, at__lt=NOW).update(
        known_cars=40, load_kw=0.0, charging=0
    )

    issuing.issue(now=NOW)

    assert median_of(Measure.LOAD, 0, 20) == pytest.approx(210.0, rel=0.1)


def test_it_is_scored_once_its_day_has_passed_and_not_before(
    program: Program, keep_samples: Keep
) -> None:
    keep_samples(until=NEXT)
    issuing.issue(now=NOW)
    assert issuing.score(now=NOW + 23 * HOUR) == 0
    keep_samples(days=1, until=NEXT + DAY, seed=2)

    assert issuing.score(now=NOW + DAY + HOUR) == len(Measure)

    score = ForecastScore.objects.get(forecast=load())
    assert score.quarters == score.compared == quarters.A_DAY
    assert score.within_90 >= 0.8 * 96
    assert 0.0 < score.loss < score.persistence_loss
    assert issuing.score(now=NOW + DAY + 2 * HOUR) == 0


def test_what_a_hold_moved_is_left_out_of_the_score(
    program: Program, keep_samples: Keep
) -> None:
    keep_samples(until=NEXT)
    issuing.issue(now=NOW)
    keep_samples(days=1, until=NEXT + DAY, managed=True)

    issuing.score(now=NOW + DAY + HOUR)

    # The quarter hour of the issue was seen before; those after were managed.
    assert ForecastScore.objects.get(forecast=load()).quarters == 1
    plugged_in = ForecastScore.objects.get(forecast__measure=Measure.PLUGGED_IN)
    assert plugged_in.quarters == quarters.A_DAY


def test_what_is_old_goes_with_its_score(program: Program, keep_samples: Keep) -> None:
    keep_samples(until=NEXT)
    issuing.issue(now=NOW)
    issuing.score(now=NOW + 2 * DAY)

    retention.delete_old(NOW + 101 * DAY)

    assert not Forecast.objects.exists()
    assert not ForecastScore.objects.exists()
    assert QuarterSample.objects.exists()
    retention.delete_old(NOW + 900 * DAY)
    assert not QuarterSample.objects.exists()
