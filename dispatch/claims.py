"""Claim: tokens first, then that many due commands, in one transaction.

Whatever makes a command that takes pointless stands in the claim's `where`: its
deadline, its event's status and version, the customer's consent and opt-out, the switch
that stops new holds. Restores are claimed first and may draw on the reserve.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from dispatch.models import Sender
from fleets.providers import makes, throttle
from fleets.providers.base import VehicleKey
from fleets.transactions import retried


@dataclass(frozen=True, slots=True)
class Job:
    """One call that is to be made now. A read asks the car what came of a command."""

    command_id: int
    vehicle_id: int
    hold_id: int
    key: VehicleKey
    make: str
    kind: str
    percent: int | None
    is_restore: bool
    is_read: bool
    attempt: int
    may_have_landed: bool

    @property
    def freshness_seconds(self) -> float:
        return makes.freshness(self.make).total_seconds()


# Beside `c`: a hold-off that lasts in the car's area.
AREA_OFF = """
    select from dispatch_areaholdoff a
    join fleets_vehicle car on car.id = c.vehicle_id
    join dispatch_gridevent g on g.id = c.event_id
    where a.starts_at <= %(now)s and (a.ends_at is null or a.ends_at > %(now)s)
        and coalesce(a.program_id, g.program_id) = g.program_id
        and (a.is_everywhere or exists (
            select from dispatch_areaholdoff_feeders f
            where f.areaholdoff_id = a.id and f.feeder_id = car.feeder_id
        ))
"""
# An outage: a start would be lost on a car without power.
DARK = f"{AREA_OFF} and a.kind = 'outage'"

# Beside `c`, a command that takes: is it still wanted?
WANTED = f"""
    c.deadline_at > %(now)s
    and not exists ({AREA_OFF})
    and exists (
        select from dispatch_gridevent g
        where g.id = c.event_id and g.status = 'active'
            and g.version = c.event_version and g.ends_at > %(now)s
    )
    and exists (
        select from fleets_enrolment e
        join dispatch_gridevent g on g.id = c.event_id
        where e.vehicle_id = c.vehicle_id and e.status = 'active'
            and e.program_id = g.program_id
    )
    and not exists (
        select from dispatch_participation p
        where p.event_id = c.event_id and p.vehicle_id = c.vehicle_id
            and (p.opted_out_at is not null or p.status = 'ended')
    )
    and not exists (
        select from dispatch_envelope s
        join dispatch_gridevent g on g.id = c.event_id
        join fleets_vehicle car on car.id = c.vehicle_id
        where s.holds_stopped_at is not null
            and coalesce(s.program_id, g.program_id) = g.program_id
            and (s.feeder_id is null or s.feeder_id = car.feeder_id)
    )
"""  # noqa: S608  (constant text)

# Candidates in order, cut to what each make has left; then locked in id order, leaving
# to others what they hold; then moved, with the car's call and the history in the same
# statement.
CLAIM = """
with candidate as (
    select c.id, v.make,
        row_number() over (partition by v.make order by {order}) as turn
    from dispatch_command c
    join fleets_vehicle v on v.id = c.vehicle_id
    join dispatch_hold h on h.id = c.hold_id
    join fleets_vehiclebucket b on b.vehicle_id = c.vehicle_id
    where {due} and {vehicle_may}
    order by {order}
    limit %(room)s
), locked as (
    select c.id, c.status from dispatch_command c
    join candidate on candidate.id = c.id
    where turn <= coalesce((%(makes_left)s::jsonb ->> make)::int, 1000000000)
        and {due}
    order by c.id
    for no key update of c skip locked
), moved as (
    update dispatch_command c set {moved}
    from locked where c.id = locked.id
    returning c.id, c.vehicle_id, c.hold_id, c.kind, c.percent, c.is_restore,
        c.attempt, c.may_have_landed
), spent as (
    update fleets_vehiclebucket b set {vehicle_spend}
    from moved where b.vehicle_id = moved.vehicle_id
){told}
select moved.id, moved.vehicle_id, moved.hold_id, v.external_id, a.external_id, v.make,
    moved.kind, moved.percent, moved.is_restore, moved.attempt, moved.may_have_landed
from moved
join fleets_vehicle v on v.id = moved.vehicle_id
join fleets_provideraccount a on a.id = v.account_id
"""
TOLD = """, told as (
    insert into dispatch_change (at, subject, subject_id, before, after, reason)
    select %(now)s, 'command', moved.id, 'queued', 'sending', '' from moved
)"""
SEND = {
    "moved": """
        status = 'sending', sender_id = %(sender)s, attempt = c.attempt + 1,
        sent_at = %(now)s, reads = 0
    """,
    "told": TOLD,
    "vehicle_may": throttle.VEHICLE_MAY,
    "vehicle_spend": throttle.VEHICLE_SPEND,
}
RESTORES = CLAIM.format(
    due=f"""
        c.status = 'queued' and c.is_restore and c.due_at <= %(now)s
        and not exists ({DARK})
    """,
    order="h.latest_start_at nulls last, c.due_at, c.id",
    **SEND,
)
STOPS = CLAIM.format(
    due=f"""
        c.status = 'queued' and not c.is_restore and c.due_at <= %(now)s and {WANTED}
    """,
    order="c.due_at, c.id",
    **SEND,
)
# A read is its own lease: should it get lost, the next one is due at `read_due_at`.
READS = CLAIM.format(
    due="c.status in ('unknown', 'accepted') and c.read_due_at <= %(now)s",
    order="c.read_due_at, c.id",
    moved="""
        reads = c.reads + 1,
        read_due_at = %(now)s + make_interval(
            secs => %(read_again)s * power(2, least(c.reads, 5)))
    """,
    told="",
    vehicle_may=throttle.VEHICLE_MAY,
    vehicle_spend=throttle.VEHICLE_SPEND,
)
# Between two reads of the same car, doubling; simulated seconds.
READ_AGAIN_SECONDS = 120.0


def anything_due(now: datetime) -> bool:
    """Say whether a claim could find something: most of the time it could not."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            select exists (
                select from dispatch_command where status = 'queued' and due_at <= %s
            ) or exists (
                select from dispatch_command
                where status in ('unknown', 'accepted') and read_due_at <= %s
            )
            """,
            [now, now],
        )
        (due,) = cursor.fetchone()
    return bool(due)


@retried
def claim(sender: Sender, *, room: int, now: datetime) -> list[Job]:
    """Take at most `room` due jobs: restores, then stops, then reads."""
    with transaction.atomic():
        if not anything_due(now):
            return []
        with throttle.budget(now) as budget:
            jobs: list[Job] = []
            for statement, for_restore, is_read in (
                (RESTORES, True, False),
                (STOPS, False, False),
                (READS, False, True),
            ):
                calls = min(room - len(jobs), budget.calls(for_restore=for_restore))
                if calls <= 0:
                    continue
                taken = _take(
                    statement,
                    {
                        **throttle.vehicle_parameters(now, for_restore=for_restore),
                        "room": calls,
                        "makes_left": json.dumps(budget.makes_left()),
                        "sender": sender.pk,
                        "read_again": READ_AGAIN_SECONDS,
                    },
                    is_read=is_read,
                )
                budget.spend(Counter(job.make for job in taken))
                jobs += taken
    return jobs


def _take(statement: str, parameters: dict[str, Any], *, is_read: bool) -> list[Job]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [
            Job(
                command_id=row[0],
                vehicle_id=row[1],
                hold_id=row[2],
                key=VehicleKey(row[3], row[4]),
                make=row[5],
                kind=row[6],
                percent=row[7],
                is_restore=row[8],
                is_read=is_read,
                attempt=row[9],
                may_have_landed=row[10],
            )
            for row in cursor.fetchall()
        ]


def still_wanted(jobs: Sequence[Job], *, now: datetime) -> list[Job]:
    """Return the jobs that nothing has overtaken since their claim.

    Asked at the last moment before the calls leave: an opt-out, a cancel or the switch
    that was committed meanwhile wins.
    """
    doubtful = [job.command_id for job in jobs if not (job.is_read or job.is_restore)]
    if not doubtful:
        return list(jobs)
    with connection.cursor() as cursor:
        cursor.execute(
            f"select c.id from dispatch_command c"  # noqa: S608  (constant text)
            f" where c.id = any(%(ids)s) and {WANTED}",
            {"ids": doubtful, "now": now},
        )
        wanted = {row[0] for row in cursor.fetchall()}
    return [
        job for job in jobs if job.is_read or job.is_restore or job.command_id in wanted
    ]
