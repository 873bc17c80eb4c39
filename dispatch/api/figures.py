"""What has come of an event so far, counted from rows."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q

from dispatch import results
from dispatch.models import GridEvent, Hold


def live(event: GridEvent) -> dict[str, Any]:
    """Return counts of cars and holds, and the newest load sample."""
    participations = (
        event.participations.values("status", "reason")
        .annotate(cars=Count("pk"))
        .order_by("status", "reason")
    )
    claimed = event.participations.filter(hold__isnull=False).values("hold")
    holds = (
        Hold.objects.filter(Q(event=event) | Q(pk__in=claimed))
        .values("status")
        .annotate(cars=Count("pk"))
        .order_by("status")
    )
    return {
        "participations": list(participations),
        "holds": list(holds),
        "left": results.left([event.pk])[event.pk],
        "broken": results.broken([event.pk])[event.pk],
        "caught": results.caught([event.pk])[event.pk],
        "load": event.samples.order_by("-at").first(),
    }
