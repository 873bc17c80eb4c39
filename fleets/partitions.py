"""Tables that are cut by day or month, so that old rows go by dropping a table.

Partitions are made ahead of `clock.now()`; a default partition catches strays, so a
clock that jumps never stops a write. Strays move into pieces of their own at the next
look. Both making and dropping need the whole table for a moment: who would have to wait
for it longer than `LOCK_SECONDS` gives up and comes again, because meanwhile everybody
else waits behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import structlog
from django.db import (
    OperationalError,
    ProgrammingError,
    connection,
    models,
    transaction,
)
from django.db.models.expressions import Func, Value
from psycopg import errors, sql

log = structlog.get_logger(__name__)

Span = Literal["day", "month"]

LOCK_SECONDS = 0.5
# Strays of so many days or months at one look; the next takes the rest.
MOST_STRAY_PIECES = 10


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
        start, end = self._piece(now)
        last = (now + ahead).astimezone(UTC).date()
        while start <= last:
            yield start, end
            start, end = self._piece(datetime(end.year, end.month, end.day, tzinfo=UTC))

    def make_ahead(self, now: datetime, *, ahead: timedelta) -> bool:
        """Make the pieces from `now` on, and those of strays; False: not all of them.

        Rows that came before their piece are taken over from the default partition.
        """
        due = [*self.pieces(now, ahead), *map(self._piece, self._strays())]
        present = self._present()
        for start, end in due:
            name = f"{self.table}_{start:%Y%m%d}"
            if name not in present:
                if not self._alone(self._make(name, start, end)):
                    return False
                present.add(name)
        return True

    def _piece(self, moment: datetime) -> tuple[date, date]:
        """Return the first day (in) and last day (out) of the piece of this moment."""
        start = moment.astimezone(UTC).date()
        if self.span == "day":
            return start, start + timedelta(days=1)
        start = start.replace(day=1)
        return start, (start + timedelta(days=32)).replace(day=1)

    def _strays(self) -> list[datetime]:
        """Return the days or months that rows of the default partition belong to."""
        statement = sql.SQL(
            "select distinct date_trunc({span}, {column}, 'UTC') from {default}"
            " order by 1 limit {most}"
        ).format(
            span=sql.Literal(self.span),
            column=sql.Identifier(self.column),
            default=sql.Identifier(f"{self.table}_default"),
            most=sql.Literal(MOST_STRAY_PIECES),
        )
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return [moment for (moment,) in cursor.fetchall()]

    def _alone(self, statement: sql.Composed) -> bool:
        """Run a statement that needs the whole table; False when it is in use."""
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"set local lock_timeout = '{LOCK_SECONDS}s'")
                cursor.execute(statement)
        except OperationalError as error:
            if not isinstance(error.__cause__, errors.LockNotAvailable):
                raise
            log.warning("table_in_use", table=self.table)
            return False
        except ProgrammingError as error:
            if not isinstance(error.__cause__, errors.DuplicateTable):
                raise  # else somebody made it while we waited
        return True

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
        for name in sorted(self._present()):
            tail = name.rpartition("_")[2]
            if not tail.isdigit():
                continue  # the default partition
            _, end = self._piece(datetime.strptime(tail, "%Y%m%d").replace(tzinfo=UTC))
            if end > moment.astimezone(UTC).date():
                continue
            if not self._alone(
                sql.SQL("drop table if exists {}").format(sql.Identifier(name))
            ):
                break
            dropped.append(name)
        with connection.cursor() as cursor:
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
