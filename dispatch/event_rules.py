"""What an event must be before it is written, and the words for what is wrong.

EventError
|- Invalid      change what you ask: one finding a field
|- Stale        look again: somebody changed the event meanwhile
|- WrongMoment  the event's life does not allow it now
`- NotAllowed   somebody else must do it
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet, Value

from dispatch import policies
from dispatch.lifecycle import EventKind
from dispatch.models import GridEvent
from fleets.models import (
    Customer,
    CustomerGroup,
    Enrolment,
    EnrolmentStatus,
    Feeder,
    Program,
    Substation,
    Vehicle,
)

# Clocks differ and messages travel: a start this long ago counts as now.
START_GRACE = timedelta(minutes=5)
# Nobody knows a peak a year ahead: a typing error in the date.
LONGEST_NOTICE = timedelta(days=366)
# 10 GW, more than any fleet of cars draws: a mistaken unit, whoever sends it.
MOST_KW = 10_000_000.0
# What an event is narrowed by; nothing at all is every car of the program.
AIMS = ("feeders", "substations", "groups", "vehicles")
# Names in one message before it is cut short.
NAMED_AT_MOST = 10


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a field, in words for a person."""

    field: str
    code: str
    message: str


class EventError(Exception):
    """An act on an event that cannot be done; nothing was written."""


class Invalid(EventError):
    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__(" ".join(finding.message for finding in findings))


class Stale(EventError):
    pass


class WrongMoment(EventError):
    pass


class NotAllowed(EventError):
    pass


@dataclass(frozen=True)
class Shape:
    """What a person or a machine wants of an event."""

    starts_at: datetime
    ends_at: datetime
    target_kw: float | None = None
    feeders: Sequence[Feeder] = field(default=())
    vehicles: Sequence[Vehicle] = field(default=())
    substations: Sequence[Substation] = field(default=())
    groups: Sequence[CustomerGroup] = field(default=())


def shape_of(event: GridEvent) -> Shape:
    """Return what is wanted of an event as it stands."""
    return Shape(
        event.starts_at,
        event.ends_at,
        event.target_kw,
        list(event.feeders.all()),
        list(event.vehicles.all()),
        list(event.substations.all()),
        list(event.groups.all()),
    )


def aimed_at(
    vehicles: QuerySet[Vehicle],
    *,
    feeders: Sequence[Feeder | int] = (),
    substations: Sequence[Substation | int] = (),
    groups: Sequence[CustomerGroup | int] = (),
    only: Sequence[Vehicle | int] = (),
) -> QuerySet[Vehicle]:
    """Narrow cars to an aim, each of them once.

    Feeders and substations say where, together; groups say whose, and `only` which:
    a car must answer to all that is said.
    """
    if feeders or substations:
        vehicles = vehicles.filter(
            Q(feeder__in=feeders) | Q(feeder__substation__in=substations)
        )
    if groups:
        # Not by a join: who is in two of the groups would be there twice.
        members = Customer.objects.filter(groups__in=groups)
        vehicles = vehicles.filter(account__customer__in=members)
    if only:
        vehicles = vehicles.filter(pk__in=[getattr(one, "pk", one) for one in only])
    return vehicles


def aims_of(event: GridEvent) -> dict[str, list[int]]:
    """Return what an event is narrowed by, by name; names of nothing are left out."""
    first, *others = (
        getattr(event, name).order_by().values_list(Value(name), "pk") for name in AIMS
    )
    aims: dict[str, list[int]] = {}
    for name, pk in first.union(*others, all=True):
        aims.setdefault(name, []).append(pk)
    return aims


def aimed(program: Program, shape: Shape) -> QuerySet[Vehicle]:
    """Return the enrolled cars that an event of this shape aims at."""
    return aimed_at(
        Vehicle.objects.enrolled(program),
        feeders=shape.feeders,
        substations=shape.substations,
        groups=shape.groups,
        only=shape.vehicles,
    )


def check(
    program: Program,
    shape: Shape,
    *,
    kind: EventKind,
    now: datetime,
    amended: GridEvent | None = None,
    names_cars: bool = True,
) -> None:
    """Raise Invalid with everything that is wrong, or return.

    Runs in the transaction that writes the event. `amended` is what an amendment would
    change, locked and as it still is. A consent that ended meanwhile must not keep the
    rest from changing: consent is asked for only of cars that are named now.
    """
    was = shape_of(amended) if amended else None
    keeps_start = was is not None and shape.starts_at == was.starts_at
    findings = [
        *_window(program, shape, now=now, keeps_start=keeps_start),
        *_target(shape.target_kw),
        *_twice("feeders", [feeder.code for feeder in shape.feeders]),
        *_twice("substations", [station.code for station in shape.substations]),
        *_twice("groups", [group.code for group in shape.groups]),
        *_twice("vehicles", [str(vehicle.pk) for vehicle in shape.vehicles]),
        *_consent(program, shape.vehicles if names_cars else ()),
    ]
    near = shape.starts_at <= now + LONGEST_NOTICE  # the calendar ends somewhere
    if near and timedelta() < shape.ends_at - shape.starts_at <= LONGEST_NOTICE:
        findings += _policy(program, shape, kind, was, now=now, amended=amended)
    if findings:
        raise Invalid(findings)


def check_waiting(event: GridEvent, *, is_known: bool, now: datetime) -> None:
    """Raise Invalid with every rule of its policy that a waiting event breaks by now.

    Time passed since it was written, and the book filled. `is_known` is whether it was
    scheduled before in this window: then customers had their notice, and its days.
    """
    broken = policies.broken_by(
        event.program,
        kind=EventKind(event.kind),
        starts_at=event.starts_at,
        ends_at=event.ends_at,
        participants=aimed(event.program, shape_of(event)).count(),
        now=now,
        was=(event.starts_at, event.ends_at) if is_known else None,
        but=event.pk,
    )
    if broken:
        raise Invalid([Finding(one.field, one.rule, one.message) for one in broken])


def _policy(
    program: Program,
    shape: Shape,
    kind: EventKind,
    was: Shape | None,
    *,
    now: datetime,
    amended: GridEvent | None,
) -> Iterable[Finding]:
    """Return what the program's policy for this kind says, in words of a form."""
    aims_anew = was is None or any(
        set(getattr(shape, name)) != set(getattr(was, name)) for name in AIMS
    )
    for broken in policies.broken_by(
        program,
        kind=kind,
        starts_at=shape.starts_at,
        ends_at=shape.ends_at,
        participants=aimed(program, shape).count() if aims_anew else None,
        now=now,
        was=(was.starts_at, was.ends_at) if was else None,
        but=amended.pk if amended else None,
    ):
        yield Finding(broken.field, broken.rule, broken.message)


def _window(
    program: Program, shape: Shape, *, now: datetime, keeps_start: bool
) -> Iterable[Finding]:
    starts_at, ends_at = shape.starts_at, shape.ends_at
    if ends_at <= starts_at:
        yield Finding(
            "ends_at",
            "ends_before_start",
            f"The event ends at {ends_at.isoformat()}, which is not after its "
            f"start at {starts_at.isoformat()}.",
        )
        return
    if ends_at <= now:
        yield Finding(
            "ends_at",
            "past",
            f"The event is over: it ends at {ends_at.isoformat()} and it is now "
            f"{now.isoformat(timespec='seconds')}.",
        )
    elif not keeps_start and starts_at < now - START_GRACE:
        yield Finding(
            "starts_at",
            "past",
            f"The start at {starts_at.isoformat()} lies more than 5 minutes in the "
            f"past: it is now {now.isoformat(timespec='seconds')}.",
        )
    hours = (ends_at - starts_at) / timedelta(hours=1)
    if hours > program.max_event_hours:
        yield Finding(
            "ends_at",
            "too_long",
            f"The event would last {hours:g} hours; the program {program.code} "
            f"allows {program.max_event_hours:g}.",
        )
    if starts_at > now + LONGEST_NOTICE:
        yield Finding(
            "starts_at",
            "too_far",
            f"The start at {starts_at.isoformat()} is more than a year ahead.",
        )


def _target(target_kw: float | None) -> Iterable[Finding]:
    if target_kw is None:
        return
    if not math.isfinite(target_kw) or target_kw <= 0:
        yield Finding(
            "target_kw",
            "not_positive",
            "The target must be a number of kilowatts above 0; leave it out to hold "
            "all that can be held.",
        )
    elif target_kw > MOST_KW:
        yield Finding(
            "target_kw",
            "enormous",
            f"A target of {target_kw:g} kW is more than {MOST_KW:g} kW (10 GW); "
            "check the unit: kW is expected.",
        )


def _twice(name: str, codes: Sequence[str]) -> Iterable[Finding]:
    doubled = [code for code, times in Counter(codes).items() if times > 1]
    if doubled:
        yield Finding(name, "duplicate", f"Named more than once: {listed(doubled)}.")


def _consent(program: Program, vehicles: Sequence[Vehicle]) -> Iterable[Finding]:
    if not vehicles:
        return
    wanted = {vehicle.pk for vehicle in vehicles}
    enrolled = set(
        Enrolment.objects.filter(
            program=program, status=EnrolmentStatus.ACTIVE, vehicle__in=wanted
        ).values_list("vehicle", flat=True)
    )
    if missing := sorted(wanted - enrolled):
        yield Finding(
            "vehicles",
            "no_consent",
            f"No consent to the program {program.code} is on record for these cars: "
            f"{listed(missing)}.",
        )


def listed(names: Sequence[object]) -> str:
    """Return names in a row, cut short when there are many."""
    shown = ", ".join(str(name) for name in names[:NAMED_AT_MOST])
    more = len(names) - NAMED_AT_MOST
    return f"{shown} and {more} more" if more > 0 else shown
