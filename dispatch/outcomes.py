"""What came of calls, written down in bulk.

Every update is guarded by sender and attempt: an outcome that comes after its sender
was declared dead finds its row moved on, and falls.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction

from dispatch import alarms, holds, retry
from dispatch.jobs import Job
from dispatch.lifecycle import CommandKind, CommandStatus
from dispatch.models import Hold, Participation, Sender
from dispatch.retry import Attempt, Decision
from fleets import clock
from fleets.models import ProviderAccount, Vehicle
from fleets.providers import makes, throttle
from fleets.providers.base import (
    AccessRevoked,
    ProviderError,
    Receipt,
    Report,
    Scope,
    TryLater,
    Unsupported,
)
from fleets.transactions import retried, walk_indexes

log = structlog.get_logger(__name__)

# Lines a batch of commands that came to the same bad end.
TOLD_OF_A_KIND = 5
# The wait after a Retry-After that the provider forgot to send.
PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One job, what the call ended in (None: it never left), and when."""

    job: Job
    result: Receipt | Report | ProviderError | None
    answered_real: datetime


# Those that are still ours move, and are told: one statement for any number of
# outcomes, which come in the order of their ids, and are looked up and locked in it.
RECORD = """
with moved as (
    update dispatch_command c set
        status = o.status,
        due_at = coalesce(to_timestamp(o.due_at), c.due_at),
        read_due_at = to_timestamp(o.read_due_at),
        answered_at = coalesce(to_timestamp(o.answered_at), c.answered_at),
        may_have_landed = c.may_have_landed or o.may_have_landed,
        code = o.code,
        request_id = coalesce(nullif(o.request_id, ''), c.request_id),
        attempt = c.attempt - o.unsent::int,
        sender_id = null
    from jsonb_to_recordset(%(outcomes)s::jsonb) as o (
        id bigint, attempt int, status text, code text, request_id text,
        may_have_landed boolean, unsent boolean, due_at float8, read_due_at float8,
        answered_at float8
    )
    where c.id = o.id and c.attempt = o.attempt
        -- said so that the index of what is in flight is no way to find them
        and c.status is not distinct from 'sending'
        and c.sender_id is not distinct from %(sender)s
    returning c.id, c.status, c.code, c.event_id
), told as (
    insert into dispatch_change (at, subject, subject_id, before, after, reason)
    select %(now)s, 'command', id, 'sending', status, code from moved
)
select id, event_id from moved
"""


@retried
def record(done: Sequence[Outcome], *, sender: Sender, now: datetime) -> None:
    """Write down what came of these calls, and what follows for their holds."""
    timeline = clock.timeline()
    decided: list[tuple[Outcome, Decision, datetime]] = []
    for outcome in done:
        if outcome.job.is_read:
            continue  # its report is a reading; the command waits for that
        answered_at = timeline.at(outcome.answered_real)
        decided.append((outcome, _decide(outcome), answered_at))
    owing = [row for row in decided if _changes_the_hold(row[0], row[1])]
    with transaction.atomic():
        walk_indexes()
        _lock_holds([outcome.job.hold_id for outcome, _, _ in owing])
        _lock_participations(
            [o.job.hold_id for o, decision, _ in decided if decision.nothing_taken]
        )
        won = _move(decided, sender=sender, now=now)
        counted = [row for row in decided if row[0].job.command_id in won]
        _follow_up(counted, now=now)
        _obey(done, now=now)
    if len(won) < len(decided):
        log.warning("outcomes_too_late", count=len(decided) - len(won))
    if decided:
        _tell(counted, events=won)


def _tell(
    counted: Sequence[tuple[Outcome, Decision, datetime]], *, events: dict[int, int]
) -> None:
    """Log a batch in one line, and what a person may ask about in one each.

    An outage fails by the thousand: a few lines of each kind show what it is.
    """
    told: Counter[tuple[str, str]] = Counter()
    for outcome, decision, _ in counted:
        kind = (str(decision.status), decision.code)
        told[kind] += 1
        is_well = decision.status == CommandStatus.ACCEPTED or outcome.result is None
        if not is_well and told[kind] <= TOLD_OF_A_KIND:
            log.warning(
                "command_failed",
                event_id=events[outcome.job.command_id],
                hold_id=outcome.job.hold_id,
                command_id=outcome.job.command_id,
                kind=outcome.job.kind,
                status=str(decision.status),
                code=decision.code,
                request_id_of_provider=decision.request_id,
            )
    statuses: Counter[str] = Counter()
    for (status, _), count in told.items():
        statuses[status] += count
    log.info("outcomes", event_ids=sorted(set(events.values())), **statuses)


def _changes_the_hold(outcome: Outcome, decision: Decision) -> bool:
    """Say whether an outcome touches its hold's row, which is locked before."""
    may_land_late = decision.status == CommandStatus.UNKNOWN
    return decision.nothing_taken or (may_land_late and not outcome.job.is_restore)


def _decide(outcome: Outcome) -> Decision:
    if outcome.result is None:
        return Decision(CommandStatus.QUEUED, code="not sent in time")
    job = outcome.job
    return retry.decide(
        outcome.result,
        Attempt(
            is_restore=job.is_restore,
            number=job.attempt,
            may_have_landed=job.may_have_landed,
            freshness_seconds=job.freshness_seconds,
            is_limit=job.kind == CommandKind.SET_LIMIT,
            has_looked=not job.is_look,
        ),
    )


def _move(
    decided: Sequence[tuple[Outcome, Decision, datetime]],
    *,
    sender: Sender,
    now: datetime,
) -> dict[int, int]:
    """Move the commands on; return those that were still ours, with their event."""
    if not decided:
        return {}
    rows = sorted(
        (
            _row(outcome, decision, answered_at, now)
            for outcome, decision, answered_at in decided
        ),
        key=itemgetter("id"),
    )
    with connection.cursor() as cursor:
        cursor.execute(
            RECORD, {"outcomes": json.dumps(rows), "sender": sender.pk, "now": now}
        )
        return dict(cursor.fetchall())


def _row(
    outcome: Outcome, decision: Decision, answered_at: datetime, now: datetime
) -> dict[str, Any]:
    """Return what `RECORD` writes of one outcome; moments as seconds since 1970."""
    is_unsent = outcome.result is None
    is_waiting = decision.status == CommandStatus.QUEUED
    return {
        "id": outcome.job.command_id,
        "attempt": outcome.job.attempt,
        "status": decision.status,
        "code": decision.code,
        "request_id": decision.request_id,
        "may_have_landed": decision.may_have_landed,
        "unsent": is_unsent,
        "due_at": _after(now, decision.wait_seconds) if is_waiting else None,
        "read_due_at": _after(now, decision.read_seconds),
        "answered_at": None if is_unsent else answered_at.timestamp(),
    }


def _after(now: datetime, seconds: float | None) -> float | None:
    return None if seconds is None else now.timestamp() + seconds


def _follow_up(
    counted: Sequence[tuple[Outcome, Decision, datetime]], *, now: datetime
) -> None:
    """Draw the conclusions for what the cars are owed."""
    may_land_late = {
        outcome.job.hold_id: answered_at + late_for(outcome.job.freshness_seconds)
        for outcome, decision, answered_at in counted
        if decision.status == CommandStatus.UNKNOWN and not outcome.job.is_restore
    }
    owe_until(may_land_late)
    refused = [
        outcome.job.hold_id
        for outcome, decision, _ in counted
        if decision.nothing_taken
    ]
    if refused:
        holds.refuse(refused, now=now)
    for outcome, decision, _ in counted:
        if decision.alarm:
            alarms.raise_alarm(
                alarms.refused_key(outcome.job.hold_id),
                f"Restore refused: {decision.code} (vehicle {outcome.job.vehicle_id})",
                now=now,
            )


def _obey(done: Sequence[Outcome], *, now: datetime) -> None:
    """Wait as the provider said, for whoever it said it to.

    Note lost access, and access that is back; and who takes no limit: those are held by
    a stop from then on.
    """
    pauses: dict[int, datetime] = {}
    for outcome in done:
        result, job = outcome.result, outcome.job
        if isinstance(result, TryLater) and result.wait_seconds is not None:
            until = now + timedelta(seconds=result.wait_seconds or PAUSE_SECONDS)
            if result.scope is Scope.VEHICLE:
                pauses[job.vehicle_id] = until
            else:
                throttle.pause(result.scope, make=job.make, until=until, now=now)
        if isinstance(result, AccessRevoked):
            ProviderAccount.objects.filter(
                external_id=job.key.user_id, reconnect_needed_at=None
            ).update(reconnect_needed_at=now)
        if isinstance(result, Unsupported) and job.kind == CommandKind.SET_LIMIT:
            Vehicle.objects.filter(pk=job.vehicle_id).update(can_set_limit=False)
    _regain([o.job.key.user_id for o in done if isinstance(o.result, Receipt)])
    if pauses:
        throttle.pause_vehicles(pauses)


def _regain(user_ids: Sequence[str]) -> None:
    """Forget lost access where a command was taken: the owner has signed in again."""
    ProviderAccount.objects.filter(
        reconnect_needed_at__isnull=False, external_id__in=user_ids
    ).update(reconnect_needed_at=None)


def late_for(freshness_seconds: float) -> timedelta:
    """Return how long after an unknown stop a reading proves nothing."""
    return timedelta(seconds=settings.LONGEST_ANSWER_SECONDS + freshness_seconds)


def owe_until(moments: dict[int, datetime]) -> None:
    """Note until when stops of unknown outcome may still land, by hold id."""
    if not moments:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            update dispatch_hold h
            set owed_until = greatest(h.owed_until, late.until)
            from unnest(%s::bigint[], %s::timestamptz[]) as late (id, until)
            where h.id = late.id
            """,
            [list(moments), list(moments.values())],
        )


def _lock_holds(hold_ids: Sequence[int]) -> None:
    list(
        Hold.objects.filter(pk__in=hold_ids)
        .order_by("id")
        .select_for_update(no_key=True)
        .values_list("pk")
    )


def _lock_participations(hold_ids: Sequence[int]) -> None:
    """Lock what a refusal will change before the commands, as an opt-out does."""
    list(
        Participation.objects.filter(hold__in=hold_ids)
        .order_by("id")
        .select_for_update(no_key=True)
        .values_list("pk")
    )


@retried
def withdraw(jobs: Sequence[Job], *, sender: Sender, now: datetime) -> None:
    """Supersede claimed jobs that something overtook before they left."""
    if not jobs:
        return
    decision = Decision(CommandStatus.SUPERSEDED, code="overtaken before it was sent")
    rows = [(Outcome(job, None, clock.real_now()), decision, now) for job in jobs]
    with transaction.atomic():
        walk_indexes()
        _lock_holds([job.hold_id for job in jobs])
        _move(rows, sender=sender, now=now)


@retried
def bury(senders: Sequence[UUID], *, now: datetime) -> int:
    """Turn what these senders had on the wire into unknown; return how many.

    A call that left before its sender died may be answered, and may land, as late as
    the provider's longest answer from now on.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            """
            select h.id, v.make, c.is_restore from dispatch_command c
            join dispatch_hold h on h.id = c.hold_id
            join fleets_vehicle v on v.id = c.vehicle_id
            where c.status = 'sending'
                and (c.sender_id = any(%s) or c.sender_id is null)
            order by h.id
            for no key update of h
            """,
            [list(senders)],
        )
        found = cursor.fetchall()
        cursor.execute(
            """
            with locked as (
                select id from dispatch_command
                where status = 'sending' and (sender_id = any(%s) or sender_id is null)
                order by id for no key update
            ), moved as (
                update dispatch_command c set status = 'unknown', sender_id = null,
                    may_have_landed = true, answered_at = %s, read_due_at = %s,
                    code = 'sender died'
                from locked where c.id = locked.id
                returning c.id
            ), told as (
                insert into dispatch_change
                    (at, subject, subject_id, before, after, reason)
                select %s, 'command', id, 'sending', 'unknown', 'sender died'
                from moved
            )
            select count(*) from moved
            """,
            [list(senders), now, now, now],
        )
        (count,) = cursor.fetchone()
        owe_until(
            {
                hold_id: now + late_for(makes.freshness(make).total_seconds())
                for hold_id, make, is_restore in found
                if not is_restore
            }
        )
    return int(count)
