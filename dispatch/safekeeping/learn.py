"""What was given back without us, from its journal into the rows.

It happens before anything is decided or sent, in one transaction: who dies in between
has learnt nothing, and learns it all again. Rows that have moved on since the sheet was
written are left alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from dispatch import alarms, audit, holds
from dispatch.lifecycle import (
    OPEN_HOLD,
    UNPROVEN_COMMAND,
    CommandKind,
    CommandStatus,
    HoldStatus,
)
from dispatch.models import Command, Hold, Participation
from dispatch.safekeeping import journal
from dispatch.safekeeping.journal import SETTLED, End, Line, Progress
from fleets.models import Tactic
from fleets.transactions import retried

REASON = "given back without us"
ACTOR = "give_back"


@dataclass(frozen=True, slots=True)
class Learnt:
    """How many holds moved, by what had become of their cars."""

    by_end: dict[str, int]
    unshown: int  # given without us, and no reading shows it yet

    @property
    def count(self) -> int:
        """Return how many holds moved."""
        return sum(self.by_end.values()) + self.unshown


@retried
def learn(lines: Iterable[Line], *, subject: str, now: datetime) -> Learnt | None:
    """Move what is owed as the journal tells it, with history and an audit entry.

    1. Lock holds, participations and commands, in this order.
    2. Wait - return None - while a sender of ours has one of them on the wire: its
       outcome, or its burial, comes first.
    3. Close the holds of cars that have it back, or that are owed nothing any more.
    4. Give those that were given to and not shown a command that waits for a reading.
    """
    longest = timedelta(seconds=settings.LONGEST_ANSWER_SECONDS)
    cars = journal.told(lines, longest_answer=longest)
    with transaction.atomic():
        open_holds = _locked(list(cars))
        if _any_on_the_wire(open_holds):
            return None
        by_end: dict[End, list[int]] = defaultdict(list)
        unshown: list[int] = []
        for pk in open_holds:
            progress = cars[pk]
            if progress.end in SETTLED:
                by_end[progress.end].append(pk)
            elif progress.command in UNPROVEN_COMMAND:
                unshown.append(pk)
        touched = [pk for ids in by_end.values() for pk in ids] + unshown
        # No event takes a car twice for having been away.
        holds.end_participation(touched, reason=REASON, now=now)
        _to_restoring(touched, now=now)
        for end, ids in sorted(by_end.items()):
            _close(ids, end, now=now)
        _await(unshown, cars, now=now)
        counts = Counter({str(end): len(ids) for end, ids in by_end.items()})
        audit.write(
            "learn", subject=subject, actor=ACTOR, now=now, why=REASON,
            by_end=dict(counts), unshown=len(unshown),
        )  # fmt: skip
    return Learnt(dict(counts), len(unshown))


def _locked(hold_ids: Sequence[int]) -> list[int]:
    """Lock these holds that are open, and their participations; return their ids."""
    found = list(
        Hold.objects.filter(pk__in=hold_ids, status__in=OPEN_HOLD)
        .order_by("id")
        .select_for_update(no_key=True, of=("self",))
        .values_list("pk", flat=True)
    )
    list(
        Participation.objects.filter(hold__in=found)
        .order_by("id")
        .select_for_update(no_key=True, of=("self",))
        .values_list("pk")
    )
    return found


def _any_on_the_wire(hold_ids: Sequence[int]) -> bool:
    statuses = (
        Command.objects.open()
        .filter(hold__in=hold_ids)
        .order_by("id")
        .select_for_update(no_key=True, of=("self",))
        .values_list("status", flat=True)
    )
    return CommandStatus.SENDING in set(statuses)


def _to_restoring(hold_ids: Sequence[int], *, now: datetime) -> None:
    """Somebody began to give these back: whatever of ours is underway is pointless."""
    Hold.objects.filter(pk__in=hold_ids).exclude(status=HoldStatus.RESTORING).move(
        HoldStatus.RESTORING,
        now=now,
        reason=REASON,
        restoring_at=now,
        restore_reason=REASON,
    )
    holds.call_off(hold_ids, reason=REASON, now=now)


def _close(hold_ids: Sequence[int], end: End, *, now: datetime) -> None:
    status = HoldStatus.RESTORED if end is End.RESTORED else HoldStatus.RELEASED
    closed = Hold.objects.filter(pk__in=hold_ids).move(
        status, now=now, reason=f"{REASON}: {end}", closed_at=now, close_reason=str(end)
    )
    alarms.clear((key for pk in closed for key in alarms.of_hold(pk)), now=now)


def _await(
    hold_ids: Sequence[int], cars: dict[int, Progress], *, now: datetime
) -> None:
    """Write down what was given and nothing shows yet as commands of ours.

    A reading confirms them, or asks for another, as it does after any command.
    """
    rows = Hold.objects.filter(pk__in=hold_ids).select_related("event").order_by("id")
    commands = [_of_theirs(hold, cars[hold.pk], now=now) for hold in rows]
    for status in UNPROVEN_COMMAND:
        created = Command.objects.bulk_create(
            [command for command in commands if command.status == status]
        )
        Command.objects.all().record(
            [(command.pk, "") for command in created], status, now=now, reason=REASON
        )


def _of_theirs(hold: Hold, progress: Progress, *, now: datetime) -> Command:
    """Return the command by which a car was given back, as if we had sent it."""
    limit_is_back = Command.objects.filter(
        hold=hold, kind=CommandKind.START, is_restore=True
    ).exists()
    by_limit = hold.tactic == Tactic.LIMIT and not limit_is_back
    return Command(
        vehicle_id=hold.vehicle_id,
        hold=hold,
        event=hold.event,
        event_version=hold.event.version,
        kind=CommandKind.SET_LIMIT if by_limit else CommandKind.START,
        percent=round(hold.limit_percent or 0) if by_limit else None,
        is_restore=True,
        status=progress.command or CommandStatus.UNKNOWN,
        attempt=max(progress.attempts, 1),
        ineffective=progress.ineffective,
        created_at=now,
        due_at=now,
        latest_start_at=hold.latest_start_at,
        sent_at=progress.sent_at,
        answered_at=progress.answered_at,
        may_have_landed=True,
        read_due_at=now,
        code=progress.code[:80],
    )
