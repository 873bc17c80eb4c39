"""The one switch: stop new holds, of everything, a program or a feeder.

Every sender reads it before every claim. One person may set and undo it; both are in
the audit trail. Locks in the order of `grid_events`: event, envelope, command.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from dispatch import audit, stops
from dispatch.models import Envelope, GridEvent
from fleets.models import Feeder, Program


def stop_new_holds(
    *,
    program: Program | None,
    feeder: Feeder | None = None,
    actor: str,
    now: datetime,
    why: str = "",
) -> None:
    """Take nothing more, in one program, on one feeder or anywhere; restores go on."""
    with transaction.atomic():
        events = GridEvent.objects.alive()
        if program is not None:
            events = events.filter(program=program)
        ids = list(
            events.order_by("id")
            .select_for_update(no_key=True)
            .values_list("id", flat=True)
        )
        row = Envelope.objects.of(program, feeder=feeder)
        Envelope.objects.filter(pk=row.pk, holds_stopped_at=None).update(
            holds_stopped_at=now, holds_stopped_by=actor
        )
        stops.supersede(ids, now=now, reason="new holds stopped", feeder=feeder)
        audit.write(
            "stop new holds",
            subject=audit.scope_of(program, feeder),
            actor=actor,
            now=now,
            why=why,
        )


def allow_new_holds(
    *,
    program: Program | None,
    feeder: Feeder | None = None,
    actor: str,
    now: datetime,
    why: str = "",
) -> None:
    """Undo `stop_new_holds` of the same program, feeder, or of everything."""
    with transaction.atomic():
        row = Envelope.objects.of(program, feeder=feeder)
        Envelope.objects.filter(pk=row.pk).update(
            holds_stopped_at=None, holds_stopped_by=""
        )
        audit.write(
            "allow new holds",
            subject=audit.scope_of(program, feeder),
            actor=actor,
            now=now,
            why=why,
        )
