"""The line to the provider: many calls at once, in a thread of its own.

It never speaks to the database, and whoever does never waits for a call, so no
transaction is ever open around one and neither side holds the other up. One line a
process, for as long as the process lives; the HTTP client is bound to its event loop.

    line.send(jobs)
    outcomes = line.collect(timeout=0.1)      # those that ended by now
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence

import structlog
import uvloop

from dispatch.jobs import Job
from dispatch.lifecycle import CommandKind
from dispatch.outcomes import Outcome
from fleets import clock
from fleets.providers.base import (
    OutcomeUnknown,
    Provider,
    ProviderError,
    Receipt,
    Report,
)

log = structlog.get_logger(__name__)

# A claim that could not be sent by then is put back: the world may have changed.
SEND_WITHIN_SECONDS = 1.0
# Outcomes that come in shortly after one another share a commit.
GATHER_SECONDS = 0.01
# How long the line's thread may keep Python to itself while rows wait to be written:
# each statement waits for it once, and a claim has ten. Python's own 5 ms cost half of
# a sender's time (real seconds).
TURN_SECONDS = 0.001
# New objects between two looks for garbage, which is not what calls leave behind.
# Python's own 700 cost a seventh of a sender's processor time.
LOOK_FOR_GARBAGE_EVERY = 50_000


class Line:
    """Calls on the wire, and what came of them."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.in_flight = 0  # sent and not collected yet
        self._loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._calls: set[asyncio.Task[None]] = set()
        self._done: deque[Outcome] = deque()
        self._bell = threading.Event()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="line", daemon=True
        )
        self._thread.start()

    def send(self, jobs: Sequence[Job], *, claimed_at: float) -> None:
        """Let calls go; `claimed_at` is the monotonic time of their claim."""
        self.in_flight += len(jobs)
        self._loop.call_soon_threadsafe(self._begin, jobs, claimed_at)

    def collect(self, *, timeout: float) -> list[Outcome]:
        """Return what ended by now; wait for a first one, for so many seconds."""
        if not self._bell.wait(timeout):
            return []
        time.sleep(GATHER_SECONDS)
        self._bell.clear()
        # Taken one by one: a list that was swapped may still be appended to.
        done = []
        while self._done:
            done.append(self._done.popleft())
        self.in_flight -= len(done)
        return done

    def drop(self) -> None:
        """Let go of all that is on the wire: nobody will hear what came of it."""

        async def end() -> None:
            for call in list(self._calls):
                call.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._bell.clear()
        self._done.clear()
        self.in_flight = 0

    def close(self) -> None:
        """Drop everything, and end the thread."""
        self.drop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _begin(self, jobs: Sequence[Job], claimed_at: float) -> None:
        for job in jobs:
            call = self._loop.create_task(self._call(job, claimed_at))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _call(self, job: Job, claimed_at: float) -> None:
        """Make one call; whatever happens becomes an outcome."""
        result: Receipt | Report | ProviderError | None = None
        if time.monotonic() - claimed_at <= SEND_WITHIN_SECONDS:
            try:
                result = await self._ask(job)
            except ProviderError as error:
                result = error
            except Exception as error:
                log.exception(
                    "call_broke", hold_id=job.hold_id, command_id=job.command_id
                )
                result = OutcomeUnknown(type(error).__name__)
        self._done.append(Outcome(job, result, clock.real_now()))
        if not self._bell.is_set():
            self._bell.set()

    async def _ask(self, job: Job) -> Receipt | Report:
        if job.is_read or job.is_look:
            return await self.provider.read(job.key)
        if job.kind == CommandKind.STOP:
            return await self.provider.stop_charging(job.key)
        if job.kind == CommandKind.START:
            return await self.provider.start_charging(job.key)
        assert job.percent is not None
        return await self.provider.set_charge_limit(job.key, job.percent)


# By process id, so that a forked child begins with nothing of its parent's.
_lines: dict[int, Line] = {}


def of_this_process(provider: Provider) -> Line:
    """Return the line that this process sends on; a forked child has its own."""
    if os.getpid() not in _lines:
        _lines[os.getpid()] = Line(provider)
        sys.setswitchinterval(TURN_SECONDS)
        gc.freeze()  # what is there by now stays: nobody needs to look through it
        gc.set_threshold(LOOK_FOR_GARBAGE_EVERY)
    return _lines[os.getpid()]
