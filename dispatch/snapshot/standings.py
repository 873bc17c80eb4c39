"""Where each car stands with an event that runs."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
from django.db.models import FloatField, Func, Q

from dispatch import (
    event_rules,
    planner,
)
from dispatch.lifecycle import (
    EventStatus,
)
from dispatch.models import Envelope, GridEvent, Participation
from fleets.models import Program, Vehicle

# A fleet of moments as numbers: as datetimes they took most of a quiet turn.
EPOCH = Func(
    "judged_at",
    template="extract(epoch from %(expressions)s)::float8",
    output_field=FloatField(),
)


def of(
    event: GridEvent,
    program: Program,
    cars: planner.Cars,
    observed_at: planner.Floats,
    within_seconds: planner.Floats,
    overnight: planner.Bools,
) -> planner.Event:
    """Return an event as the planner sees it.

    `overnight` says whose customers consented to be managed overnight. Whoever called
    an event off wants nobody held for it any more.
    """
    n = len(cars.vehicle_id)
    standing = np.full(n, "", dtype="U12")
    reason = np.full(n, "", dtype="U40")
    judged_at = np.full(n, np.inf)
    opted_out = np.zeros(n, dtype=bool)
    rows = Participation.objects.filter(event=event).values_list(
        "vehicle_id", "status", "reason", EPOCH, "opted_out_at"
    )
    places = {int(pk): place for place, pk in enumerate(cars.vehicle_id)}
    for vehicle_id, status, why, judged, opted in rows:
        place = places.get(vehicle_id)
        if place is not None:
            standing[place], reason[place] = status, why
            judged_at[place] = judged
            opted_out[place] = opted is not None
    stopped = Envelope.objects.filter(
        Q(program=event.program_id) | Q(program=None, feeder=None),
        holds_stopped_at__isnull=False,
    )
    return planner.Event(
        event_id=event.pk,
        holding=event.status == EventStatus.ACTIVE,
        holds_stopped=stopped.exists(),
        ends_at=event.ends_at.timestamp(),
        target_kw=event.target_kw,
        aimed=_aimed(event, cars),
        opted_out=opted_out,
        standing=standing,
        reason=reason,
        has_news=observed_at > judged_at,
        queues=overnight & (event.cancelled_at is None),
        clocks_change=_clocks_change(event, program.zone),
        back_by=event.ends_at.timestamp() + within_seconds,
    )


def _clocks_change(event: GridEvent, zone: ZoneInfo) -> bool:
    """Say whether the clocks change within the event."""
    before, after = (
        moment.astimezone(zone).utcoffset()
        for moment in (event.starts_at, event.ends_at)
    )
    return before != after


def _aimed(event: GridEvent, cars: planner.Cars) -> planner.Bools:
    """Say which cars the event is aimed at, by what stands on record now."""
    aims = event_rules.aims_of(event)
    aimed: planner.Bools = np.ones(len(cars.vehicle_id), dtype=bool)
    if vehicles := aims.pop("vehicles", None):
        aimed &= np.isin(cars.vehicle_id, vehicles)
    if aims:
        inside = event_rules.aimed_at(Vehicle.objects.all(), **aims)
        aimed &= np.isin(cars.vehicle_id, list(inside.values_list("pk", flat=True)))
    return aimed
