"""What the planner needs of each car, as one query's columns."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from dispatch import (
    limits,
    planner,
)
from dispatch.lifecycle import (
    OPEN_HOLD,
)
from fleets import habits, last_known
from fleets.models import Program, RestoreStyle
from fleets.providers import throttle

UNKNOWN_LIMIT_PERCENT = 100.0
# Over which hours in events are shared out among customers.
RECENT = timedelta(days=7)

# One row a car of the program, and one a car that it still owes something: a customer
# who withdrew, a car that was sold. The newest command of the open hold comes along.
CARS = """
select
    v.id as vehicle_id,
    e.id is not null as consented,
    coalesce(
        v.observed_at is not null
        and v.is_plugged_in is not null
        and (not coalesce(v.is_charging, false) or v.observed_at >= %(known_since)s),
        false
    ) as known,
    coalesce(v.is_plugged_in, false) as plugged_in,
    coalesce(v.is_charging, false) as charging,
    coalesce(v.is_home, false) as at_home,
    not coalesce(v.is_home, true) as away,
    v.can_stop and v.can_start
        and coalesce(v.soc_percent, 0) >= v.commands_from_soc_percent as able,
    v.can_set_limit,
    -- Told by the newest reading: an older one may have been overtaken.
    case when v.limit_observed_at >= v.observed_at then v.limit_percent
        else 'NaN' end as told_limit_percent,
    coalesce(v.soc_percent, 0) as soc_percent,
    coalesce(e.minimum_charge_percent, %(minimum_percent)s) as minimum_percent,
    v.power_kw as told_power_kw,
    -- Of a car that a limit of ours holds, its own.
    coalesce(
        case when h.our_limit_percent is not null then h.limit_percent end,
        v.limit_percent, %(unknown_limit)s
    ) as limit_percent,
    v.battery_kwh,
    v.usual_power_kw,
    -- By the wall clock: what the customer said, and what was learnt.
    coalesce(extract(epoch from e.ready_by[%(today)s])::float8, 'NaN') as ready_today,
    coalesce(extract(epoch from e.ready_by[%(tomorrow)s])::float8, 'NaN')
        as ready_tomorrow,
    coalesce(e.learnt_departures[%(block)s]::float8, 'NaN') as leaves_slot,
    coalesce(e.learnt_departures[%(next_block)s]::float8, 'NaN') as leaves_later_slot,
    coalesce(extract(epoch from v.plugged_in_at)::float8, '-infinity')
        as plugged_in_at,
    %(overnight)s and e.overnight_consented_at is not null as overnight,
    %(month_calls)s - %(month_reserve)s - case
        when b.month = %(month)s then b.calls_this_month else 0 end as calls_left,
    coalesce(h.status, '') as hold,
    -- seen stopped, and given back for nobody's sake
    coalesce(
        h.held_at is not null and h.restore_reason = any(%(not_needed)s)
        and not (h.tactic = 'limit' and c.kind = 'start'),  -- that has its limit back
        false
    ) as may_stay,
    coalesce(h.held_at is not null, false) as shown,
    coalesce(extract(epoch from %(now)s - h.opened_at)::float8, 0) / 3600
        as hours_held,
    coalesce(h.soc_percent, v.soc_percent, 0) as soc_before_percent,
    v.make,
    coalesce(r.obeyed, 0) as obeyed,
    coalesce(r.missed, 0) as missed,
    -- its stop was sent, and nobody knows what came of it; what was ignored is counted
    coalesce(
        h.status = 'taking' and not c.is_restore and (
            c.status = 'unknown' or c.status = 'queued' and c.attempt > c.ineffective
        ),
        false
    ) as missing,
    coalesce(
        case when h.status = 'taking' and c.status in ('accepted', 'unknown')
            then extract(epoch from %(now)s - c.answered_at) end::float8, 0
    ) as waited_seconds,
    coalesce(recent.hours, 0) as recent_hours,
    coalesce(h.power_kw, 0) as held_kw,
    -- Its start is on the way; a limit that waits for the next plug-in draws nothing.
    coalesce(
        h.status = 'restoring'
        and not (h.tactic = 'limit' and v.is_plugged_in is false),
        false
    ) as going_back,
    case when h.our_limit_percent is null then 1 else %(limit_calls)s end
        as restore_calls,
    -- what was promised when it was taken; a later look may only make it earlier
    coalesce(extract(epoch from h.latest_start_at)::float8, 'infinity')
        as promised_start,
    coalesce(c.status, '') as command,
    coalesce(c.may_have_landed, false) as may_have_landed,
    coalesce(c.is_restore, false) as is_restore,
    coalesce(extract(epoch from v.observed_at)::float8, '-infinity') as observed_at,
    coalesce(v.feeder_id, 0) as feeder_id,
    coalesce(extract(epoch from h.opened_at)::float8, '-infinity') as opened_at,
    %(most_holds)s - coalesce(today.holds, 0) as holds_left
from fleets_vehicle v
left join fleets_enrolment e
    on e.vehicle_id = v.id and e.program_id = %(program)s and e.status = 'active'
left join fleets_vehiclebucket b on b.vehicle_id = v.id
left join dispatch_hold h
    on h.vehicle_id = v.id and h.status = any(%(open_hold)s)
    and exists (
        select from dispatch_gridevent g
        where g.id = h.event_id and g.program_id = %(program)s
    )
left join lateral (
    select status, kind, may_have_landed, is_restore, attempt, ineffective,
        answered_at
    from dispatch_command where hold_id = h.id order by id desc limit 1
) c on true
left join dispatch_response r on r.vehicle_id = v.id
-- Hours in holds of this week, of all cars of the customer.
left join fleets_provideraccount a on a.id = v.account_id
left join (
    select o.customer_id, sum(extract(epoch from
        coalesce(d.restoring_at, d.closed_at, %(now)s) - d.opened_at
    ))::float8 / 3600 as hours
    from dispatch_hold d
    join fleets_vehicle w on w.id = d.vehicle_id
    join fleets_provideraccount o on o.id = w.account_id
    where d.opened_at >= %(week_ago)s
    group by o.customer_id
) recent on recent.customer_id = a.customer_id
-- Holds of this day, of all programs, whose stop may have reached the car.
left join (
    select d.vehicle_id, count(*) as holds from dispatch_hold d
    where d.opened_at >= %(midnight)s and exists (
        select from dispatch_command k
        where k.hold_id = d.id and not k.is_restore and k.may_have_landed
    )
    group by d.vehicle_id
) today on today.vehicle_id = v.id
where e.id is not null or h.id is not null
order by v.id
"""

Columns = dict[str, list[Any]]


def columns(program: Program, now: datetime) -> Columns:
    """Return the rows of `CARS` as lists by name."""
    local = now.astimezone(program.zone)
    block, next_block = habits.blocks_at(local)
    with connection.cursor() as cursor:
        cursor.execute(
            CARS,
            {
                "program": program.pk,
                # PostgreSQL counts from 1.
                "today": local.weekday() + 1,
                "tomorrow": (local.weekday() + 1) % habits.DAYS + 1,
                "block": block + 1,
                "next_block": next_block + 1,
                "minimum_percent": program.minimum_charge_percent,
                "unknown_limit": UNKNOWN_LIMIT_PERCENT,
                "limit_calls": limits.CALLS,
                "known_since": now - last_known.CHARGING_IS_KNOWN_FOR,
                "month": throttle.month_of(now),
                "month_calls": settings.VEHICLE_CALLS_PER_MONTH,
                "month_reserve": settings.RESTORE_RESERVE_CALLS_PER_MONTH,
                "open_hold": [str(status) for status in OPEN_HOLD],
                "not_needed": [planner.Reason.EVENT_OVER, planner.Reason.ENOUGH],
                "now": now,
                "week_ago": now - RECENT,
                "overnight": program.restore_style == RestoreStyle.OVERNIGHT,
                "most_holds": program.max_holds_per_day,
                "midnight": _midnight(program, now),
            },
        )
        names = [column.name for column in cursor.description]
        rows = cursor.fetchall()
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def _midnight(program: Program, now: datetime) -> datetime:
    """Return when the day of the program's time zone began."""
    local = now.astimezone(program.zone)
    return local.replace(hour=0, minute=0, second=0, microsecond=0)
