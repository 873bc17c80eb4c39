"""Doing several things at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from django.db import connection

from dispatch.event_rules import EventError


def at_once(*acts: Callable[[], object]) -> list[object]:
    """Do these at the same moment, each on a connection of its own."""
    together = Barrier(len(acts))

    def do(act: Callable[[], object]) -> object:
        try:
            together.wait()
            return act()
        except EventError as error:
            return type(error)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [task.result() for task in [pool.submit(do, act) for act in acts]]
