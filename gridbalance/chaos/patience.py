"""Waiting for a condition, with a deadline, while anything may be down."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

T = TypeVar("T")

LOOK_AGAIN_SECONDS = 0.05


class TooLong(RuntimeError):
    """It did not come about in time; the message says what."""


def until(
    condition: Callable[[], T], *, within_seconds: float, else_say: Callable[[], str]
) -> T:
    """Return what the condition gives as soon as that is true.

    A database that is away is a condition that does not hold yet.
    """
    deadline = time.monotonic() + within_seconds
    while True:
        try:
            if found := condition():
                return found
        except (OperationalError, InterfaceError):
            connection.close()
        if time.monotonic() > deadline:
            raise TooLong(else_say())
        time.sleep(LOOK_AGAIN_SECONDS)


def done(act: Callable[[], object]) -> Callable[[], bool]:
    """Return a condition that holds once the act went through."""

    def is_done() -> bool:
        act()
        return True

    return is_done
