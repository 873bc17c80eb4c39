"""Act on the wire: tokens, claim, many calls at once, outcomes in bulk.

One `run` is one Celery task. It goes on for as long as anything is due or on the wire,
so a call that hangs holds up nobody: the same run keeps claiming beside it. Between two
slices of the event loop it speaks to the database; while the loop runs it never does,
so no transaction is ever open around a call.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog
import uvloop
from django.conf import settings
from django.db import OperationalError, connection, transaction

from dispatch import claims, outcomes
from dispatch.claims import Job
from dispatch.lifecycle import CommandKind
from dispatch.models import Sender
from dispatch.outcomes import Outcome
from fleets import clock, telemetry
from fleets.providers.base import (
    OutcomeUnknown,
    Provider,
    ProviderError,
    Receipt,
    Report,
    TokenStale,
)
from fleets.transactions import retried

log = structlog.get_logger(__name__)

# A claim that could not be sent by then is put back: the world may have changed.
SEND_WITHIN_SECONDS = 1.0
# How long the loop runs before rows are looked at again, at most.
SLICE_SECONDS = 0.1
# Outcomes that come in while others are being written share the next commit.
GATHER_SECONDS = 0.005


@dataclass
class Sending:
    """A run's state: its lease, and what it has on the wire."""

    sender: Sender
    provider: Provider
    loop: asyncio.AbstractEventLoop
    in_flight: set[asyncio.Task[Outcome]]
    enlisted_at: float = field(default_factory=time.monotonic)

    @property
    def lease_is_due(self) -> bool:
        """Say whether it is time for the next heartbeat (real time)."""
        age = time.monotonic() - self.enlisted_at
        return age > settings.SENDER_HEARTBEAT_SECONDS


def run(provider: Provider, *, loop: asyncio.AbstractEventLoop) -> int:
    """Send whatever is due until nothing is, and return how many calls were made."""
    sending = Sending(_enlist(), provider, loop, set())
    calls = 0
    try:
        # One process has one run at a time: what it holds now, a broken run left.
        outcomes.bury([sending.sender.pk], now=clock.now())
        while True:
            if sending.lease_is_due:
                sending.sender = _enlist()
                sending.enlisted_at = time.monotonic()
            sent = _send(sending)
            calls += sent
            if not sending.in_flight:
                if not sent:
                    return calls
                continue  # all that was claimed had been overtaken
            done = _wait(sending)
            if done:
                _record(sending, done)
    finally:
        _leave(sending)


def _send(sending: Sending) -> int:
    """Claim as many due jobs as there is room for, and let them go; return how many.

    The token comes first: a claim without one would spend calls on nothing.
    """
    room = settings.FANOUT_IN_FLIGHT - len(sending.in_flight)
    now = clock.now()
    if room <= 0 or not claims.anything_due(now):
        return 0
    try:
        sending.provider.fresh_token(now)
    except ProviderError as error:
        log.warning("no_token", code=error.code)
        return 0
    claimed_at = time.monotonic()
    jobs = claims.claim(sending.sender, room=room, now=now)
    wanted = claims.still_wanted(jobs, now=clock.now())
    overtaken = [job for job in jobs if job not in wanted]
    outcomes.withdraw(overtaken, sender=sending.sender, now=now)
    for job in wanted:
        sending.in_flight.add(
            sending.loop.create_task(_call(sending.provider, job, claimed_at))
        )
    return len(jobs)


def _wait(sending: Sending) -> list[Outcome]:
    """Let the calls go on until some have ended, for a moment at most."""

    async def some() -> set[asyncio.Task[Outcome]]:
        done, _ = await asyncio.wait(
            sending.in_flight,
            timeout=SLICE_SECONDS,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if done:
            await asyncio.sleep(GATHER_SECONDS)
        return {task for task in sending.in_flight if task.done()}

    done = sending.loop.run_until_complete(some())
    sending.in_flight -= done
    return [task.result() for task in done]


async def _call(provider: Provider, job: Job, claimed_at: float) -> Outcome:
    """Make one call; whatever happens becomes an outcome."""
    if time.monotonic() - claimed_at > SEND_WITHIN_SECONDS:
        return Outcome(job, None, clock.real_now())
    result: Receipt | Report | ProviderError
    try:
        result = await _ask(provider, job)
    except ProviderError as error:
        result = error
    except Exception as error:
        log.exception("call_broke", command=job.command_id)
        result = OutcomeUnknown(type(error).__name__)
    return Outcome(job, result, clock.real_now())


async def _ask(provider: Provider, job: Job) -> Receipt | Report:
    if job.is_read:
        return await provider.read(job.key)
    if job.kind == CommandKind.STOP:
        return await provider.stop_charging(job.key)
    if job.kind == CommandKind.START:
        return await provider.start_charging(job.key)
    assert job.percent is not None
    return await provider.set_charge_limit(job.key, job.percent)


def _record(sending: Sending, done: Sequence[Outcome]) -> None:
    """Write outcomes down, however long the database needs to come back.

    They exist nowhere else. If it stays away for longer than a lease, the rows become
    unknown without us, and the outcomes' guards let them fall.
    """
    deadline = time.monotonic() + settings.SENDER_DEAD_SECONDS
    if any(isinstance(outcome.result, TokenStale) for outcome in done):
        _renew(sending)
    while True:
        try:
            outcomes.record(done, sender=sending.sender, now=clock.now())
            break
        except OperationalError as error:
            log.warning("outcomes_wait", error=str(error), count=len(done))
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(SLICE_SECONDS)
    reports = [outcome.result for outcome in done if isinstance(outcome.result, Report)]
    if reports:
        telemetry.record(reports, source="read", now=clock.now())


def _renew(sending: Sending) -> None:
    try:
        sending.provider.renew_token(clock.now())
    except ProviderError as error:
        log.warning("no_token", code=error.code)


def _enlist() -> Sender:
    """Write down this process as a sender, with a heartbeat of now.

    Leases are real time by one clock, the database server's. A process that stood still
    for so long that it was buried enlists anew; its late outcomes then fall.
    """
    sender = Sender(
        id=_id_of_this_process(), host=socket.gethostname()[:100], pid=os.getpid()
    )
    with connection.cursor() as cursor:
        cursor.execute(
            """
            insert into dispatch_sender (id, host, pid, started_at, heartbeat_at)
            values (%s, %s, %s, clock_timestamp(), clock_timestamp())
            on conflict (id) do update set heartbeat_at = excluded.heartbeat_at
            """,
            [sender.pk, sender.host, sender.pid],
        )
    return sender


def _leave(sending: Sending) -> None:
    """Let go of what is still on the wire when a run breaks: it is unknown then.

    If not even that can be written, the next run of this process does it.
    """
    if sending.in_flight:
        for task in sending.in_flight:
            task.cancel()
        outcomes.bury([sending.sender.pk], now=clock.now())


@retried
@transaction.atomic
def bury_dead_senders(*, now: datetime) -> int:
    """Turn what dead senders had on the wire into unknown; return how many.

    Never back to queued: the call may have reached the car. Senders that hold nothing
    are forgotten.

    The dead are locked until all is written: one that comes back in this moment waits,
    and enlists anew. Nor is one that is just giving a sign of life waited for.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "select id from dispatch_sender where heartbeat_at <"
            " clock_timestamp() - make_interval(secs => %s) order by id"
            " for update skip locked",
            [settings.SENDER_DEAD_SECONDS],
        )
        dead = [row[0] for row in cursor.fetchall()]
    buried = outcomes.bury(dead, now=now) if dead else 0
    Sender.objects.filter(pk__in=dead).delete()
    return buried


# By process id, so that a forked child begins with nothing of its parent's.
_loops: dict[int, asyncio.AbstractEventLoop] = {}
_ids: dict[int, uuid.UUID] = {}


def _id_of_this_process() -> uuid.UUID:
    return _ids.setdefault(os.getpid(), uuid.uuid4())


def loop_of_this_process() -> asyncio.AbstractEventLoop:
    """Return the event loop that this process sends with; a forked child has its own.

    It lives as long as the process, and so does the HTTP client bound to it.
    """
    if os.getpid() not in _loops:
        _loops[os.getpid()] = uvloop.new_event_loop()
    return _loops[os.getpid()]
