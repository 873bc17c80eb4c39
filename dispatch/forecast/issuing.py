"""Issue forecasts as hours begin, once each; score them when their day has passed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from django.conf import settings

from dispatch.forecast import history, quarters, samples, scoring, similar_days
from dispatch.forecast.history import History, Scope
from dispatch.forecast.quarters import A_DAY, Floats
from dispatch.models import Forecast, ForecastScore, QuarterSample
from dispatch.models.forecasts import Measure
from fleets.models import Feeder, Program

AN_HOUR = 4  # quarter hours
# The strongest of the simple ones on the days that the model was chosen on.
PERSISTENCE_BACK = 7 * A_DAY
BOUNDS = ("low_90", "low_50", "median", "high_50", "high_90")
# Scored at one look; the next takes the rest.
MOST_SCORED = 1000


def issue(*, now: datetime) -> int:
    """Issue this hour's forecasts if nobody has; return how many.

    What too little is known of gets none. Two that issue at once foretell the same, and
    the first to write is kept.
    """
    at = samples.begun(now, every=AN_HOUR)
    if at is None:
        return 0
    done = set(
        Forecast.objects.filter(issued_at=at).values_list("program_id", "feeder_id")
    )
    issued = 0
    for scope, cars in _scopes(at):
        if tuple(scope.ids.values()) not in done:
            issued += len(_issue(scope, cars=cars, at=at))
    return issued


def _issue(scope: Scope, *, cars: int, at: datetime) -> list[Forecast]:
    seen = history.read(scope, until=at)
    forecasts = []
    for measure in Measure:
        bounds = cars * similar_days.forecast(
            seen.per_car[measure], first=seen.first, zone=scope.zone
        )
        if np.isfinite(bounds).any():
            forecasts.append(
                Forecast(
                    **scope.ids,
                    measure=measure,
                    issued_at=at,
                    cars=cars,
                    **dict(zip(BOUNDS, map(_told, bounds), strict=True)),
                )
            )
    return Forecast.objects.bulk_create(forecasts, ignore_conflicts=True)


def score(*, now: datetime) -> int:
    """Score forecasts whose day has passed; return how many.

    Samples are never changed, so a score that comes late is the same.
    """
    a_day_ago = now - timedelta(days=1) - samples.LATEST
    due: dict[Scope, list[Forecast]] = defaultdict(list)
    found = (
        Forecast.objects.filter(score=None, issued_at__lt=a_day_ago)
        .select_related("program", "feeder")
        .order_by("issued_at", "pk")[:MOST_SCORED]
    )
    for forecast in found:
        due[_scope(forecast.program, forecast.feeder)].append(forecast)
    for scope, forecasts in due.items():
        newest = max(one.issued_at for one in forecasts)
        seen = history.read(scope, until=newest + timedelta(days=1))
        ForecastScore.objects.bulk_create(
            [_score(forecast, seen, now=now) for forecast in forecasts],
            ignore_conflicts=True,
        )
    return sum(map(len, due.values()))


def _score(forecast: Forecast, seen: History, *, now: datetime) -> ForecastScore:
    measure = Measure(forecast.measure)
    issued = quarters.number(forecast.issued_at)
    bounds = bounds_of(forecast)
    came = forecast.cars * seen.of(measure, begin=issued, length=A_DAY)
    persistence = forecast.cars * similar_days.persistence(
        seen.until(issued).per_car[measure], back=PERSISTENCE_BACK
    )
    both = np.where(np.isfinite(persistence).all(axis=0), came, np.nan)
    alone, compared = scoring.score(bounds, came), scoring.score(bounds, both)
    return ForecastScore(
        forecast=forecast,
        scored_at=now,
        quarters=alone.quarters,
        within_50=alone.within_50,
        within_90=alone.within_90,
        compared=compared.quarters,
        loss=compared.loss,
        persistence_loss=scoring.score(
            np.where(np.isfinite(bounds), persistence, np.nan), both
        ).loss,
    )


def bounds_of(forecast: Forecast) -> Floats:
    """Return what was told, as `LEVELS` (5, quarter hours)."""
    return np.array([getattr(forecast, name) for name in BOUNDS], dtype=float)


def _told(bound: Floats) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in bound]


def _scopes(at: datetime) -> Iterator[tuple[Scope, int]]:
    """Yield every program and feeder that was just looked at, with its cars."""
    rows = (
        QuarterSample.objects.filter(at=at)
        .select_related("program", "feeder")
        .order_by("program_id", "feeder_id")
    )
    for row in rows:
        yield _scope(row.program, row.feeder), row.cars


def _scope(program: Program | None, feeder: Feeder | None) -> Scope:
    """Return a scope; a feeder has no clock of its own and goes by the settings'."""
    zone = program.zone if program else ZoneInfo(settings.TIME_ZONE)
    return Scope(program, feeder, zone)
