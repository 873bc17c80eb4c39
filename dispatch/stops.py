"""Stops that still wait, and must never leave."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from dispatch.lifecycle import CommandStatus
from dispatch.models import Command
from fleets.models import Feeder, Vehicle


def supersede(
    event_ids: Collection[int],
    *,
    now: datetime,
    reason: str,
    vehicle: Vehicle | None = None,
    feeder: Feeder | None = None,
) -> list[int]:
    """Make sure that no queued stop of these events is sent; return their ids.

    The caller holds the events' locks; a stop in `sending` is left to its outcome.
    """
    if not event_ids:
        return []
    stops = Command.objects.filter(
        event__in=event_ids, status=CommandStatus.QUEUED, is_restore=False
    )
    if vehicle is not None:
        stops = stops.filter(vehicle=vehicle)
    if feeder is not None:
        stops = stops.filter(vehicle__feeder=feeder)
    return stops.move(CommandStatus.SUPERSEDED, now=now, reason=reason)
