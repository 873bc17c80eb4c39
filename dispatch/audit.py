"""The trail of acts: who, when, what, why."""

from __future__ import annotations

from datetime import datetime

from dispatch.models import AuditEntry, GridEvent


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


def subject_of(event: GridEvent) -> str:
    """Return an event's name in the trail."""
    return f"event {event.pk}"


def has_written(actor: str, event: GridEvent) -> bool:
    """Return whether any part of this event as it stands is this actor's work."""
    return AuditEntry.objects.filter(
        actor=actor, subject=subject_of(event), act__in=("schedule", "amend")
    ).exists()
