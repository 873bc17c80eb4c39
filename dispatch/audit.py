"""The trail of acts: who, when, what, why."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Max

from dispatch.lifecycle import EventStatus
from dispatch.models import AuditEntry, Change, GridEvent
from fleets.models import Feeder, Program


def write(
    act: str,
    *,
    subject: str,
    actor: str,
    now: datetime,
    why: str = "",
    **detail: object,
) -> None:
    """Write down one act, in the transaction of the act itself."""
    AuditEntry.objects.create(
        at=now, actor=actor, act=act, subject=subject, why=why[:200], detail=detail
    )


def write_event(
    act: str,
    event: GridEvent,
    actor: str,
    now: datetime,
    *,
    why: str = "",
    **detail: object,
) -> None:
    """Write down one act on an event, with the version that it made."""
    write(
        act,
        subject=subject_of(event),
        actor=actor,
        now=now,
        why=why,
        version=event.version,
        **detail,
    )


def subject_of(event: GridEvent) -> str:
    """Return an event's name in the trail."""
    return f"event {event.pk}"


def scope_of(program: Program | None, feeder: Feeder | None = None) -> str:
    """Return the name in the trail of a program, of a feeder, or of all of them."""
    if feeder is not None:
        return f"feeder {feeder.code}"
    return f"program {program.code}" if program else "everything"


def has_written(actor: str, event: GridEvent) -> bool:
    """Return whether any part of this event as it stands is this actor's work."""
    return AuditEntry.objects.filter(
        actor=actor, subject=subject_of(event), act__in=("schedule", "amend")
    ).exists()


def was_scheduled(event: GridEvent) -> bool:
    """Return whether this event was scheduled before, with the window it still has."""
    since = Change.objects.filter(
        subject="event", subject_id=event.pk, after=EventStatus.SCHEDULED
    ).aggregate(at=Max("at"))["at"]
    if since is None:
        return False
    amended = AuditEntry.objects.filter(
        subject=subject_of(event), act="amend", at__gt=since
    ).values_list("detail", flat=True)
    return not any({"starts_at", "ends_at"} & set(one["changed"]) for one in amended)
