"""Claim: tokens first, then that many due commands, in one transaction.

Whatever makes a command that takes pointless stands in the claim's `where`: its
deadline, its event's status and version, the customer's consent and opt-out, the switch
that stops new holds. Restores are claimed first and may draw on the reserve.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from django.db import connection, transaction

from dispatch import gauges, limits
from dispatch.jobs import Job
from dispatch.lifecycle import CommandStatus
from dispatch.metering import ALL, Meter, Scope
from dispatch.models import Command, Sender
from dispatch.wanted import DARK, STILL_WANTED, WANTED
from fleets.providers import throttle
from fleets.providers.base import VehicleKey
from fleets.providers.throttle import Budget
from fleets.transactions import retried, walk_indexes

# The first candidates of an index that is in their order, locked for this claim alone;
# what another sender holds is left to it. Scopes that admit nothing more are left out,
# so that theirs do not stand before everybody else's. A hold's power may be wrong, or
# from a moment when the car had just begun to charge: what counts is what the car draws
# now, and what it usually draws once it is started.
CANDIDATES = """
select c.id, c.vehicle_id, c.hold_id, v.external_id, a.external_id, v.make, c.kind,
    c.percent, case when c.is_restore then h.our_limit_percent
        else round(h.limit_percent) end,
    c.is_restore, c.attempt + {calls}, c.may_have_landed,
    g.program_id, v.feeder_id, coalesce(nullif(greatest(
        h.power_kw, case when c.is_restore then v.usual_power_kw else v.power_kw end
    ), 0), v.usual_power_kw)
from dispatch_command c
join dispatch_hold h on h.id = c.hold_id
join dispatch_gridevent g on g.id = c.event_id
join fleets_vehicle v on v.id = c.vehicle_id
join fleets_provideraccount a on a.id = v.account_id
join fleets_vehiclebucket b on b.vehicle_id = c.vehicle_id
where {due} and {vehicle_may}
    and v.make <> all(%(makes_shut)s)
    and g.program_id <> all(%(programs_shut)s)
    and coalesce(v.feeder_id, 0) <> all(%(feeders_shut)s)
order by {order}
limit %(room)s
for no key update of c skip locked
"""
# Moved, with the car's call and the history in the same statement.
TAKE = """
with moved as (
    update dispatch_command c set {moved}
    where c.id = any(%(ids)s)
    returning c.id, c.vehicle_id, c.kind
), spent as (
    update fleets_vehiclebucket b set {vehicle_spend}
    from moved where b.vehicle_id = moved.vehicle_id
){told}
select count(*) from moved
"""
TOLD = """, told as (
    insert into dispatch_change (at, subject, subject_id, before, after, reason)
    select %(now)s, 'command', moved.id, 'queued', 'sending', '' from moved
)"""


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the three things that a claim looks for."""

    candidates: str
    take: str
    is_restore: bool = False
    is_read: bool = False


# A limit costs a look as well.
CALLS = f"case when {{}}.kind = 'set limit' then {limits.CALLS} else 1 end"
# By the index `command_due`, which has the restores first, least slack first.
IN_ORDER = "c.is_restore, c.latest_start_at, c.due_at, c.id"
TAKE_TO_SEND = TAKE.format(
    moved="status = 'sending', sender_id = %(sender)s, attempt = c.attempt + 1,"
    " sent_at = %(now)s, reads = 0",
    told=TOLD,
    vehicle_spend=throttle.vehicle_spend(CALLS.format("moved")),
)
MAY_BE_SENT = throttle.vehicle_may(CALLS.format("c"))
RESTORES = Kind(
    CANDIDATES.format(
        calls=1,
        due=f"c.status = 'queued' and c.is_restore and c.due_at <= %(now)s"
        f" and not ({DARK})",
        order=IN_ORDER,
        vehicle_may=MAY_BE_SENT,
    ),
    TAKE_TO_SEND,
    is_restore=True,
)
STOPS = Kind(
    CANDIDATES.format(
        calls=1,
        due=f"c.status = 'queued' and not c.is_restore and c.due_at <= %(now)s"
        f" and {WANTED}",
        order=IN_ORDER,
        vehicle_may=MAY_BE_SENT,
    ),
    TAKE_TO_SEND,
)
# A read is its own lease: should it get lost, the next one is due at `read_due_at`.
READS = Kind(
    CANDIDATES.format(
        calls=0,
        due="c.status in ('unknown', 'accepted') and c.read_due_at <= %(now)s",
        order="c.read_due_at, c.id",
        vehicle_may=throttle.vehicle_may("1"),
    ),
    TAKE.format(
        moved="""
            reads = c.reads + 1,
            read_due_at = %(now)s + make_interval(
                secs => %(read_again)s * power(2, least(c.reads, 5)))
        """,
        told="",
        vehicle_spend=throttle.vehicle_spend("1"),
    ),
    is_read=True,
)
# Between two reads of the same car, doubling; simulated seconds.
READ_AGAIN_SECONDS = 120.0


def due(now: datetime) -> list[Kind]:
    """Return the kinds of which a claim could find something: mostly none."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            select exists (
                select from dispatch_command
                where status = 'queued' and is_restore and due_at <= %(now)s
            ), exists (
                select from dispatch_command
                where status = 'queued' and not is_restore and due_at <= %(now)s
            ), exists (
                select from dispatch_command
                where status in ('unknown', 'accepted') and read_due_at <= %(now)s
            )
            """,
            {"now": now},
        )
        row = cursor.fetchone()
    kinds = (RESTORES, STOPS, READS)
    return [kind for kind, is_due in zip(kinds, row, strict=True) if is_due]


@dataclass(slots=True)
class Gate:
    """What lets one kind of job pass in one claim, and who is shut out by now.

    A scope that refused one car stays shut for the rest of the claim, or smaller cars
    would overtake those that come first.
    """

    kind: Kind
    budget: Budget
    meter: Meter | None  # a read moves no load
    makes_shut: list[str] = field(default_factory=list)
    scopes_shut: set[Scope] = field(default_factory=set)
    is_dry: bool = False  # too few calls are left for the next

    @property
    def is_shut(self) -> bool:
        """Say whether nobody can pass any more."""
        return self.is_dry or ALL in self.scopes_shut

    @property
    def calls_left(self) -> int:
        """Return how many calls may leave yet."""
        return self.budget.calls(for_restore=self.kind.is_restore)

    def admits(self, job: Job) -> bool:
        """Count a job in, or shut what had no room for it."""
        make, calls = job.make, job.calls
        if self.is_dry or self.calls_left < calls:
            self.is_dry = True
            return False
        if make in self.makes_shut or job.scopes & self.scopes_shut:
            return False
        if not self.budget.has_room_for(make, calls=calls):
            self.makes_shut.append(make)
            return False
        if self.meter is not None:
            refused_by = self.meter.admit(job.scopes, job.power_kw)
            if refused_by is not None:
                self.scopes_shut.add(refused_by)
                return False
        self.budget.spend(make, calls=calls)
        return True


@cache
def _scopes(program_id: int, feeder_id: int) -> frozenset[Scope]:
    """Return what a car's load counts against."""
    return frozenset({ALL, Scope(program_id=program_id), Scope(feeder_id=feeder_id)})


@retried
def claim(
    sender: Sender, kinds: Sequence[Kind], *, room: int, now: datetime
) -> list[Job]:
    """Take at most `room` due jobs of these kinds, in this order."""
    jobs: list[Job] = []
    with (
        transaction.atomic(),
        throttle.budget(now) as budget,
        ExitStack() as open_gates,
    ):
        gates = [
            (kind, open_gates.enter_context(_gate(kind, budget, now))) for kind in kinds
        ]
        walk_indexes()
        for kind, gate in gates:
            jobs += _take(kind, gate, sender, room=room - len(jobs), now=now)
    return jobs


@contextmanager
def _gate(kind: Kind, budget: Budget, now: datetime) -> Iterator[Gate]:
    if kind.is_read:
        yield Gate(kind, budget, None)
    else:
        with gauges.meter(now, for_restore=kind.is_restore) as meter:
            yield Gate(kind, budget, meter)


def _take(
    kind: Kind, gate: Gate, sender: Sender, *, room: int, now: datetime
) -> list[Job]:
    """Take at most `room` jobs of one kind, as far as the gate lets them.

    Those that it refused stood in the place of others, who are looked for again.
    """
    parameters = {
        **throttle.vehicle_parameters(now, for_restore=kind.is_restore),
        "sender": sender.pk,
        "read_again": READ_AGAIN_SECONDS,
    }
    jobs: list[Job] = []
    while not gate.is_shut:
        most = min(room - len(jobs), gate.calls_left)
        if most <= 0:
            break
        found = _candidates(kind, gate, {**parameters, "room": most})
        admitted = [job for job in found if gate.admits(job)]
        if admitted:
            ids = [job.command_id for job in admitted]
            with connection.cursor() as cursor:
                cursor.execute(kind.take, {**parameters, "ids": ids})
            jobs += admitted
        if len(admitted) == len(found):
            break
    return jobs


def _candidates(kind: Kind, gate: Gate, parameters: dict[str, Any]) -> list[Job]:
    shut: dict[str, Any] = {
        "makes_shut": gate.makes_shut,
        "programs_shut": [scope.program_id for scope in gate.scopes_shut],
        "feeders_shut": [s.feeder_id for s in gate.scopes_shut if s.feeder_id],
    }
    with connection.cursor() as cursor:
        cursor.execute(kind.candidates, {**parameters, **shut})
        return [
            Job(
                command_id=row[0],
                vehicle_id=row[1],
                hold_id=row[2],
                key=VehicleKey(row[3], row[4]),
                make=row[5],
                kind=row[6],
                percent=row[7],
                instead_of=None if row[8] is None else int(row[8]),
                is_restore=row[9],
                is_read=kind.is_read,
                attempt=row[10],
                may_have_landed=row[11],
                claimed_at=parameters["now"],
                scopes=_scopes(row[12], row[13] or 0),
                power_kw=row[14],
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
    with transaction.atomic(), connection.cursor() as cursor:
        walk_indexes()
        cursor.execute(STILL_WANTED, {"ids": doubtful, "now": now})
        wanted = {row[0] for row in cursor.fetchall()}
    return [
        job for job in jobs if job.is_read or job.is_restore or job.command_id in wanted
    ]


def still_ours(jobs: Sequence[Job], *, sender: Sender) -> list[Job]:
    """Return the jobs that this sender holds yet.

    One that stood still for long was buried: what it looked at then says nothing now.
    """
    if not jobs:
        return []
    mine = Command.objects.filter(
        pk__in=[job.command_id for job in jobs],
        status=CommandStatus.SENDING,
        sender=sender,
    )
    attempts = dict(mine.values_list("pk", "attempt"))
    return [job for job in jobs if attempts.get(job.command_id) == job.attempt]


@retried
def leaving(jobs: Sequence[Job], *, now: datetime) -> list[Job]:
    """Return the jobs that the envelopes let leave now, long after their claim.

    What was counted at the claim is counted now instead: a minute in which the calls of
    several minutes' claims leave would see all of their kW.
    """
    left: list[Job] = []
    with transaction.atomic(), throttle.budget(now):
        for is_restore in (True, False):
            mine = [job for job in jobs if job.is_restore == is_restore]
            if not mine:
                continue
            with gauges.meter(now, for_restore=is_restore) as meter:
                left += [
                    job
                    for job in mine
                    if meter.move(
                        job.scopes, job.power_kw, since=int(job.claimed_at.timestamp())
                    )
                ]
    return left
