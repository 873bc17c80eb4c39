"""Gauges read from rows at the moment of the scrape.

Whatever process is asked gives the same numbers, and a restart loses none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import structlog
from django.db import DatabaseError, connection
from django_prometheus.exports import ExportToDjangoView
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from dispatch.lifecycle import OPEN_COMMAND, OPEN_HOLD, RUNNING_EVENT, CommandStatus

__all__ = ["ExportToDjangoView"]

log = structlog.get_logger(__name__)

LIVE_COMMAND = (*OPEN_COMMAND, CommandStatus.ACCEPTED)

# Name, meaning, label, and the rows behind it: (label, number).
# Each is answered by a partial index or a small table; commands that are over are not
# counted, there are too many.
GAUGES = (
    (
        "gridbalance_holds_open",
        "Cars that are owed something, by status of the hold",
        "status",
        "select status, count(*) from dispatch_hold where status = any(%s) group by 1",
        [str(status) for status in OPEN_HOLD],
    ),
    (
        "gridbalance_commands_open",
        "Commands on their way, by status",
        "status",
        "select status, count(*) from dispatch_command where status = any(%s)"
        " group by 1",
        [str(status) for status in LIVE_COMMAND],
    ),
    (
        "gridbalance_events_running",
        "Events that hold cars or give them back, by status",
        "status",
        "select status, count(*) from dispatch_gridevent where status = any(%s)"
        " group by 1",
        [str(status) for status in RUNNING_EVENT],
    ),
    (
        "gridbalance_alarms_open",
        "Alarms that nobody has cleared, by severity",
        "severity",
        "select severity, count(*) from dispatch_alarm where cleared_at is null"
        " group by 1",
        None,
    ),
    (
        "gridbalance_bucket_tokens",
        "Provider calls left, by bucket",
        "bucket",
        "select name, tokens from fleets_bucket",
        None,
    ),
    (
        "gridbalance_webhooks_waiting",
        "Webhooks that were taken in and not worked off",
        "inbox",
        "select 'provider', count(*) from fleets_webhookdelivery"
        " where processed_at is null",
        None,
    ),
)


class RowsCollector(Collector):
    """Reads all gauges anew at each scrape."""

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return nothing: registering must not read the database."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield every gauge; without a database only that it is gone."""
        up = GaugeMetricFamily(
            "gridbalance_database_up", "1 when the database answered this scrape"
        )
        try:
            families = list(_families())
        except DatabaseError as error:
            log.warning("metrics_without_database", error=str(error))
            families = []
        up.add_metric([], 1.0 if families else 0.0)
        yield up
        yield from families


def _families() -> Iterator[GaugeMetricFamily]:
    with connection.cursor() as cursor:
        for name, meaning, label, statement, statuses in GAUGES:
            family = GaugeMetricFamily(name, meaning, labels=[label])
            found = dict.fromkeys(statuses or (), 0.0)
            cursor.execute(statement, [statuses] if statuses else None)
            found.update(cursor.fetchall())
            for value, number in found.items():
                family.add_metric([value], float(number))
            yield family


REGISTRY.register(RowsCollector())
