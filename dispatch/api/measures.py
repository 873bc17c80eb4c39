"""Ask the questions of `/metrics`, and tell the answers as Prometheus wants them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from math import inf
from operator import itemgetter
from typing import Any

from django.conf import settings
from django.db import connection
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from dispatch import catches
from dispatch.api.questions import (
    CATCH_CLASSES,
    CATCHES,
    FRESHNESS,
    MEASURES,
    PARTS,
    UP,
    Measure,
)
from fleets import clock
from fleets.providers import makes


def names() -> set[str]:
    """Return every metric that there is, whether it has a value now or not."""
    return {name for measure in MEASURES for name in measure.metrics} | {
        FRESHNESS[0], CATCHES[0], UP[0],
    }  # fmt: skip


def statements() -> Iterator[tuple[Measure, str]]:
    """Yield each measure with its statement as it is asked."""
    for measure in MEASURES:
        yield measure, measure.statement.format(**PARTS)


def parameters() -> dict[str, Any]:
    """Return what the statements ask with."""
    return {"now": clock.now(), "dead": settings.SENDER_DEAD_SECONDS}


def read() -> Iterator[Metric]:
    """Yield every metric, read from rows in this moment."""
    asked_with = parameters()
    with connection.cursor() as cursor:
        for measure, statement in statements():
            cursor.execute(statement, asked_with)
            rows = cursor.fetchall()
            yield from _told(measure, rows)
            if "gridbalance_held_cars" in measure.metrics:
                yield _freshness(make for make, *_ in rows)
        cursor.execute(CATCH_CLASSES)
        yield _catches(cursor.fetchall())


def _catches(rows: list[tuple[str, float, int, float]]) -> Metric:
    """Return the classes as Prometheus wants them: each counts all below it, too."""
    family = HistogramMetricFamily(*CATCHES, labels=["make"])
    for make, of_make in groupby(rows, key=itemgetter(0)):
        classes = {bound: (number, total) for _, bound, number, total in of_make}
        below = 0
        buckets: list[tuple[str, float]] = []
        for bound in catches.BOUNDS:
            below += classes.get(bound, (0, 0.0))[0]
            buckets.append(("+Inf" if bound == inf else str(bound), below))
        seconds = sum(total for _, total in classes.values())
        family.add_metric([make], buckets, seconds)
    return family


def _told(measure: Measure, rows: list[tuple[Any, ...]]) -> Iterator[Metric]:
    width = len(measure.labels)
    for place, (name, meaning) in enumerate(measure.metrics.items(), width):
        kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
        family = kind(name, meaning, labels=measure.labels)
        found: dict[tuple[str, ...], float | None] = {
            (value,): 0.0 for value in measure.always
        }
        found.update({tuple(row[:width]): row[place] for row in rows})
        for labels, number in found.items():
            if number is not None:
                family.add_metric(labels, float(number))
        yield family


def _freshness(held: Iterable[str]) -> Metric:
    """Return how old a make's data may be: what a held car's age is compared with."""
    name, meaning = FRESHNESS
    family = GaugeMetricFamily(name, meaning, labels=["make"])
    for make in held:
        family.add_metric([make], makes.freshness(make).total_seconds())
    return family
