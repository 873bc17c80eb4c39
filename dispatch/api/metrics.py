"""The door to `measures`: read from rows at the moment of the scrape.

Whatever process is asked gives the same numbers, and a restart loses none. Workers need
no port of their own for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import structlog
from django.db import DatabaseError, connection, transaction
from django_prometheus.exports import ExportToDjangoView
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dispatch.api import measures, questions

__all__ = ["ExportToDjangoView"]

log = structlog.get_logger(__name__)

# A scrape that takes longer is given up: the database has better things to do (real).
AT_MOST = "3s"


class RowsCollector(Collector):
    """Reads all measures anew at each scrape."""

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not read the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; without a database only that it is gone."""
        up = GaugeMetricFamily(*questions.UP)
        try:
            families = _families()
        except DatabaseError as error:
            log.warning("metrics_without_database", error=str(error))
            families = []
        up.add_metric([], 1.0 if families else 0.0)
        yield up
        yield from families


def _families() -> list[Metric]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"set local statement_timeout = '{AT_MOST}'")
        return list(measures.read())


REGISTRY.register(RowsCollector())
