"""Which failures of a transaction are repeated, and how often."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, OperationalError
from psycopg import errors

from fleets import transactions
from fleets.transactions import TIMES, retried


def victim(error: type[Exception]) -> OperationalError:
    """Return what Django makes of an error of PostgreSQL."""
    failure = OperationalError("deadlock detected")
    failure.__cause__ = error()
    return failure


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "WAIT_SECONDS", 0.0)


@pytest.mark.parametrize(
    "error", [errors.DeadlockDetected, errors.SerializationFailure]
)
def test_a_deadlocks_victim_is_repeated_whole(error: type[Exception]) -> None:
    calls: list[int] = []

    @retried
    def move(step: int) -> str:
        calls.append(step)
        if len(calls) < 3:
            raise victim(error)
        return "moved"

    assert move(7) == "moved"
    assert calls == [7, 7, 7]


@pytest.mark.parametrize(
    ("failure", "times"),
    [
        # it never gets through: somebody must hear of it
        (victim(errors.DeadlockDetected), TIMES),
        # the database is away, or it is something else: repeating does not help
        (victim(errors.AdminShutdown), 1),
        (OperationalError("no cause"), 1),
        (DatabaseError("else"), 1),
    ],
)
def test_other_failures_are_told(failure: Exception, times: int) -> None:
    calls = []

    @retried
    def move() -> None:
        calls.append(1)
        raise failure

    with pytest.raises(type(failure)) as raised:
        move()
    assert raised.value is failure
    assert len(calls) == times
