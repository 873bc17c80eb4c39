"""Transactions that are repeated whole when PostgreSQL asks for it."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import structlog
from django.db import OperationalError
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
