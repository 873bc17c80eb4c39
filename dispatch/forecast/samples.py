"""Look at the fleet as each quarter hour begins, and keep what is seen.

A look that comes late would show another moment, so it is not taken: the quarter hour
is then missing, and missing is never 0. A clock that runs fast misses most of them.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection

from dispatch.forecast import quarters
from dispatch.lifecycle import OPEN_HOLD
from dispatch.models import QuarterSample
from fleets import last_known

# Looked for every minute; cars report less often than this anyway.
LATEST = timedelta(minutes=5)

# Who is held, or charges on in the plug-in in which he was: both move load in time. Not
# who is away, although a limit or a person may be waited for: that can take days, and
# would draw nothing here. A car that drove off and needs more at its next plug-in than
# otherwise is not seen.
SAMPLE = """
with cars as (
    select e.program_id, v.feeder_id, v.is_plugged_in as plugged_in,
        coalesce(v.is_charging, false) as charging,
        v.observed_at is not null and v.is_plugged_in is not null
            and (not coalesce(v.is_charging, false) or v.observed_at >= %(known_since)s)
            as known,
        coalesce(nullif(v.power_kw, 0), v.usual_power_kw) as kw,
        coalesce(v.is_home, false) and (v.can_set_limit or (v.can_stop and v.can_start
            and coalesce(v.soc_percent, 0) >= v.commands_from_soc_percent)) as able,
        exists (
            select from dispatch_hold h
            where h.vehicle_id = v.id and (
                (h.status = any(%(open_hold)s) and coalesce(v.is_plugged_in, true))
                or (v.is_charging and h.closed_at >= v.plugged_in_at)
            )
        ) as managed
    from fleets_enrolment e join fleets_vehicle v on v.id = e.vehicle_id
    where e.status = 'active'
)
insert into dispatch_quartersample (program_id, feeder_id, at, cars, known_cars,
    plugged_in, charging, load_kw, sheddable_kw, is_managed)
select program_id, feeder_id, %(at)s, count(*), count(*) filter (where known),
    count(*) filter (where known and plugged_in),
    count(*) filter (where known and charging),
    coalesce(sum(kw) filter (where known and charging), 0),
    coalesce(sum(kw) filter (where known and charging and able), 0),
    bool_or(managed)
from cars
group by grouping sets ((program_id), (feeder_id))
having program_id is not null or feeder_id is not null
on conflict do nothing
"""


def begun(now: datetime, *, every: int = 1) -> datetime | None:
    """Return the quarter hour that has just begun; None when it is too late for it.

    `every` of 4 asks for whole hours.
    """
    number = quarters.number(now) // every * every
    at = quarters.moment(number)
    return at if now - at <= LATEST else None


def look(*, now: datetime) -> int:
    """Keep one sample of each program and feeder with cars; return how many are new."""
    at = begun(now)
    if at is None or QuarterSample.objects.filter(at=at).exists():
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            SAMPLE,
            {
                "at": at,
                "known_since": now - last_known.CHARGING_IS_KNOWN_FOR,
                "open_hold": [str(status) for status in OPEN_HOLD],
            },
        )
        return int(cursor.rowcount)
