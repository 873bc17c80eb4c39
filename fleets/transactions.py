"""Transactions: repeated whole when PostgreSQL asks for it, and led by the hand."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import psycopg
import structlog
from django.db import OperationalError, connection
from psycopg import errors

log = structlog.get_logger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

TIMES = 5
# Two victims of each other must not meet again in step.
WAIT_SECONDS = 0.05


def retried(function: Callable[P, T]) -> Callable[P, T]:
    """Repeat a function that is one transaction when it was a deadlock's victim."""

    @functools.wraps(function)
    def repeat(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(TIMES - 1):
            try:
                return function(*args, **kwargs)
            except OperationalError as error:
                if not isinstance(
                    error.__cause__,
                    errors.DeadlockDetected | errors.SerializationFailure,
                ):
                    raise
                log.warning("repeated", function=function.__qualname__)
                time.sleep(WAIT_SECONDS * (1 + random.random()))  # noqa: S311
        return function(*args, **kwargs)

    return repeat


# For some hundred rows out of a hundred thousand, found by their ids or in an index's
# order. Estimates of such filters are wrong by a factor of a hundred, and were made
# before the rows were there; a plan that reads the whole table costs a claim half a
# second (EXPLAIN ANALYZE), a walk along the index ten milliseconds.
WALK = """
set local enable_nestloop = on;
set local enable_seqscan = off;
set local enable_bitmapscan = off;
set local enable_hashjoin = off;
set local enable_mergejoin = off;
set local enable_sort = off;
set local enable_incremental_sort = off
"""


def walk_indexes() -> None:
    """Let the statements of this transaction walk along indexes, row by row."""
    assert connection.in_atomic_block, "a plan's hints end with their transaction"
    with connection.cursor() as cursor:
        cursor.execute(WALK)


def read_whole_tables() -> None:
    """Let the statements of this transaction read each table once, and join by hash.

    The counterpart of `walk_indexes`, for sums over everything: with estimates made
    before the rows were there, a table would be read again for every row of another.
    """
    assert connection.in_atomic_block, "a plan's hints end with their transaction"
    with connection.cursor() as cursor:
        cursor.execute("set local enable_nestloop = off")


@contextmanager
def bulk_cursor() -> Iterator[psycopg.Cursor[tuple[Any, ...]]]:
    """Yield a cursor for thousands of rows, within the transaction that is open.

    Values travel in PostgreSQL's own formats and are bound by the server. As text, and
    written into the statement as Django's cursors do, they cost three times as much.
    """
    assert connection.in_atomic_block, "these statements belong to a transaction"
    with (
        connection.wrap_database_errors,
        psycopg.Cursor(connection.connection) as cursor,
    ):
        cursor.format = psycopg.pq.Format.BINARY
        yield cursor
