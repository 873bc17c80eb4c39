"""What people and machines do with grid events, and what time does with them.

Every act is one transaction with its audit entry, and locks in one order: event, hold,
command, ids ascending. An act that takes the ground from under queued stops supersedes
them there and then; a stop that is being sent is left to its outcome. What must be
given back is not listed here: the next tick derives it from the open holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import TypedDict

from django.db import transaction
from django.db.models import Exists, F, OuterRef

from dispatch import alarms, audit, envelope, event_rules, holds, stops
from dispatch.event_rules import Finding, Invalid, NotAllowed, Stale, WrongMoment
from dispatch.lifecycle import (
    RUNNING_EVENT,
    EventKind,
    EventStatus,
    ParticipationStatus,
)
from dispatch.models import GridEvent, GridSignal, Hold, Participation
from fleets.models import (
    CustomerGroup,
    Enrolment,
    Feeder,
    Program,
    Substation,
    Vehicle,
)

NOT_BEGUN = (EventStatus.DRAFT, EventStatus.PENDING, EventStatus.SCHEDULED)
OVER = (EventStatus.COMPLETED, EventStatus.SETTLED)


class Changes(TypedDict, total=False):
    """What an amendment may change; what is missing stays."""

    starts_at: datetime
    ends_at: datetime
    target_kw: float | None
    feeders: Sequence[Feeder]
    substations: Sequence[Substation]
    groups: Sequence[CustomerGroup]
    vehicles: Sequence[Vehicle]
    priority: int
    reason: str


def schedule(
    program: Program,
    *,
    kind: EventKind,
    starts_at: datetime,
    ends_at: datetime,
    target_kw: float | None,
    feeders: Sequence[Feeder],
    vehicles: Sequence[Vehicle],
    substations: Sequence[Substation] = (),
    groups: Sequence[CustomerGroup] = (),
    priority: int,
    reason: str,
    signal: GridSignal | None,
    actor: str,
    now: datetime,
) -> GridEvent:
    """Write down a new event: scheduled, or pending when it is too large for one."""
    shape = event_rules.Shape(
        starts_at, ends_at, target_kw, feeders, vehicles, substations, groups
    )
    with transaction.atomic():
        event_rules.check(program, shape, kind=kind, now=now)
        excess = envelope.excess(program, shape)
        event = GridEvent.objects.create(
            program=program,
            signal=signal,
            kind=kind,
            status=EventStatus.PENDING if excess else EventStatus.SCHEDULED,
            priority=priority,
            starts_at=starts_at,
            ends_at=ends_at,
            target_kw=target_kw,
            reason=reason,
            pending_reason=excess,
            created_at=now,
            created_by=actor,
        )
        for name in event_rules.AIMS:
            getattr(event, name).set(getattr(shape, name))
        GridEvent.objects.all().record(
            [(event.pk, "")], event.status, now=now, reason=excess
        )
        audit.write_event(
            "schedule", event, actor, now, why=reason, status=event.status
        )
    return event


def approve(event: GridEvent, *, actor: str, now: datetime, why: str = "") -> GridEvent:
    """Let an event that is larger than its envelope be scheduled, as this version.

    Nobody approves what they wrote or amended themselves: two people must look. Nor is
    approved what keeps its program's policy no more: it waited too long.
    """
    with transaction.atomic():
        locked = _lock(event, version=event.version)
        if locked.status != EventStatus.PENDING:
            raise WrongMoment(f"The event is {locked.status}: nothing to approve.")
        if actor == locked.created_by or audit.has_written(actor, locked):
            raise NotAllowed("Whoever wrote or amended an event cannot approve it.")
        if locked.ends_at <= now:
            raise WrongMoment("The event's end has passed.")
        event_rules.check_waiting(locked, is_known=audit.was_scheduled(locked), now=now)
        step, _ = envelope.together(
            locked.program, event_rules.shape_of(locked), but=locked.pk
        )
        _move(
            locked, EventStatus.SCHEDULED, now, f"approved by {actor}",
            approved_kw=step.kw, approved_cars=step.cars,
            approved_kw_per_minute=step.kw_per_minute,
        )  # fmt: skip
        audit.write_event(
            "approve", locked, actor, now, why=why or locked.pending_reason
        )
        return locked


def amend(
    event: GridEvent, changes: Changes, *, actor: str, now: datetime, why: str = ""
) -> GridEvent:
    """Change an event that nobody else changed since `event` was read.

    1. Lock it and compare versions.
    2. Check the new shape as that of a new event; a start that is over stays.
    3. Hold it against the envelope when it grows. Too large: a running event stays as
       it is, any other waits for approval. What was approved covers no other shape
       than that one or a smaller one within its hours.
    4. Write it with the next version and supersede queued stops, which were decided
       on the old one.
    """
    with transaction.atomic():
        locked = _lock(event, version=event.version)
        running = locked.status == EventStatus.ACTIVE
        if not running and locked.status not in NOT_BEGUN:
            raise WrongMoment(f"The event is {locked.status} and cannot be amended.")
        before = event_rules.shape_of(locked)
        wanted = {field.name for field in fields(before)} & set(changes)
        after = replace(before, **{name: changes[name] for name in wanted})  # type: ignore[literal-required]
        if running and after.starts_at != before.starts_at:
            raise Invalid(
                [Finding("starts_at", "started", "A running event keeps its start.")]
            )
        event_rules.check(
            locked.program,
            after,
            kind=EventKind(locked.kind),
            now=now,
            amended=locked,
            names_cars="vehicles" in changes,
        )
        grows = envelope.grows(locked.program, before, after)
        excess = ""
        if grows or locked.status == EventStatus.PENDING:
            excess = envelope.excess(locked.program, after, but=locked.pk)
        if excess and running:
            raise WrongMoment(
                f"{excess} A running event cannot wait for approval: schedule a "
                "further one for what is missing."
            )
        for name in ("starts_at", "ends_at", "target_kw", "priority", "reason"):
            if name in changes:
                setattr(locked, name, changes[name])
        locked.version += 1
        locked.pending_reason = excess
        _narrow_approval(locked, after, grows=grows)
        locked.save(
            update_fields=[
                "starts_at", "ends_at", "target_kw", "priority", "reason", "version",
                "pending_reason", "approved_kw", "approved_cars",
                "approved_kw_per_minute",
            ]
        )  # fmt: skip
        for name in wanted.intersection(event_rules.AIMS):
            getattr(locked, name).set(getattr(after, name))
        if excess and locked.status == EventStatus.SCHEDULED:
            _move(locked, EventStatus.PENDING, now, excess)
        elif not excess and locked.status == EventStatus.PENDING:
            _move(locked, EventStatus.SCHEDULED, now, "amended to fit its envelope")
        stops.supersede([locked.pk], now=now, reason="event amended")
        audit.write_event("amend", locked, actor, now, why=why, changed=sorted(changes))
        locked.refresh_from_db()
    return locked


def _narrow_approval(
    event: GridEvent, shape: event_rules.Shape, *, grows: bool
) -> None:
    """Let an approval cover what an amended event still asks for, and no more."""
    if event.approved_kw is None:
        return
    if grows:
        event.approved_kw = event.approved_cars = event.approved_kw_per_minute = None
        return
    step, _ = envelope.together(event.program, shape, but=event.pk)
    event.approved_kw = min(event.approved_kw, step.kw)
    event.approved_cars = min(event.approved_cars or 0, step.cars)
    event.approved_kw_per_minute = min(
        event.approved_kw_per_minute or 0.0, step.kw_per_minute
    )


def cancel(event: GridEvent, *, actor: str, now: datetime, why: str = "") -> GridEvent:
    """Call an event off: what it holds is given back, the rest never happens.

    Asked again, or when all is being given back already, it changes nothing.
    """
    with transaction.atomic():
        locked = _lock(event)
        if locked.status in OVER:
            raise WrongMoment(f"The event is {locked.status}: too late to cancel it.")
        if locked.status in {EventStatus.CANCELLED, EventStatus.RESTORING}:
            return locked
        times = {"cancelled_at": now}
        if locked.status == EventStatus.ACTIVE:
            _leave_active(locked, now, "cancelled", **times)
        else:
            _move(locked, EventStatus.CANCELLED, now, "cancelled", **times)
        audit.write_event("cancel", locked, actor, now, why=why)
    return locked


def end_early(
    event: GridEvent, *, actor: str, now: datetime, why: str = ""
) -> GridEvent:
    """End a running event now; asked again it changes nothing."""
    with transaction.atomic():
        locked = _lock(event)
        if locked.status == EventStatus.RESTORING:
            return locked
        if locked.status != EventStatus.ACTIVE:
            raise WrongMoment(
                f"The event is {locked.status}: only a running one can end early."
            )
        # A clock that stands still may show the very start.
        earliest = locked.starts_at + timedelta(microseconds=1)
        ends_at = min(max(now, earliest), locked.ends_at)
        _leave_active(locked, now, "ended early", ends_at=ends_at)
        audit.write_event("end early", locked, actor, now, why=why)
    return locked


def opt_out(
    vehicle: Vehicle, *, event: GridEvent, actor: str, now: datetime
) -> Participation:
    """Take a car out of an event for good; a second time changes nothing.

    It does not raise the event's version, or every opt-out would send all other cars'
    stops back to the start: the claim and the send look at the participation itself.
    """
    with transaction.atomic():
        locked = _lock(event)
        if locked.status in {*OVER, EventStatus.CANCELLED}:
            raise WrongMoment(f"The event is {locked.status}: nothing to leave.")
        if not Enrolment.objects.filter(
            program=locked.program_id, vehicle=vehicle
        ).exists():
            message = f"Car {vehicle.pk} is not in the program of this event."
            raise Invalid([Finding("vehicle", "not_enrolled", message)])
        participation, is_new = Participation.objects.select_for_update(
            no_key=True, of=("self",)
        ).get_or_create(
            event=locked,
            vehicle=vehicle,
            defaults={
                "status": ParticipationStatus.ENDED,
                "reason": "opted out",
                "judged_at": now,
                "opted_out_at": now,
                "ended_at": now,
            },
        )
        if not is_new and participation.opted_out_at is not None:
            return participation
        if not is_new:
            mine = Participation.objects.filter(pk=participation.pk)
            mine.update(opted_out_at=now, reason="opted out")
            mine.move(ParticipationStatus.ENDED, now=now, ended_at=now)
            participation.refresh_from_db()
        stops.supersede([locked.pk], now=now, reason="opted out", vehicle=vehicle)
        audit.write_event("opt out", locked, actor, now, vehicle=vehicle.pk)
    return participation


@dataclass(frozen=True)
class Advanced:
    """The events that time moved, by id."""

    started: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    completed: list[int] = field(default_factory=list)
    lapsed: list[int] = field(default_factory=list)


def advance(now: datetime) -> Advanced:
    """Move every event whose time has come; safe to run twice and at once.

    1. Lock what may move, in the order in which everybody locks events.
    2. What should have ended before it ever began is called off.
    3. What is due starts; what is over gives back.
    4. What owes nothing any more is completed, and so are its participations.
    """
    with transaction.atomic():
        events = GridEvent.objects.filter(
            status__in=(*NOT_BEGUN, *RUNNING_EVENT), starts_at__lte=now
        )
        list(events.order_by("id").select_for_update(no_key=True).values_list("id"))
        lapsed = events.filter(status__in=NOT_BEGUN, ends_at__lte=now).move(
            EventStatus.CANCELLED,
            now=now,
            reason="its end passed before it began",
            cancelled_at=now,
        )
        started = events.filter(
            status=EventStatus.SCHEDULED, starts_at__lte=now, ends_at__gt=now
        ).move(EventStatus.ACTIVE, now=now, started_at=now)
        ended = events.filter(ends_at__lte=now).move(
            EventStatus.RESTORING, now=now, reason="its time is over", restoring_at=now
        )
        stops.supersede(ended, now=now, reason="event over")
        completed = _complete(now)
    return Advanced(started, ended, completed, lapsed)


def _complete(now: datetime) -> list[int]:
    """Complete the restoring events that no open hold belongs to.

    A lowered limit whose car is away outlasts its event: the hold is what owes it, and
    stays open, watched and tried at the next plug-in, whatever became of the event.
    """
    owed = Hold.objects.open().exclude(holds.AWAY)
    ids = (
        GridEvent.objects.exclude(Exists(owed.filter(event=OuterRef("pk"))))
        .exclude(
            Exists(Participation.objects.filter(event=OuterRef("pk"), hold__in=owed))
        )
        .move(EventStatus.COMPLETED, now=now, completed_at=now)
    )
    Participation.objects.filter(event__in=ids).move(
        ParticipationStatus.ENDED, now=now, reason="event completed", ended_at=now
    )
    alarms.clear([key for pk in ids for key in alarms.of_event(pk)], now=now)
    return ids


def _lock(event: GridEvent, *, version: int | None = None) -> GridEvent:
    """Return the event as it is now, locked; raise Stale unless it has the version."""
    locked = (
        GridEvent.objects.select_related("program")
        .select_for_update(no_key=True, of=("self",))
        .get(pk=event.pk)
    )
    if version is not None and locked.version != version:
        raise Stale(
            f"The event is at version {locked.version}, you saw version {version}: "
            "read it again."
        )
    return locked


def _move(
    event: GridEvent, to: str, now: datetime, reason: str, **values: object
) -> None:
    GridEvent.objects.filter(pk=event.pk).move(to, now=now, reason=reason, **values)
    event.refresh_from_db()


def _leave_active(
    event: GridEvent, now: datetime, reason: str, **values: object
) -> None:
    """Turn a running event to giving back, at its next version."""
    _move(
        event, EventStatus.RESTORING, now, reason,
        restoring_at=now, version=F("version") + 1, **values,
    )  # fmt: skip
    stops.supersede([event.pk], now=now, reason=f"event {reason}")
