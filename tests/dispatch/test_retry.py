"""What becomes of a command, for every way in which a call may end."""

from __future__ import annotations

import inspect
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from dispatch.lifecycle import CommandStatus
from dispatch.retry import (
    ASLEEP_SECONDS,
    BACKOFF_SECONDS,
    BACKOFF_TOP_SECONDS,
    READ_AFTER_UNKNOWN_SECONDS,
    REFUSED_RESTORE_SECONDS,
    UNPLUGGED_SECONDS,
    Attempt,
    Decision,
    backoff_seconds,
    decide,
)
from fleets.providers import base
from fleets.providers.base import (
    AccessRevoked,
    Asleep,
    CarState,
    NothingToDo,
    OutcomeUnknown,
    ProviderError,
    QuotaSpent,
    Receipt,
    Refused,
    Rejected,
    TokenStale,
    TryLater,
    Unsupported,
)
from tests.factories import NOW

ACCEPTED, FAILED = CommandStatus.ACCEPTED, CommandStatus.FAILED
QUEUED, UNKNOWN = CommandStatus.QUEUED, CommandStatus.UNKNOWN
FIRST_STOP = Attempt(
    is_restore=False, number=1, may_have_landed=False, freshness_seconds=300.0
)
STOP_AGAIN = Attempt(
    is_restore=False, number=2, may_have_landed=True, freshness_seconds=300.0
)
START = Attempt(
    is_restore=True, number=1, may_have_landed=False, freshness_seconds=300.0
)
START_AGAIN = Attempt(
    is_restore=True, number=2, may_have_landed=True, freshness_seconds=300.0
)
EVERYBODY = (FIRST_STOP, STOP_AGAIN, START, START_AGAIN)

NOTHING_TAKEN = {"status": FAILED, "nothing_taken": True}
GIVEN_UP = {"status": FAILED, "may_have_landed": True}
PATIENT = {"status": QUEUED, "wait_seconds": REFUSED_RESTORE_SECONDS}
LOUD = {**PATIENT, "alarm": True}
LOOK = {"status": ACCEPTED, "read_seconds": 0.0, "may_have_landed": True}
BEYOND = (NOTHING_TAKEN, LOOK, LOOK, LOOK)
LANDED = {"may_have_landed": True}

# One row an error: what it means for a first stop, a stop after one that may have
# landed, a first start, and a start after one that may have landed.
TABLE: list[tuple[ProviderError, tuple[dict[str, Any], ...]]] = [
    # it may have happened: read, then decide
    (
        OutcomeUnknown("x"),
        ({
            "status": UNKNOWN, "may_have_landed": True,
            "read_seconds": READ_AFTER_UNKNOWN_SECONDS,
        },) * 4,
    ),
    # the provider says when
    (
        TryLater("x", wait_seconds=7.0),
        (
            {"status": QUEUED, "wait_seconds": 7.0},
            {"status": QUEUED, "wait_seconds": 7.0, **LANDED},
            {"status": QUEUED, "wait_seconds": 7.0},
            {"status": QUEUED, "wait_seconds": 7.0, **LANDED},
        ),
    ),
    # it does not: back off
    (
        TryLater("x"),
        (
            {"status": QUEUED, "wait_seconds": BACKOFF_SECONDS},
            {"status": QUEUED, "wait_seconds": 2 * BACKOFF_SECONDS, **LANDED},
            {"status": QUEUED, "wait_seconds": BACKOFF_SECONDS},
            {"status": QUEUED, "wait_seconds": 2 * BACKOFF_SECONDS, **LANDED},
        ),
    ),
    # a sleeping car is left alone for longer
    (
        Asleep("x"),
        (
            {"status": QUEUED, "wait_seconds": ASLEEP_SECONDS},
            {"status": QUEUED, "wait_seconds": 2 * ASLEEP_SECONDS, **LANDED},
            {"status": QUEUED, "wait_seconds": ASLEEP_SECONDS},
            {"status": QUEUED, "wait_seconds": 2 * ASLEEP_SECONDS, **LANDED},
        ),
    ),
    # at once with a new token, but only once
    (
        TokenStale("x"),
        (
            {"status": QUEUED},
            {"status": QUEUED, "wait_seconds": BACKOFF_SECONDS, **LANDED},
            {"status": QUEUED},
            {"status": QUEUED, "wait_seconds": BACKOFF_SECONDS, **LANDED},
        ),
    ),
    # a stop that found nothing to stop; or is an earlier one of ours the reason?
    (NothingToDo("x", CarState.NOT_CHARGING), BEYOND),
    (NothingToDo("x", CarState.FULL), BEYOND),
    (NothingToDo("x", CarState.UNPLUGGED), BEYOND),
    (NothingToDo("x", CarState.DRIVING), BEYOND),
    # odd for a stop: look; a start is never closed by words
    (
        NothingToDo("x", CarState.CHARGING),
        ({**LOOK, "status": UNKNOWN}, LOOK, LOOK, LOOK),
    ),
    # not now: a stop is given up, a restore is owed
    (Refused("x"), (NOTHING_TAKEN, GIVEN_UP, PATIENT, {**PATIENT, **LANDED})),
    # the same, and only a person can help
    (AccessRevoked("x"), (NOTHING_TAKEN, GIVEN_UP, LOUD, {**LOUD, **LANDED})),
    (QuotaSpent("x"), (NOTHING_TAKEN, GIVEN_UP, LOUD, {**LOUD, **LANDED})),
    (Unsupported("x"), (NOTHING_TAKEN, GIVEN_UP, LOUD, {**LOUD, **LANDED})),
    # our mistake: repeating it helps nobody
    (
        Rejected("x"),
        (
            NOTHING_TAKEN, GIVEN_UP,
            {"status": FAILED, "alarm": True},
            {"status": FAILED, "alarm": True, **LANDED},
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "attempt", "expected"),
    [
        pytest.param(error, attempt, expected, id=f"{type(error).__name__} {attempt}")
        for error, row in TABLE
        for attempt, expected in zip(EVERYBODY, row, strict=True)
    ],
)
def test_an_error_becomes_a_decision(
    error: ProviderError, attempt: Attempt, expected: dict[str, Any]
) -> None:
    assert decide(error, attempt) == Decision(code="x", **expected)


def test_the_table_knows_the_whole_family() -> None:
    family = {
        kind
        for _, kind in inspect.getmembers(base, inspect.isclass)
        if issubclass(kind, ProviderError) and kind is not ProviderError
    }

    assert {type(error) for error, _ in TABLE} == family


@pytest.mark.parametrize("attempt", EVERYBODY)
def test_accepted_is_not_confirmed_and_is_read_if_nothing_comes(
    attempt: Attempt,
) -> None:
    assert decide(Receipt("request-1"), attempt) == Decision(
        ACCEPTED,
        request_id="request-1",
        read_seconds=300.0 + READ_AFTER_UNKNOWN_SECONDS,
        may_have_landed=True,
    )


def test_what_the_provider_says_fits_its_column() -> None:
    error = TryLater("c" * 100, request_id="r" * 100)

    decision = decide(error, FIRST_STOP)

    assert (decision.code, decision.request_id) == ("c" * 80, "r" * 80)


def test_a_backoff_doubles_up_to_its_top() -> None:
    waits = [backoff_seconds(number) for number in range(1, 100)]

    assert waits[:4] == [30.0, 60.0, 120.0, 240.0]
    assert all(after >= before for before, after in pairwise(waits))
    assert max(waits) == BACKOFF_TOP_SECONDS


LIMIT = replace(FIRST_STOP, is_limit=True, has_looked=False)
LIMIT_BACK = replace(START, is_limit=True, has_looked=False)
LANDED = {"may_have_landed": True}
SEEN = base.Report("v-1", NOW, is_plugged_in=True, limit_percent=90.0)


@pytest.mark.parametrize(
    ("outcome", "attempt", "expected"),
    [
        # nobody answered the look: nothing was written
        (OutcomeUnknown("x"), LIMIT, {"status": QUEUED, "may_have_landed": False}),
        (OutcomeUnknown("x"), replace(LIMIT, has_looked=True),
         {"status": UNKNOWN, **LANDED}),
        # somebody else's limit: it is not taken, and given back only if it is ours
        (SEEN, LIMIT, NOTHING_TAKEN),
        (SEEN, LIMIT_BACK, {"status": QUEUED, "wait_seconds": 120.0}),
        (SEEN, replace(LIMIT_BACK, number=3), {"wait_seconds": 480.0}),
        (replace(SEEN, is_plugged_in=False), LIMIT_BACK,
         {"status": QUEUED, "wait_seconds": UNPLUGGED_SECONDS}),
        # what it saw may be our own, of an earlier try
        (SEEN, replace(LIMIT, may_have_landed=True), {"status": ACCEPTED, **LANDED}),
        # without a cable
        (NothingToDo("x", CarState.UNPLUGGED), LIMIT, NOTHING_TAKEN),
        (NothingToDo("x", CarState.UNPLUGGED), LIMIT_BACK,
         {"status": QUEUED, "wait_seconds": UNPLUGGED_SECONDS,
          "may_have_landed": False}),
    ],
)  # fmt: skip
def test_what_becomes_of_a_limit(
    outcome: base.Report | ProviderError, attempt: Attempt, expected: dict[str, Any]
) -> None:
    decision = decide(outcome, attempt)

    assert {name: getattr(decision, name) for name in expected} == expected
