"""Tables that are cut by day or month, so that old rows go by dropping a table.

Partitions are made ahead of `clock.now()`; a default partition catches strays, so a
clock that jumps never stops a write.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from django.db import connection, models, transaction
from django.db.models.expressions import Func, Value
from psycopg import sql

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
    column: str
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
        """Make the pieces from `now` on; those that exist stay as they are.

        Rows that came before their piece are taken over from the default partition.
        """
        present = self._present()
        for start, end in self.pieces(now, ahead):
            name = f"{self.table}_{start:%Y%m%d}"
            if name not in present:
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute(self._make(name, start, end))

    def _make(self, name: str, start: date, end: date) -> sql.Composed:
        return sql.SQL(
            """
            lock table {table} in access exclusive mode;
            create table {piece} (like {table} including all);
            with strays as (
                delete from {default} where {column} >= {start} and {column} < {end}
                returning *
            )
            insert into {piece} select * from strays;
            alter table {table} attach partition {piece}
                for values from ({start}) to ({end})
            """
        ).format(
            table=sql.Identifier(self.table),
            default=sql.Identifier(f"{self.table}_default"),
            piece=sql.Identifier(name),
            column=sql.Identifier(self.column),
            start=sql.Literal(f"{start} 00:00:00+00"),
            end=sql.Literal(f"{end} 00:00:00+00"),
        )

    def _present(self) -> set[str]:
        with connection.cursor() as cursor:
            cursor.execute(
                "select inhrelid::regclass::text from pg_inherits"
                " where inhparent = %s::regclass",
                [self.table],
            )
            return {name for (name,) in cursor.fetchall()}

    def drop_before(self, moment: datetime) -> list[str]:
        """Drop the pieces that end before `moment`; return their names.

        Strays of the default partition go row by row: it is never dropped.
        """
        dropped = []
        with connection.cursor() as cursor:
            for name in sorted(self._present()):
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
            cursor.execute(
                sql.SQL("delete from {} where {} < {}").format(
                    sql.Identifier(f"{self.table}_default"),
                    sql.Identifier(self.column),
                    sql.Literal(moment),
                )
            )
        return dropped


READINGS = Partitioned("fleets_reading", "received_at", "day")
CHANGES = Partitioned("dispatch_change", "at", "month")
