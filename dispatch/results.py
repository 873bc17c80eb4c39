"""What has come of events for those who were held, counted from rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection

from dispatch.planner import Caution
from dispatch.shortfalls import TOLERANCE_KWH

# A car that an event held twice in one stay has left once.
LEFT = """
select event_id, count(*), count(short_kwh), count(*) filter (where is_late),
    coalesce(sum(short_kwh) filter (where is_late), 0)
from (
    select held.event_id, h.vehicle_id, h.left_at, max(h.short_kwh) as short_kwh,
        coalesce(max(h.short_kwh) > %(tolerance)s, false) as is_late
    from (
        select event_id, hold_id from dispatch_participation
        where event_id = any(%(events)s) and hold_id is not null
        union
        select event_id, id from dispatch_hold where event_id = any(%(events)s)
    ) held
    join dispatch_hold h on h.id = held.hold_id
    where h.left_at is not null
    group by 1, 2, 3
) cars
group by 1
"""


@dataclass(frozen=True, slots=True)
class Left:
    """Cars that an event held and that have left home since."""

    cars: int = 0
    weighed: int = 0  # of these, the charge with which they left is known
    late: int = 0  # left with less than promised
    short_kwh: float = 0.0  # what those lacked together

    @property
    def late_per_1000(self) -> float:
        return self.late / self.weighed * 1000.0 if self.weighed else 0.0

    @property
    def short_kwh_per_1000(self) -> float:
        return self.short_kwh / self.weighed * 1000.0 if self.weighed else 0.0


# Of the samples' minutes, those in which the target was out of reach.
BROKEN = """
select e.id, count(h.id) filter (where h.over_cap),
    count(h.id) filter (where h.over_ramp),
    (
        select count(distinct date_trunc('minute', s.at)) from dispatch_loadsample s
        where s.event_id = e.id and %(out_of_reach)s = any(s.cautions)
    )
from unnest(%(events)s::bigint[]) e (id)
left join lateral (
    select hold_id as id from dispatch_participation
    where event_id = e.id and hold_id is not null
    union
    select id from dispatch_hold where event_id = e.id
) held on true
left join dispatch_hold h on h.id = held.id and (h.over_cap or h.over_ramp)
group by e.id
"""


@dataclass(frozen=True, slots=True)
class Broken:
    """How often something that comes second gave way to what comes first."""

    over_cap: int = 0  # cars given back although a restore cap had no room
    over_ramp: int = 0
    minutes_out_of_reach: int = 0  # of the target


CAUGHT = """
select c.event_id, v.make, count(*), count(*) filter (where c.was_read),
    percentile_cont(array[0.5, 0.9, 1]) within group (
        order by greatest(0, extract(epoch from c.judged_at - c.plugged_in_at)))
from dispatch_catch c join fleets_vehicle v on v.id = c.vehicle_id
where c.event_id = any(%s)
group by 1, 2 order by 1, 3 desc, 2
"""


@dataclass(frozen=True, slots=True)
class Caught:
    """Cars of one make that plugged in during an event, and how late they were judged.

    Since the plug-in, by the car's own time: the maker's delay is in it.
    """

    make: str
    cars: int
    was_read: int  # of these, those that we had to ask
    half_within_seconds: float
    most_within_seconds: float  # nine of ten
    all_within_seconds: float


def caught(event_ids: Iterable[int]) -> dict[int, list[Caught]]:
    """Return, for each event, the makes of the cars that it caught."""
    ids = list(event_ids)
    found: dict[int, list[Caught]] = {pk: [] for pk in ids}
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(CAUGHT, [ids])
            for pk, make, cars, was_read, seconds in cursor.fetchall():
                found[pk].append(Caught(make, cars, was_read, *seconds))
    return found


def broken(event_ids: Iterable[int]) -> dict[int, Broken]:
    """Return, for each event, what gave way."""
    ids = list(event_ids)
    found = {pk: Broken() for pk in ids}
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(
                BROKEN, {"events": ids, "out_of_reach": str(Caution.OUT_OF_REACH)}
            )
            found |= {pk: Broken(*row) for pk, *row in cursor.fetchall()}
    return found


def left(event_ids: Iterable[int]) -> dict[int, Left]:
    """Return, for each event, with what those left that it held."""
    ids = list(event_ids)
    found = {pk: Left() for pk in ids}
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(LEFT, {"events": ids, "tolerance": TOLERANCE_KWH})
            found |= {pk: Left(*row) for pk, *row in cursor.fetchall()}
    return found
