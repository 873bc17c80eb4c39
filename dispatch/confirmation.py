"""Confirm: readings against what is owed and what was commanded.

What a car said last is a row, so nothing is lost when the process that took the reading
in dies before it could tell anybody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import F

from dispatch import alarms, evidence, holds, retry
from dispatch.evidence import Verdict
from dispatch.lifecycle import OPEN_HOLD, CommandStatus, HoldStatus
from dispatch.models import Alarm, Command, GridEvent, Hold
from fleets.models import Program
from fleets.providers import makes

# Attempts that a car ignored and that therefore do not count; the next one does.
INEFFECTIVE_ATTEMPTS = 3
# A car that ignored a command is asked again after this, doubling.
IGNORED_WAIT = timedelta(minutes=2)
# A restore that nothing has shown for so long after it began is a person's to look at.
RESTORE_PATIENCE = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class _Row:
    """An open hold whose car has said something since it was taken."""

    hold_id: int
    command_id: int | None
    ineffective: int
    attempt: int
    standing: evidence.Standing

    @property
    def was_lost(self) -> bool:
        """Say whether nobody knew what came of the last call."""
        return self.standing.command == CommandStatus.UNKNOWN


# The newest command of each open hold, and the newest stop that was ever answered.
STANDINGS = """
select
    h.id, h.status, h.owed_until, h.state_observed_at,
    v.make, v.observed_at, v.is_plugged_in, v.is_charging, v.soc_percent,
    v.limit_percent,
    c.id, c.status, c.answered_at, coalesce(c.ineffective, 0), coalesce(c.attempt, 0),
    s.answered_at
from dispatch_hold h
join dispatch_gridevent g on g.id = h.event_id and g.program_id = %(program)s
join fleets_vehicle v on v.id = h.vehicle_id
left join lateral (
    select id, status, answered_at, ineffective, attempt from dispatch_command
    where hold_id = h.id order by id desc limit 1
) c on true
left join lateral (
    select max(answered_at) as answered_at from dispatch_command
    where hold_id = h.id and not is_restore
) s on true
where h.status = any(%(open_hold)s) and v.observed_at > h.state_observed_at
order by h.id
"""


def confirm(program: Program, *, now: datetime) -> None:
    """Draw every conclusion that the program's newest readings allow."""
    rows = _rows(program)
    proven: dict[Verdict, list[_Row]] = defaultdict(list)
    for row in rows:
        proven[evidence.judge(row.standing)].append(row)
    _stopped(proven[Verdict.STOPPED], now=now)
    _started(proven[Verdict.STARTED], now=now)
    for verdict in (Verdict.DROVE_OFF, Verdict.FINISHED):
        ids = [row.hold_id for row in proven[verdict]]
        _close_alarms(holds.release(ids, reason=verdict, now=now), now=now)
    ids = [row.hold_id for row in proven[Verdict.RESTARTED]]
    released = holds.release(ids, reason=Verdict.RESTARTED, now=now)
    holds.end_participation(released, reason=Verdict.RESTARTED, now=now)
    _close_alarms(released, now=now)
    _ignored(proven[Verdict.STOP_IGNORED], now=now)
    _ignored(proven[Verdict.START_IGNORED], now=now)


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
                ),
            )
            for row in cursor.fetchall()
        ]


def _stopped(rows: Sequence[_Row], *, now: datetime) -> None:
    Hold.objects.filter(pk__in=[row.hold_id for row in rows]).move(
        HoldStatus.HELD, now=now, reason=Verdict.STOPPED, held_at=now
    )
    _confirm_commands(rows, now=now)


def _started(rows: Sequence[_Row], *, now: datetime) -> None:
    restored = Hold.objects.filter(pk__in=[row.hold_id for row in rows]).move(
        HoldStatus.RESTORED,
        now=now,
        reason=Verdict.STARTED,
        closed_at=now,
        close_reason=Verdict.STARTED,
    )
    _confirm_commands(rows, now=now)
    _close_alarms(restored, now=now)


def _confirm_commands(rows: Sequence[_Row], *, now: datetime) -> None:
    Command.objects.filter(pk__in=_commands(rows)).move(
        CommandStatus.CONFIRMED, now=now, confirmed_at=now
    )


def _commands(rows: Sequence[_Row]) -> list[int]:
    return [row.command_id for row in rows if row.command_id is not None]


def _close_alarms(hold_ids: Sequence[int], *, now: datetime) -> None:
    alarms.clear((key for pk in hold_ids for key in alarms.of_hold(pk)), now=now)


def _ignored(rows: Sequence[_Row], *, now: datetime) -> None:
    """Try again what did not happen; give up after the last attempt that counts.

    Only what was accepted did the car ignore. An attempt of unknown outcome that proves
    to have come to nothing was the provider's or ours: were it counted, an hour without
    answers would leave the whole fleet to people.
    """
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
        holds.release(taking, reason=Verdict.STOP_IGNORED, now=now),
        reason=Verdict.STOP_IGNORED,
        now=now,
    )
    give_up(
        [row.hold_id for row in tired if row.standing.hold == HoldStatus.RESTORING],
        reason=Verdict.START_IGNORED,
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


def watch(events: Sequence[GridEvent], *, now: datetime) -> None:
    """Alarm what is late, and leave to a person what nothing has shown for long."""
    overdue = Hold.objects.filter(event__in=events, status=HoldStatus.RESTORING)
    late = overdue.filter(latest_start_at__lt=now).select_related("vehicle", "event")
    for hold in late:
        alarms.raise_alarm(
            alarms.late_key(hold.pk),
            f"{hold.vehicle} is not given back at its latest start",
            now=now,
            event=hold.event,
            severity=Alarm.Severity.WARNING,
        )
    stuck = overdue.filter(restoring_at__lt=now - RESTORE_PATIENCE)
    give_up(
        list(stuck.values_list("pk", flat=True)), reason="nothing shows it", now=now
    )
