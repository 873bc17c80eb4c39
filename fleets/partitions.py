"""Tables that are cut by day or month, so that old rows go by dropping a table.

Partitions are made ahead of `clock.now()`; a default partition catches strays, so a
clock that jumps never stops a write. A partition that the default holds rows of cannot
be made: its rows stay where they are, and are pruned there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import structlog
from django.db import IntegrityError, connection, models, transaction
from django.db.models.expressions import Func, Value
from psycopg import sql

log = structlog.get_logger(__name__)

Span = Literal["day", "month"]


class NextValue(Func):
    """The next number of a sequence, as a column's default in the database."""

    function = "nextval"

    def __init__(self, *sequence: str) -> None:
        super().__init__(*map(Value, sequence), output_field=models.BigIntegerField())

    def deconstruct(self) -> tuple[str, tuple[str, ...], dict[str, object]]:
        """Describe itself to migrations by the sequence's name."""
        name = self.get_source_expressions()[0].value
        return "fleets.partitions.NextValue", (name,), {}


@dataclass(frozen=True)
class Partitioned:
    """A table cut by range of one timestamp column."""

    table: str
    span: Span

    def pieces(self, now: datetime, ahead: timedelta) -> Iterator[tuple[date, date]]:
        """Yield the first day (in) and last day (out) of each piece that is due."""
        day = now.astimezone(UTC).date()
        last = (now + ahead).astimezone(UTC).date()
        start = day.replace(day=1) if self.span == "month" else day
        while start <= last:
            if self.span == "month":
                end = (start + timedelta(days=32)).replace(day=1)
            else:
                end = start + timedelta(days=1)
            yield start, end
            start = end

    def make_ahead(self, now: datetime, *, ahead: timedelta) -> None:
        """Make the pieces from `now` on; those that exist stay as they are."""
        for start, end in self.pieces(now, ahead):
            statement = sql.SQL(
                "create table if not exists {piece} partition of {table}"
                " for values from ({start}) to ({end})"
            ).format(
                piece=sql.Identifier(f"{self.table}_{start:%Y%m%d}"),
                table=sql.Identifier(self.table),
                start=sql.Literal(f"{start} 00:00:00+00"),
                end=sql.Literal(f"{end} 00:00:00+00"),
            )
            try:
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute(statement)
            except IntegrityError:
                log.warning("partition_strays", table=self.table, start=str(start))

    def drop_before(self, moment: datetime) -> list[str]:
        """Drop the pieces that end before `moment`; return their names."""
        dropped = []
        with connection.cursor() as cursor:
            cursor.execute(
                "select inhrelid::regclass::text from pg_inherits"
                " where inhparent = %s::regclass",
                [self.table],
            )
            for (name,) in cursor.fetchall():
                tail = name.rpartition("_")[2]
                if not tail.isdigit():
                    continue  # the default partition
                start = datetime.strptime(tail, "%Y%m%d").replace(tzinfo=UTC)
                length = timedelta(days=32 if self.span == "month" else 1)
                if start + length < moment:
                    cursor.execute(
                        sql.SQL("drop table {}").format(sql.Identifier(name))
                    )
                    dropped.append(name)
        return dropped


READINGS = Partitioned("fleets_reading", "day")
CHANGES = Partitioned("dispatch_change", "month")
