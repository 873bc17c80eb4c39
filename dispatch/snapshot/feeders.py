"""Feeders that bound restores, and what goes on there: cars of any program count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from django.db import connection
from django.db.models import Q

from dispatch import planner, room
from dispatch.lifecycle import OPEN_HOLD
from dispatch.models import Hold
from dispatch.planner import Floats
from dispatch.snapshot.coming import coming_kw
from dispatch.snapshot.rows import UNKNOWN_LIMIT_PERCENT, Columns
from fleets import charging, last_known
from fleets.models import Feeder

BOUNDING = Q(restore_cap_kw__isnull=False) | Q(restore_ramp_kw_per_minute__isnull=False)

# What charges on these feeders, or will from a restore on its way: enrolled cars, as a
# program reckons its own.
OTHERS = """
select v.id, v.feeder_id,
    case when h.id is not null then h.power_kw
        when v.power_kw > 0 and v.power_kw <= %(largest_kw)s then v.power_kw
        else v.usual_power_kw end,
    coalesce(v.soc_percent, 0),
    coalesce(
        case when h.our_limit_percent is not null then h.limit_percent end,
        v.limit_percent, %(unknown_limit)s
    ),
    v.battery_kwh, v.usual_power_kw
from fleets_vehicle v
join fleets_enrolment e on e.vehicle_id = v.id and e.status = 'active'
left join dispatch_hold h on h.vehicle_id = v.id and h.status = any(%(open_hold)s)
where v.feeder_id = any(%(feeders)s) and not v.id = any(%(known)s) and (
    h.id is null and v.is_charging and v.is_home is not false
    or h.status = 'restoring'
        and not (h.tactic = 'limit' and v.is_plugged_in is false)
)
order by v.id
"""


def bounding(columns: Columns) -> list[Feeder]:
    """Return the feeders of cars that are owed something, as far as they bound that."""
    pairs = zip(columns["feeder_id"], columns["hold"], strict=True)
    ids = {feeder_id for feeder_id, hold in pairs if feeder_id and hold}
    if not ids:
        return []
    return list(Feeder.objects.filter(BOUNDING, pk__in=ids).order_by("pk"))


def of(
    rows: Sequence[Feeder], cars: planner.Cars, drawn_kw: Floats, *, now: datetime
) -> list[planner.Feeder]:
    """Return them as the planner sees them; `drawn_kw` is what each car draws (n)."""
    if not rows:
        return []
    others = _others(rows, cars)
    restored = _restored_last_minute(rows, now)
    here_kw = np.where(cars.away, 0.0, drawn_kw)  # charged elsewhere: another's line
    found = []
    for place, row in enumerate(rows):
        ours = cars.feeder == place
        foreign = others[others[:, 0] == row.pk]
        ahead_kw = room.ahead_kw(
            np.append(here_kw[ours], foreign[:, 1]),
            np.append(cars.charge_seconds[ours], foreign[:, 2]),
        )
        if row.restore_cap_kw is not None:
            ahead_kw += coming_kw(row, ahead_kw, now=now)
        found.append(
            planner.Feeder(
                restore_cap_kw=_or_infinite(row.restore_cap_kw),
                restore_ramp_kw_per_minute=_or_infinite(row.restore_ramp_kw_per_minute),
                ahead_kw=ahead_kw,
                restored_kw_last_minute=restored[row.pk],
            )
        )
    return found


def _others(rows: Sequence[Feeder], cars: planner.Cars) -> Floats:
    """Return what draws there of other programs: feeder, kW, and for how long (s)."""
    with connection.cursor() as cursor:
        cursor.execute(
            OTHERS,
            {
                "feeders": [row.pk for row in rows],
                "known": cars.vehicle_id[cars.feeder >= 0].tolist(),
                "largest_kw": last_known.LARGEST_POWER_KW,
                "open_hold": [str(status) for status in OPEN_HOLD],
                "unknown_limit": UNKNOWN_LIMIT_PERCENT,
            },
        )
        found = np.array(cursor.fetchall(), dtype=float).reshape(-1, 7)
    hours = charging.hours_needed(*found[:, 3:].T)
    return np.column_stack([found[:, 1], found[:, 2], hours * 3600.0])


def _restored_last_minute(rows: Sequence[Feeder], now: datetime) -> dict[int, float]:
    """Return the kW that began to go back there, by feeder."""
    found: dict[int, float] = defaultdict(float)
    lately = Hold.objects.filter(
        vehicle__feeder__in=rows, restoring_at__gt=now - timedelta(minutes=1)
    )
    for feeder_id, kw in lately.values_list("vehicle__feeder_id", "power_kw"):
        found[feeder_id or 0] += kw
    return found


def _or_infinite(bound: float | None) -> float:
    return float("inf") if bound is None else bound
