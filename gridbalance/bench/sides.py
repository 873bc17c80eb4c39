"""The sides of the fan-out bench, each in a process of its own, all by one signal.

    with Side(durable) as side:
        result = side.go()

A side sets itself up, waits, does its work, and tells how long that took and what it
cost: seconds, CPU seconds, peak memory.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

MEGABYTE = 1024  # in kilobytes
LONGEST_SECONDS = 600.0

Work = Callable[[], int]


@dataclass(frozen=True)
class Done:
    """What one process did."""

    calls: int
    seconds: float
    cpu_seconds: float
    peak_mb: float


def durable() -> Work:
    """Return the way of a fan-out worker: rows, tokens, calls, outcomes, history."""
    from django.db import connection

    from dispatch import fanout, line
    from fleets import clock
    from fleets.providers import smartcar

    provider = smartcar.shared()
    provider.fresh_token(clock.now())
    connection.ensure_connection()
    of_process = line.of_this_process(provider)
    return lambda: fanout.run(of_process)


def bare() -> Work:
    """Return a loop of the same client, as many calls at once, that keeps nothing."""
    import uvloop
    from django.conf import settings
    from django.db import connection

    from fleets import clock
    from fleets.models import Vehicle
    from fleets.providers import smartcar
    from fleets.providers.base import ProviderError, VehicleKey

    provider = smartcar.shared()
    provider.fresh_token(clock.now())
    rows = Vehicle.objects.values_list("external_id", "account__external_id")
    keys = [VehicleKey(vehicle, user) for vehicle, user in rows]
    connection.close()

    async def send_all() -> None:
        waiting = iter(keys)

        async def lane() -> None:
            for key in waiting:
                try:
                    await provider.start_charging(key)
                except ProviderError:
                    continue

        await asyncio.gather(*(lane() for _ in range(settings.FANOUT_IN_FLIGHT)))

    def work() -> int:
        uvloop.run(send_all())
        return len(keys)

    return work


class Side:
    """One process that stands ready."""

    def __init__(self, prepare: Callable[[], Work], *, core: int | None = None) -> None:
        """Start it, pinned to a core if one is named, and wait until it is ready."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_stand_ready, args=(prepare, theirs, core), daemon=True
        )
        self._process.start()
        theirs.close()  # or its death would look like silence
        self._hear()

    def begin(self) -> None:
        """Let it work."""
        self._pipe.send("go")

    def end(self) -> Done:
        """Wait for its end, and return what it did."""
        done = self._hear()
        self._process.join()
        assert isinstance(done, Done)
        return done

    def _hear(self) -> Any:
        if not self._pipe.poll(LONGEST_SECONDS):
            self._process.kill()
            raise TimeoutError("a side of the bench says nothing")
        return self._pipe.recv()


def _stand_ready(
    prepare: Callable[[], Work], pipe: Connection, core: int | None
) -> None:
    import logging

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gridbalance.settings")
    django.setup()
    logging.getLogger().setLevel(logging.ERROR)
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    work = prepare()
    pipe.send("ready")
    pipe.recv()
    cpu, began = time.process_time(), time.perf_counter()
    calls = work()
    pipe.send(
        Done(
            calls=calls,
            seconds=time.perf_counter() - began,
            cpu_seconds=time.process_time() - cpu,
            peak_mb=peak_mb(),
        )
    )


def peak_mb() -> float:
    """Return the most memory that this process had.

    `ru_maxrss` also counts what the process had before it became another program: on
    Linux, a child's begins at its parent's.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
    return float(line) / MEGABYTE
