"""Take: open holds, claim and spare, queue what stops; a statement for any number.

A turn that takes a whole fleet writes four rows a car and their history. Built one by
one as objects they took 600 us a car on the way, more than sending did.

Runs inside the turn's transaction, which holds the program's lock: nobody else opens
holds in it. A car that another program took meanwhile is found by its open hold.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np

from dispatch.planner import REASONS, Cars, Intents
from fleets.transactions import bulk_cursor

# A stop that did not leave in this time is decided anew.
QUEUED_LASTS = timedelta(minutes=15)
# A car that is owed already keeps that hold: it knows the state from before the first
# event. `opened` becomes visible to the next statement, which claims.
OPEN = """
with wanted as (
    select * from unnest(
        %(vehicles)s::bigint[], %(events)s::bigint[], %(powers)s::float8[],
        %(latest_starts)s::float8[], %(limits)s::smallint[], %(reasons)s::text[]
    ) as w (vehicle_id, event_id, power_kw, latest_start, limit_percent, reason)
), opened as (
    insert into dispatch_hold (
        vehicle_id, event_id, status, tactic, our_limit_percent, was_charging,
        soc_percent, limit_percent, power_kw, state_observed_at, plugged_in_at,
        latest_start_at, reason, restore_reason, close_reason, opened_at
    )
    select v.id, w.event_id, 'taking',
        case when w.limit_percent is null then 'stop' else 'limit' end,
        w.limit_percent, true, v.soc_percent, v.limit_percent, w.power_kw,
        coalesce(v.observed_at, %(now)s), v.plugged_in_at,
        case when w.latest_start < 'infinity' then to_timestamp(w.latest_start) end,
        w.reason, '', '', %(now)s
    from wanted w
    join fleets_vehicle v on v.id = w.vehicle_id
    where not exists (
        select from dispatch_hold h
        where h.vehicle_id = v.id
            and h.status in ('taking', 'held', 'restoring', 'unresolved')
    )
    order by v.id
    returning id, vehicle_id, event_id, our_limit_percent
), queued as (
    insert into dispatch_command (
        vehicle_id, hold_id, event_id, event_version, kind, percent, is_restore,
        status, attempt, ineffective, created_at, due_at, deadline_at,
        may_have_landed, reads, code, request_id
    )
    select o.vehicle_id, o.id, o.event_id, g.version,
        case when o.our_limit_percent is null then 'stop' else 'set limit' end,
        o.our_limit_percent, false, 'queued', 0, 0, %(now)s, %(now)s,
        -- After the event: of a car that waits for its turn.
        case when g.status = 'active' then g.ends_at
            else %(now)s + %(queued_lasts)s end,
        false, 0, '', ''
    from opened o
    join dispatch_gridevent g on g.id = o.event_id
    order by o.id
    returning id
)
insert into dispatch_change (at, subject, subject_id, before, after, reason)
select %(now)s, 'hold', id, '', 'taking', '' from opened
union all
select %(now)s, 'command', id, '', 'queued', '' from queued
"""
# Participations that were claimed before stay so. What is on its way back by now is
# not claimed: the event takes it anew when it is back.
CLAIM = """
insert into dispatch_participation (
    event_id, vehicle_id, hold_id, status, reason, judged_at
)
select w.event_id, w.vehicle_id, h.id, 'claimed', w.reason, %(now)s
from unnest(%(vehicles)s::bigint[], %(events)s::bigint[], %(reasons)s::text[])
    as w (vehicle_id, event_id, reason)
join dispatch_hold h on h.vehicle_id = w.vehicle_id and h.status in ('taking', 'held')
order by w.event_id, w.vehicle_id
on conflict (event_id, vehicle_id) do update set
    hold_id = excluded.hold_id, status = excluded.status, reason = excluded.reason,
    judged_at = excluded.judged_at
"""
SPARE = """
insert into dispatch_participation (event_id, vehicle_id, status, reason, judged_at)
select w.event_id, w.vehicle_id, 'spared', w.reason, %(now)s
from unnest(%(vehicles)s::bigint[], %(events)s::bigint[], %(reasons)s::text[])
    as w (vehicle_id, event_id, reason)
order by w.event_id, w.vehicle_id
on conflict (event_id, vehicle_id) do update set
    status = excluded.status, reason = excluded.reason, judged_at = excluded.judged_at
"""


def hold(intents: Intents, cars: Cars, *, now: datetime) -> None:
    """Open holds with the state from before us, queue what takes, and claim.

    The first event that takes a car opens its hold; further ones only join in.
    """
    if not intents:
        return
    _, first = np.unique(intents.place, return_index=True)
    opening = intents[first]
    with bulk_cursor() as cursor:
        cursor.execute(
            OPEN,
            {
                **_columns(opening, cars),
                "powers": cars.power_kw[opening.place].tolist(),
                "latest_starts": cars.latest_start[opening.place].tolist(),
                # none: by a stop
                "limits": [one or None for one in opening.limit_percent.tolist()],
                "queued_lasts": QUEUED_LASTS,
                "now": now,
            },
        )
        cursor.execute(CLAIM, {**_columns(intents, cars), "now": now})


def spare(intents: Intents, cars: Cars, *, now: datetime) -> None:
    """Write down who is left alone, and why."""
    if not intents:
        return
    with bulk_cursor() as cursor:
        cursor.execute(SPARE, {**_columns(intents, cars), "now": now})


def _columns(intents: Intents, cars: Cars) -> dict[str, list[Any]]:
    """Return cars, events and reasons as the statements take them."""
    return {
        "vehicles": cars.vehicle_id[intents.place].tolist(),
        "events": intents.event_id.tolist(),
        "reasons": [REASONS[code].value for code in intents.reason_code.tolist()],
    }
