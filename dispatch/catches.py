"""How long it takes until a car that plugs in during an event is judged."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from datetime import datetime
from math import inf

from dispatch import tallies
from dispatch.planner import Act, Cars, Intents
from dispatch.tallies import Kind
from fleets.transactions import bulk_cursor

# Seconds: around the 5 minutes that keep 96 % of the shed, up to the slowest makes.
BOUNDS = (30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, inf)

# The first judgement of a plug-in counts: what is changed later was caught already.
CAUGHT = """
insert into dispatch_catch (event_id, vehicle_id, plugged_in_at, judged_at, was_read)
select distinct g.id, v.id, v.plugged_in_at, %(now)s::timestamptz,
    v.webhook_at is distinct from v.received_at
from unnest(%(events)s::bigint[], %(vehicles)s::bigint[]) as j (event_id, vehicle_id)
join dispatch_gridevent g on g.id = j.event_id
join fleets_vehicle v on v.id = j.vehicle_id
where v.is_plugged_in and v.plugged_in_at > g.started_at
order by 1, 2
on conflict (event_id, vehicle_id, plugged_in_at) do nothing
returning (select make from fleets_vehicle where id = vehicle_id),
    greatest(0, extract(epoch from judged_at - plugged_in_at))::float8
"""


def record(intents: Intents, cars: Cars, *, now: datetime) -> None:
    """Write down the cars that plugged in since and are judged for the first time."""
    judged = Intents.joined([intents.to(Act.HOLD), intents.to(Act.SPARE)])
    if not judged:
        return
    counts: dict[Kind, tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    with bulk_cursor() as cursor:
        cursor.execute(
            CAUGHT,
            {
                "events": judged.event_id.tolist(),
                "vehicles": cars.vehicle_id[judged.place].tolist(),
                "now": now,
            },
        )
        caught = cursor.fetchall()
    for make, seconds in caught:
        kind = Kind("catch", make, BOUNDS[bisect_left(BOUNDS, seconds)])
        number, total = counts[kind]
        counts[kind] = number + 1, total + seconds
    tallies.add(counts)
