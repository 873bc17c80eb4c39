"""What a piece of code asks of the database, for tests that count it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from django.test.utils import CaptureQueriesContext

# Savepoints ask nothing. The clock reads its row again as real time goes on: on a busy
# machine that is one question more in any stretch of code.
LEFT_OUT = ("SAVEPOINT", "speed, paused from fleets_clock")


@contextmanager
def statements() -> Iterator[list[str]]:
    """Fill the list with the statements of the block, in order, at its end."""
    asked: list[str] = []
    with CaptureQueriesContext(connection) as captured:
        yield asked
    asked += [
        query["sql"]
        for query in captured
        if not any(word in query["sql"] for word in LEFT_OUT)
    ]
