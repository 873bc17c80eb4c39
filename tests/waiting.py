"""The one way in which tests wait: for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

T = TypeVar("T")

LOOK_AGAIN_SECONDS = 0.05


def eventually(
    condition: Callable[[], T],
    *,
    within_seconds: float = 30,
    else_say: Callable[[], str] = lambda: "It did not come about.",
) -> T:
    """Return what the condition gives as soon as that is true; fail at the deadline.

    A database that is away is a condition that does not hold yet.
    """
    deadline = time.monotonic() + within_seconds
    while True:
        try:
            if found := condition():
                return found
        except (OperationalError, InterfaceError):
            connection.close()
        assert time.monotonic() < deadline, else_say()
        time.sleep(LOOK_AGAIN_SECONDS)
