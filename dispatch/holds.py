"""Act: intents become holds, participations and commands, and readings close them.

Every function runs inside the transaction of one turn of the loop, which has locked the
program's event rows and open holds first: event, hold, command, ids ascending, is the
one order in which everybody locks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import connection, transaction
from django.db.models import Q

from dispatch import alarms, audit, taking
from dispatch.lifecycle import (
    CommandKind,
    CommandStatus,
    HoldStatus,
    ParticipationStatus,
)
from dispatch.models import Command, GridEvent, Hold, Participation
from dispatch.planner import Act, Cars, Debt, Intents, Reason
from fleets.models import Tactic

# Reasons after which a car is not held again by the same event, even if it replugs.
FINAL_REASONS = (
    Reason.OPTED_OUT, Reason.WITHDRAWN, Reason.LATEST_START, Reason.PICK_UP,
)  # fmt: skip

CALLED_BACK = "wanted by another event before its start left"
# Of open holds: their limits wait for the car to be plugged in again. An owner who must
# sign in first is another matter: that takes a person.
AWAY = Q(
    tactic=Tactic.LIMIT,
    status=HoldStatus.RESTORING,
    vehicle__is_plugged_in=False,
    vehicle__account__reconnect_needed_at=None,
)


def act(intents: Intents, cars: Cars, *, now: datetime) -> None:
    """Write down what was decided; the fan-out finds it in the rows."""
    _drop(intents.to(Act.DROP), cars, now=now)
    _restore(intents.to(Act.RESTORE), cars, now=now)
    _call_back(intents.to(Act.HOLD), cars, now=now)
    taking.hold(intents.to(Act.HOLD), cars, now=now)
    taking.spare(intents.to(Act.SPARE), cars, now=now)


def _call_back(intents: Intents, cars: Cars, *, now: datetime) -> None:
    """Keep cars that were on their way back, as far as nothing has left for them.

    A claim may have taken it since the turn looked: such a car goes back.
    """
    returning = intents.place[cars.debt[intents.place] == Debt.RETURNING]
    vehicle_ids = cars.vehicle_id[returning].tolist()
    if not vehicle_ids:
        return
    wanted = Hold.objects.filter(vehicle__in=vehicle_ids, status=HoldStatus.RESTORING)
    waiting = Command.objects.filter(
        hold__in=wanted,
        is_restore=True,
        status=CommandStatus.QUEUED,
        may_have_landed=False,
    ).move(CommandStatus.SUPERSEDED, now=now, reason=CALLED_BACK)
    kept = Command.objects.filter(pk__in=waiting).values_list("hold_id", flat=True)
    Hold.objects.filter(pk__in=list(kept)).move(
        HoldStatus.HELD, now=now, reason=CALLED_BACK, restoring_at=None,
        restore_reason="",
    )  # fmt: skip


def _restore(intents: Intents, cars: Cars, *, now: datetime) -> None:
    """Queue what gives these cars back."""
    for reason, vehicle_ids in _by_reason(intents, cars).items():
        hold_ids = (
            Hold.objects.open()
            .filter(vehicle__in=vehicle_ids)
            .exclude(status=HoldStatus.UNRESOLVED)  # that takes a person
            .values_list("pk", flat=True)
        )
        moved = give_back(hold_ids, reason=reason, now=now)
        if reason in FINAL_REASONS:
            end_participation(moved, reason=reason, now=now)


def give_back(hold_ids: Iterable[int], *, reason: str, now: datetime) -> list[int]:
    """Turn holds to being given back, with the commands for that; return their ids.

    Whatever stop is still underway is superseded with them. An accepted or unknown one
    needs no confirmation before its start. One on the wire does: such a hold is left to
    the next turn.
    """
    moved = Hold.objects.filter(pk__in=_off_the_wire(hold_ids)).move(
        HoldStatus.RESTORING,
        now=now,
        reason=reason,
        restoring_at=now,
        restore_reason=reason,
    )
    Command.objects.filter(hold__in=moved, is_restore=False).move(
        CommandStatus.SUPERSEDED, now=now, reason=reason
    )
    queue_restores(moved, now=now)
    return moved


# A car that was held by a lower limit gets its own back; one whose limit is back, and
# that does not go on by itself, is owed a start yet.
QUEUE_RESTORES = """
with queued as (
    insert into dispatch_command (
        vehicle_id, hold_id, event_id, event_version, kind, percent, is_restore,
        status, attempt, ineffective, created_at, due_at, latest_start_at,
        may_have_landed, reads, code, request_id
    )
    select h.vehicle_id, h.id, h.event_id, g.version,
        case when by_limit then 'set limit' else 'start' end,
        case when by_limit then round(h.limit_percent) end,
        true, 'queued', 0, 0, %(now)s, %(now)s, h.latest_start_at, false, 0, '', ''
    from dispatch_hold h
    join dispatch_gridevent g on g.id = h.event_id
    cross join lateral (
        select h.tactic = 'limit' and not %(limit_is_back)s as by_limit
    ) _
    where h.id = any(%(holds)s)
    order by h.id
    returning id
)
insert into dispatch_change (at, subject, subject_id, before, after, reason)
select %(now)s, 'command', id, '', 'queued', '' from queued
"""


def queue_restores(
    hold_ids: Sequence[int], *, now: datetime, limit_is_back: bool = False
) -> None:
    """Queue what gives these cars back."""
    with connection.cursor() as cursor:
        cursor.execute(
            QUEUE_RESTORES,
            {"holds": list(hold_ids), "limit_is_back": limit_is_back, "now": now},
        )


def _drop(intents: Intents, cars: Cars, *, now: datetime) -> None:
    """Close holds of which nothing was taken."""
    for reason, vehicle_ids in _by_reason(intents, cars).items():
        hold_ids = Hold.objects.filter(
            vehicle__in=vehicle_ids, status=HoldStatus.TAKING
        ).values_list("pk", flat=True)
        release(list(hold_ids), reason=reason, now=now)


def _off_the_wire(hold_ids: Iterable[int]) -> list[int]:
    """Keep holds with no command on the wire, and see that none leaves meanwhile.

    A claim locks commands alone, so it may take one between a turn's look and its act.
    Such a hold is left to the next turn, when the outcome is here.
    """
    wanted = list(hold_ids)
    commands = (
        Command.objects.open()
        .filter(hold__in=wanted)
        .order_by("id")
        .select_for_update(no_key=True, of=("self",))
        .values_list("hold_id", "status")
    )
    sent = {hold_id for hold_id, status in commands if status == CommandStatus.SENDING}
    return [pk for pk in wanted if pk not in sent]


def release(hold_ids: Sequence[int], *, reason: str, now: datetime) -> list[int]:
    """Close holds without anything to give back, and call off what is queued.

    Those with a command on the wire stay open until its outcome is here.
    """
    moved = Hold.objects.filter(pk__in=_off_the_wire(hold_ids)).move(
        HoldStatus.RELEASED, now=now, reason=reason, closed_at=now, close_reason=reason
    )
    call_off(moved, reason=reason, now=now)
    return moved


def call_off(hold_ids: Sequence[int], *, reason: str, now: datetime) -> None:
    """Supersede the commands of holds that need none any more."""
    Command.objects.filter(hold__in=hold_ids).exclude(
        status=CommandStatus.SENDING  # its outcome will find the hold closed
    ).move(CommandStatus.SUPERSEDED, now=now, reason=reason)


def end_participation(hold_ids: Sequence[int], *, reason: str, now: datetime) -> None:
    """Let cars out of the events that claim them, for good."""
    Participation.objects.filter(hold__in=hold_ids).exclude(
        status=ParticipationStatus.ENDED
    ).update(status=ParticipationStatus.ENDED, reason=reason, ended_at=now)


def refuse(hold_ids: Sequence[int], *, now: datetime) -> None:
    """Close holds whose stop was refused with nothing taken.

    The provider's own words, of whatever length, stay with the command. The car is
    judged again when it has something new to say, not at the next tick.
    """
    release(hold_ids, reason=Reason.REFUSED, now=now)
    Participation.objects.filter(
        hold__in=hold_ids, status=ParticipationStatus.CLAIMED
    ).update(status=ParticipationStatus.SPARED, reason=Reason.REFUSED, judged_at=now)


def close_by_hand(hold: Hold, *, actor: str, now: datetime, why: str) -> bool:
    """Let a person close what could not be given back; False if it has closed itself.

    The person has looked: the customer was called, the car was seen to charge.
    """
    with transaction.atomic():
        moved = Hold.objects.filter(pk=hold.pk, status=HoldStatus.UNRESOLVED).move(
            HoldStatus.RELEASED, now=now, reason=f"{actor}: {why}", closed_at=now,
            close_reason="closed by a person",
        )  # fmt: skip
        if moved:
            alarms.clear(alarms.of_hold(hold.pk), now=now)
            audit.write(
                "close hold", subject=f"hold {hold.pk}", actor=actor, now=now, why=why
            )
    return bool(moved)


def try_again(hold: Hold, *, actor: str, now: datetime, why: str) -> bool:
    """Let a person ask once more for what could not be given back."""
    with transaction.atomic():
        moved = Hold.objects.filter(pk=hold.pk, status=HoldStatus.UNRESOLVED).move(
            HoldStatus.RESTORING, now=now, reason=f"{actor}: {why}", restoring_at=now
        )
        if moved:
            hold.refresh_from_db()
            limit_is_back = Command.objects.filter(
                hold=hold, kind=CommandKind.START, is_restore=True
            ).exists()
            queue_restores([hold.pk], now=now, limit_is_back=limit_is_back)
            audit.write(
                "try again", subject=f"hold {hold.pk}", actor=actor, now=now, why=why
            )
    return bool(moved)


def expire(events: Iterable[GridEvent], *, now: datetime) -> None:
    """Take queued stops whose deadline passed out of the senders' reach."""
    Command.objects.filter(
        event__in=events, deadline_at__lte=now, status=CommandStatus.QUEUED
    ).move(CommandStatus.EXPIRED, now=now, reason="deadline passed")


def _by_reason(intents: Intents, cars: Cars) -> dict[Reason, list[int]]:
    """Return vehicle ids by the reason of their intent."""
    return {
        reason: cars.vehicle_id[places].tolist()
        for reason, places in intents.by_reason().items()
    }
