"""Act on the wire: tokens, claim, many calls at once, outcomes in bulk.

One `run` is one Celery task. It goes on for as long as anything is due or on the wire,
so a call that hangs holds up nobody: the same run keeps claiming beside it. Calls are
made by the line's thread, rows are written by this one.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import OperationalError, connection, transaction

from dispatch import claims, draining, limits, outcomes
from dispatch.line import Line
from dispatch.models import Sender
from dispatch.outcomes import Outcome
from fleets import clock, telemetry
from fleets.providers.base import ProviderError, Report, TokenStale
from fleets.transactions import retried

log = structlog.get_logger(__name__)

# How long outcomes are waited for before rows are looked at again, at most.
SLICE_SECONDS = 0.1
# A claim costs the same for few as for many: it waits for room for a share of them.
CLAIM_FROM_SHARE = 0.5
# What a look showed lets a write go for so long; then it is looked again (real).
LOOK_HOLDS_SECONDS = 120.0


@dataclass
class Sending:
    """A run's state: its lease, its line, and the looks whose writes have yet to go."""

    sender: Sender
    line: Line
    enlisted_at: float = field(default_factory=time.monotonic)
    looks: list[Outcome] = field(default_factory=list)

    @property
    def jobs(self) -> int:
        """Return how many jobs it has claimed and not written down."""
        return self.line.in_flight + len(self.looks)

    @property
    def lease_is_due(self) -> bool:
        """Say whether it is time for the next heartbeat (real time)."""
        age = time.monotonic() - self.enlisted_at
        return age > settings.SENDER_HEARTBEAT_SECONDS


def run(line: Line) -> int:
    """Send whatever is due until nothing is, and return how many calls were made.

    A worker that is asked to end claims nothing more. What is on the wire is waited
    for, but not as long as the provider may take: what is let go is unknown.
    """
    sending = Sending(_enlist(), line)
    calls = 0
    try:
        # One process has one run at a time: what it holds now, a broken run left.
        outcomes.bury([sending.sender.pk], now=clock.now())
        while True:
            if sending.lease_is_due:
                sending.sender = _enlist()
                sending.enlisted_at = time.monotonic()
            _write_limits(sending)
            claimed = 0 if draining.is_underway() else _send(sending)
            calls += claimed
            if not sending.jobs:
                if not claimed:
                    return calls
                continue  # all that was claimed had been overtaken
            done = line.collect(timeout=SLICE_SECONDS)
            if done:
                _record(sending, done)
            if draining.is_over(settings.FANOUT_DRAIN_SECONDS):
                log.warning("let_go", count=line.in_flight)
                return calls
    finally:
        _leave(sending)


def _send(sending: Sending) -> int:
    """Claim as many due jobs as there is room for, and let them go; return how many.

    The token comes first: a claim without one would spend calls on nothing.
    """
    line = sending.line
    room = settings.FANOUT_IN_FLIGHT - sending.jobs
    now = clock.now()
    if room < settings.FANOUT_IN_FLIGHT * CLAIM_FROM_SHARE:
        return 0
    due = claims.due(now)
    if not due:
        return 0
    try:
        line.provider.fresh_token(now)
    except ProviderError as error:
        log.warning("no_token", code=error.code)
        return 0
    claimed_at = time.monotonic()
    jobs = claims.claim(sending.sender, due, room=room, now=now)
    wanted = claims.still_wanted(jobs, now=clock.now())
    line.send(wanted, claimed_at=claimed_at)
    if len(wanted) < len(jobs):
        leaving = {job.command_id for job in wanted}
        overtaken = [job for job in jobs if job.command_id not in leaving]
        outcomes.withdraw(overtaken, sender=sending.sender, now=now)
    return len(jobs)


def _write_limits(sending: Sending) -> None:
    """Send the limits whose looks let them go, as fast as the envelopes let them.

    Rows are asked once more between the look and the write, for the look took a while:
    an opt-out wins here, too. Without an answer nothing is written. What has no room
    yet waits here, and not in the queue: there, cars that are slow to look at would be
    looked at for ever.
    """
    _let_fall(sending)
    looked = [look.job for look in sending.looks]
    if not looked:
        return
    asked_at = time.monotonic()
    now = clock.now()
    try:
        mine = claims.still_ours(looked, sender=sending.sender)
        wanted = claims.still_wanted(mine, now=now)
        staying = {job.command_id for job in wanted}
        overtaken = [job for job in mine if job.command_id not in staying]
        outcomes.withdraw(overtaken, sender=sending.sender, now=now)
        leaving = claims.leaving(wanted, now=now)
    except OperationalError as error:
        log.warning("writes_wait", error=str(error), count=len(looked))
        connection.close()
        return
    staying -= {job.command_id for job in leaving}
    sending.looks = [o for o in sending.looks if o.job.command_id in staying]
    writes = [replace(job, has_looked=True) for job in leaving]
    sending.line.send(writes, claimed_at=asked_at)


def _let_fall(sending: Sending) -> None:
    """Put back what was looked at too long ago, or all if this worker is to end."""
    oldest = clock.real_now() - timedelta(seconds=LOOK_HOLDS_SECONDS)
    looks = [] if draining.is_underway() else sending.looks
    staying = [look for look in looks if look.answered_real >= oldest]
    if len(staying) < len(sending.looks):
        kept = {look.job.command_id for look in staying}
        fallen = [look for look in sending.looks if look.job.command_id not in kept]
        _write_down(sending, [replace(look, result=None) for look in fallen])
        sending.looks = staying


def _may_write(outcome: Outcome) -> bool:
    """Say whether this is a look that lets its write go."""
    job, seen = outcome.job, outcome.result
    if not job.is_look or not isinstance(seen, Report) or job.instead_of is None:
        return False
    return limits.may_write(seen, instead_of=job.instead_of, takes=not job.is_restore)


def _record(sending: Sending, done: Sequence[Outcome]) -> None:
    """Take in what ended: outcomes and readings, and the looks that let writes go."""
    if any(isinstance(outcome.result, TokenStale) for outcome in done):
        _renew(sending)
    sending.looks += [outcome for outcome in done if _may_write(outcome)]
    _write_down(sending, [outcome for outcome in done if not _may_write(outcome)])
    reports = [outcome.result for outcome in done if isinstance(outcome.result, Report)]
    if reports:
        telemetry.record(reports, source="read", now=clock.now())


def _write_down(sending: Sending, ended: Sequence[Outcome]) -> None:
    """Write outcomes down, however long the database needs to come back.

    They exist nowhere else. If it stays away for longer than a lease, the rows become
    unknown without us, and the outcomes' guards let them fall.
    """
    deadline = time.monotonic() + settings.SENDER_DEAD_SECONDS
    while True:
        try:
            outcomes.record(ended, sender=sending.sender, now=clock.now())
            return
        except OperationalError as error:
            log.warning("outcomes_wait", error=str(error), count=len(ended))
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(SLICE_SECONDS)


def _renew(sending: Sending) -> None:
    try:
        sending.line.provider.renew_token(clock.now())
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
    if sending.jobs:
        sending.line.drop()
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


# By process id: a forked child is a sender of its own.
_ids: dict[int, uuid.UUID] = {}


def _id_of_this_process() -> uuid.UUID:
    return _ids.setdefault(os.getpid(), uuid.uuid4())
