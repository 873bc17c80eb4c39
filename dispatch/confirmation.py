"""Confirm: readings against what is owed and what was commanded.

What a car said last is a row, so nothing is lost when the process that took the reading
in dies before it could tell anybody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import F, Q

from dispatch import alarms, evidence, holds, responses, retry
from dispatch.evidence import Verdict
from dispatch.lifecycle import OPEN_HOLD, CommandStatus, HoldStatus
from dispatch.models import Alarm, Command, Hold
from fleets.models import Program, Tactic
from fleets.providers import makes

# Attempts that a car ignored and that therefore do not count; the next one does.
INEFFECTIVE_ATTEMPTS = 3
# A car that ignored a command is asked again after this, doubling.
IGNORED_WAIT = timedelta(minutes=2)
# A restore that nothing has shown for so long after it began is a person's to look at;
# one of a car that was away, for so long after its plug-in.
RESTORE_PATIENCE = timedelta(hours=12)
# A limit that waits so long for its car to be plugged in: longer than a journey.
AWAY_PATIENCE = timedelta(days=3)
# A car that is away and has not spoken in so many reads is not asked again.
READS_WHILE_AWAY = 3


# What ends a hold. A lowered limit is owed all the same, but for what settles it.
ENDS = (
    Verdict.DROVE_OFF, Verdict.FINISHED, Verdict.RESTARTED, Verdict.CHARGES_ON,
    Verdict.LIMIT_CHANGED, Verdict.BACK_ALREADY,
)  # fmt: skip
SETTLES_LIMIT = (Verdict.LIMIT_CHANGED, Verdict.BACK_ALREADY)
# After these a car is not held again by the same event.
LAST_WORDS = (
    Verdict.RESTARTED, Verdict.LIMIT_CHANGED, Verdict.BACK_ALREADY, Verdict.CHARGES_ON,
)  # fmt: skip
IGNORED = (Verdict.STOP_IGNORED, Verdict.START_IGNORED, Verdict.LIMIT_IGNORED)


@dataclass(frozen=True, slots=True)
class _Row:
    """An open hold whose car has said something since it was taken."""

    hold_id: int
    command_id: int | None
    ineffective: int
    attempt: int
    heard_at: datetime  # when its newest reading came in
    standing: evidence.Standing

    @property
    def was_lost(self) -> bool:
        """Say whether nobody knew what came of the last call."""
        return self.standing.command == CommandStatus.UNKNOWN

    @property
    def owes_limit(self) -> bool:
        """Say whether a limit may be lowered that nothing has shown to be back."""
        lowering = self.standing.lowering
        return lowering is not None and not lowering.is_back


# The newest command of each open hold, and the newest stop that was ever answered.
STANDINGS = """
select
    h.id, h.status, h.owed_until, h.state_observed_at,
    v.make, v.observed_at, v.is_plugged_in, v.is_charging, v.soc_percent,
    v.limit_percent,
    c.id, c.status, c.answered_at, coalesce(c.ineffective, 0), coalesce(c.attempt, 0),
    s.answered_at,
    h.our_limit_percent, h.limit_percent, coalesce(s.landed, false),
    h.held_at is not null, coalesce(c.is_restore and c.may_have_landed, false),
    coalesce(c.kind = 'start', false), v.limit_observed_at,
    coalesce(v.plugged_in_at = h.plugged_in_at, false),
    v.can_start and coalesce(v.soc_percent, 0) >= v.commands_from_soc_percent,
    coalesce(v.received_at, v.observed_at)
from dispatch_hold h
join dispatch_gridevent g on g.id = h.event_id and g.program_id = %(program)s
join fleets_vehicle v on v.id = h.vehicle_id
left join lateral (
    select id, status, answered_at, ineffective, attempt, kind, is_restore,
        may_have_landed
    from dispatch_command
    where hold_id = h.id order by id desc limit 1
) c on true
left join lateral (
    select max(answered_at) as answered_at, bool_or(may_have_landed) as landed
    from dispatch_command where hold_id = h.id and not is_restore
) s on true
where h.status = any(%(open_hold)s)
    and greatest(v.observed_at, v.limit_observed_at) > h.state_observed_at
order by h.id
"""


def confirm(program: Program, *, now: datetime) -> None:
    """Draw every conclusion that the program's newest readings allow."""
    rows = _rows(program)
    proven: dict[Verdict, list[_Row]] = defaultdict(list)
    for row in rows:
        proven[evidence.judge(row.standing)].append(row)
    _stopped(proven[Verdict.STOPPED], now=now)
    for verdict in (Verdict.STARTED, Verdict.LIMIT_BACK):
        _restored(proven[verdict], verdict, now=now)
    for verdict in ENDS:
        owing = [
            row.hold_id
            for row in proven[verdict]
            if row.owes_limit and verdict not in SETTLES_LIMIT
        ]
        given = holds.give_back(owing, reason=verdict, now=now)
        others = [row.hold_id for row in proven[verdict] if row.hold_id not in owing]
        released = holds.release(others, reason=verdict, now=now)
        if verdict in LAST_WORDS:
            holds.end_participation([*given, *released], reason=verdict, now=now)
        _close_alarms(released, now=now)
    for verdict in IGNORED:
        _ignored(proven[verdict], verdict, now=now)
    _start_as_well(proven[Verdict.NEEDS_START], now=now)
    if any(row.owes_limit for row in rows):
        _let_wait(program, now=now)


def _rows(program: Program) -> list[_Row]:
    with connection.cursor() as cursor:
        cursor.execute(
            STANDINGS,
            {
                "program": program.pk,
                "open_hold": [str(status) for status in OPEN_HOLD],
            },
        )
        return [
            _Row(
                hold_id=row[0],
                command_id=row[10],
                ineffective=row[13],
                attempt=row[14],
                heard_at=row[25],
                standing=evidence.Standing(
                    hold=row[1],
                    command=row[11],
                    answered_at=row[12],
                    stop_answered_at=row[15],
                    owed_until=row[2],
                    taken_from=row[3],
                    freshness=makes.freshness(row[4]),
                    observed_at=row[5],
                    is_plugged_in=row[6],
                    is_charging=row[7],
                    soc_percent=row[8],
                    limit_percent=row[9],
                    lowering=_lowering(row),
                ),
            )
            for row in cursor.fetchall()
        ]


def _lowering(row: tuple[Any, ...]) -> evidence.Lowering | None:
    ours, own, landed, was_shown, gave, starts, told_at, same_plug_in, can = row[16:25]
    if ours is None:
        return None
    return evidence.Lowering(
        ours=ours,
        own=own,
        landed=landed,
        was_shown=was_shown,
        gave=gave,
        is_back=starts,  # one is queued only once the limit is back
        told_at=told_at,
        same_plug_in=same_plug_in,
        may_start=can and not makes.start_forgets_limit(row[4]),
    )


def _stopped(rows: Sequence[_Row], *, now: datetime) -> None:
    moved = Hold.objects.filter(pk__in=[row.hold_id for row in rows]).move(
        HoldStatus.HELD, now=now, reason=Verdict.STOPPED, held_at=now
    )
    responses.count(moved, obeyed=True)
    _confirm_commands(rows, now=now)


def _restored(rows: Sequence[_Row], verdict: Verdict, *, now: datetime) -> None:
    restored = Hold.objects.filter(pk__in=[row.hold_id for row in rows]).move(
        HoldStatus.RESTORED,
        now=now,
        reason=verdict,
        closed_at=now,
        close_reason=verdict,
    )
    _confirm_commands(rows, now=now)
    _close_alarms(restored, now=now)


def _confirm_commands(rows: Sequence[_Row], *, now: datetime) -> None:
    # Readings come in while a turn waits for its locks: none proves before it is heard.
    confirmed_at = max([now, *(row.heard_at for row in rows)])
    Command.objects.filter(pk__in=_commands(rows)).move(
        CommandStatus.CONFIRMED, now=now, confirmed_at=confirmed_at
    )


def _commands(rows: Sequence[_Row]) -> list[int]:
    return [row.command_id for row in rows if row.command_id is not None]


def _close_alarms(hold_ids: Sequence[int], *, now: datetime) -> None:
    alarms.clear((key for pk in hold_ids for key in alarms.of_hold(pk)), now=now)


def _ignored(rows: Sequence[_Row], verdict: Verdict, *, now: datetime) -> None:
    """Try again what did not happen; give up after the last attempt that counts.

    Only what was accepted did the car ignore. An attempt of unknown outcome that proves
    to have come to nothing was the provider's or ours: were it counted, an hour without
    answers would leave the whole fleet to people.
    """
    responses.count(
        [row.hold_id for row in rows if row.standing.hold == HoldStatus.TAKING],
        obeyed=False,
    )
    again = [row for row in rows if _may_try_again(row)]
    for row in again:
        moved = Command.objects.filter(pk__in=_commands([row]))
        if row.was_lost:
            wait_seconds = retry.backoff_seconds(row.attempt)
            moved.move(
                CommandStatus.QUEUED,
                now=now,
                reason="it did not happen",
                due_at=now + timedelta(seconds=wait_seconds),
            )
        else:
            moved.move(
                CommandStatus.QUEUED,
                now=now,
                reason="the car ignored it",
                due_at=now + IGNORED_WAIT * 2**row.ineffective,
                ineffective=F("ineffective") + 1,
            )
    tired = [row for row in rows if row not in again]
    Command.objects.filter(pk__in=_commands(tired)).move(
        CommandStatus.FAILED, now=now, reason="the car ignores it"
    )
    taking = [row.hold_id for row in tired if row.standing.hold == HoldStatus.TAKING]
    holds.end_participation(
        holds.release(taking, reason=verdict, now=now),
        reason=verdict,
        now=now,
    )
    give_up(
        [row.hold_id for row in tired if row.standing.hold == HoldStatus.RESTORING],
        reason=verdict,
        now=now,
    )


def _may_try_again(row: _Row) -> bool:
    return row.was_lost or (
        row.ineffective < INEFFECTIVE_ATTEMPTS
        and row.standing.command != CommandStatus.FAILED
    )


def give_up(hold_ids: Sequence[int], *, reason: str, now: datetime) -> None:
    """Leave holds to a person: they stay open, with an alarm."""
    moved = Hold.objects.filter(pk__in=hold_ids).move(
        HoldStatus.UNRESOLVED, now=now, reason=reason
    )
    holds.call_off(moved, reason=reason, now=now)
    for hold in Hold.objects.filter(pk__in=moved).select_related("vehicle"):
        alarms.raise_alarm(
            alarms.unresolved_key(hold.pk),
            f"{hold.vehicle} could not be given back: {reason}",
            now=now,
            event=hold.event,
        )


def watch(program: Program, *, now: datetime) -> None:
    """Alarm what is late, and leave to a person what nothing has shown for long.

    A car that is away is not late: its limit waits for it, and is only alarmed.
    """
    owed = (
        Hold.objects.filter(event__program=program, status=HoldStatus.RESTORING)
        .select_related("vehicle", "event")
        .order_by("id")
    )
    for hold in owed.filter(latest_start_at__lt=now).exclude(holds.AWAY):
        alarms.raise_alarm(
            alarms.late_key(hold.pk),
            f"{hold.vehicle} is not given back at its latest start",
            now=now,
            event=hold.event,
            severity=Alarm.Severity.WARNING,
        )
    for hold in owed.filter(holds.AWAY, restoring_at__lt=now - AWAY_PATIENCE):
        alarms.raise_alarm(
            alarms.away_key(hold.pk),
            f"{hold.vehicle} is not plugged in since {hold.restoring_at:%d %b}: its"
            f" limit is still {hold.our_limit_percent} % instead of"
            f" {hold.limit_percent:g} %",
            now=now,
            event=hold.event,
            severity=Alarm.Severity.WARNING,
        )
    since = now - RESTORE_PATIENCE
    came_home = Q(tactic=Tactic.LIMIT, vehicle__plugged_in_at__gt=since)
    stuck = owed.filter(restoring_at__lt=since).exclude(holds.AWAY).exclude(came_home)
    give_up(
        list(stuck.values_list("pk", flat=True)), reason="nothing shows it", now=now
    )


def _start_as_well(rows: Sequence[_Row], *, now: datetime) -> None:
    """Start cars that have their limits back, and do not go on by themselves."""
    _confirm_commands(rows, now=now)
    holds.queue_restores([row.hold_id for row in rows], now=now, limit_is_back=True)


# What a car needs that is plugged in again: the try that waited for that, at once.
TRY_AT_PLUG_IN = """
update dispatch_command c set due_at = %(now)s
from dispatch_hold h
join dispatch_gridevent g on g.id = h.event_id and g.program_id = %(program)s
join fleets_vehicle v on v.id = h.vehicle_id
where c.hold_id = h.id and c.status = 'queued' and c.is_restore
    and c.kind = 'set limit' and c.due_at > %(now)s
    and v.is_plugged_in and v.plugged_in_at > c.answered_at
"""
# Asking a car that is away tells nothing new: it reports when it is plugged in.
ASK_NO_MORE = """
update dispatch_command c set read_due_at = null
from dispatch_hold h
join dispatch_gridevent g on g.id = h.event_id and g.program_id = %(program)s
join fleets_vehicle v on v.id = h.vehicle_id
where c.hold_id = h.id and c.status in ('unknown', 'accepted') and c.is_restore
    and c.kind = 'set limit' and c.reads >= %(reads)s and c.read_due_at is not null
    and v.is_plugged_in is false
"""


def _let_wait(program: Program, *, now: datetime) -> None:
    """Let the limits of cars that are away wait for the next plug-in, and no longer.

    The turn holds the locks of these holds, so no two writers meet at their commands.
    """
    values: dict[str, Any] = {
        "program": program.pk, "now": now, "reads": READS_WHILE_AWAY,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(TRY_AT_PLUG_IN, values)
        cursor.execute(ASK_NO_MORE, values)
