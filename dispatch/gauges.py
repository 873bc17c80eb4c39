"""The rows behind `metering`: what counts against each envelope, shared by all senders.

    with gauges.meter(now, for_restore=True) as meter:  # in the claim's transaction
        refused_by = meter.admit(scopes, kw)

A claim holds the lock of the application's bucket, so no two senders read the same
gauge. Losing Redis or a sender forgets nothing.

What a second person approved lifts the bounds of its program while that event runs.
Nothing lifts those of a feeder or of everything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import connection

from dispatch.metering import ALL, Bounds, Gauge, Meter, Scope
from dispatch.models import Envelope
from fleets import clock
from fleets.transactions import read_whole_tables

MINUTE_SECONDS = 60.0
# A call leaves up to a second after its claim and takes a while to arrive: claims that
# are a minute apart may arrive closer together than that (real seconds).
UNDERWAY_SECONDS = 1.5
# What is outstanding is counted anew this often; until then it only grows (real).
COUNT_EVERY = timedelta(seconds=5)
# A start that nothing has shown for so long moves no load any more.
SHOWN_WITHIN = timedelta(minutes=30)

# All envelopes, each with its bounds of one direction, and its gauge. What second
# persons allowed lifts those of holding for their program.
READ = """
select coalesce(e.program_id, 0), coalesce(e.feeder_id, 0),
    case when %(is_restore)s then coalesce(e.restoring_max_kw, e.max_kw)
        else greatest(e.max_kw, lifted.kw) end,
    case when %(is_restore)s then coalesce(e.restoring_max_cars, e.max_cars)
        else greatest(e.max_cars, lifted.cars) end,
    case when %(is_restore)s
        then coalesce(e.restoring_max_kw_per_minute, e.max_kw_per_minute)
        else greatest(e.max_kw_per_minute, lifted.kw_per_minute) end,
    g.outstanding_kw, g.outstanding_cars, g.lately::text, g.counted_at
from dispatch_envelope e
left join dispatch_envelopegauge g
    on g.envelope_id = e.id and g.is_restore = %(is_restore)s
left join lateral (
    select max(v.approved_kw) as kw, max(v.approved_cars) as cars,
        max(v.approved_kw_per_minute) as kw_per_minute
    from dispatch_gridevent v
    where v.program_id = e.program_id and v.status = 'active'
) lifted on true
"""
# Held, or on the way to it: all holds but those whose stop has yet to leave. A sum and
# a difference, each read once: asking for every hold whether a stop waits for it took
# six seconds at 20,000.
HELD = """
select g.program_id, coalesce(v.feeder_id, 0),
    sum(x.sign * coalesce(nullif(x.power_kw, 0), v.usual_power_kw)), sum(x.sign)
from (
    select event_id, vehicle_id, power_kw, 1 as sign
    from dispatch_hold where status in ('taking', 'held')
    union all
    select h.event_id, h.vehicle_id, h.power_kw, -1
    from dispatch_command c
    join dispatch_hold h on h.id = c.hold_id and h.status in ('taking', 'held')
    where c.status = 'queued' and not c.is_restore and not c.may_have_landed
) x
join dispatch_gridevent g on g.id = x.event_id
join fleets_vehicle v on v.id = x.vehicle_id
group by 1, 2
"""
# Started, and not shown yet.
STARTED = """
select g.program_id, coalesce(v.feeder_id, 0),
    sum(greatest(h.power_kw, v.usual_power_kw)), count(*)
from dispatch_command c
join dispatch_hold h on h.id = c.hold_id and h.status = 'restoring'
join dispatch_gridevent g on g.id = c.event_id
join fleets_vehicle v on v.id = c.vehicle_id
where c.status in ('sending', 'unknown', 'accepted') and c.is_restore
    and c.sent_at > %(shown_since)s
group by 1, 2
"""
SAVE = """
insert into dispatch_envelopegauge
    (envelope_id, is_restore, outstanding_kw, outstanding_cars, counted_at, lately)
select e.id, %(is_restore)s, g.outstanding_kw, g.outstanding_cars, g.counted_at,
    g.lately
from jsonb_to_recordset(%(gauges)s::jsonb) as g (
    program bigint, feeder bigint, outstanding_kw float8, outstanding_cars int,
    counted_at timestamptz, lately jsonb
)
join dispatch_envelope e on coalesce(e.program_id, 0) = g.program
    and coalesce(e.feeder_id, 0) = g.feeder
on conflict (envelope_id, is_restore) do update set
    outstanding_kw = excluded.outstanding_kw,
    outstanding_cars = excluded.outstanding_cars,
    counted_at = excluded.counted_at,
    lately = excluded.lately
"""


@contextmanager
def meter(now: datetime, *, for_restore: bool) -> Iterator[Meter]:
    """Read the gauges of one direction, and write down what was spent.

    The caller holds the application bucket's lock until its transaction ends.
    """
    assert connection.in_atomic_block, "a gauge is read and written in one transaction"
    gauges, counted_at = _read(for_restore=for_restore)
    if ALL not in gauges:
        Envelope.objects.of(None)
        gauges, counted_at = _read(for_restore=for_restore)
    real_now = clock.real_now()
    if counted_at is None or real_now - counted_at > COUNT_EVERY:
        _count(gauges, now, for_restore=for_restore)
        counted_at = real_now
    speed = clock.timeline().speed
    window_seconds = MINUTE_SECONDS + UNDERWAY_SECONDS * speed
    second = int(now.timestamp())
    for gauge in gauges.values():
        gauge.forget(before=now.timestamp() - window_seconds, second=second)
    yield Meter(gauges, second, one_always_may=for_restore)
    if any(gauge.is_touched for gauge in gauges.values()):
        _save(gauges, counted_at, for_restore=for_restore)


def _read(*, for_restore: bool) -> tuple[dict[Scope, Gauge], datetime | None]:
    """Return the gauges, and when all of them were last counted (real time)."""
    with connection.cursor() as cursor:
        cursor.execute(READ, {"is_restore": for_restore})
        rows = cursor.fetchall()
    gauges, counted = {}, []
    for program_id, feeder_id, *most, kw, cars, lately, counted_at in rows:
        gauge = Gauge(Bounds(*most))
        if counted_at is not None:
            gauge.outstanding_kw, gauge.outstanding_cars = kw, cars
            gauge.lately = [(int(at), float(kw)) for at, kw in json.loads(lately)]
        gauges[Scope(program_id, feeder_id)] = gauge
        counted.append(counted_at)
    return gauges, min(counted) if counted and None not in counted else None


def _count(gauges: Mapping[Scope, Gauge], now: datetime, *, for_restore: bool) -> None:
    """Count what is outstanding from the rows themselves."""
    for gauge in gauges.values():
        gauge.outstanding_kw, gauge.outstanding_cars = 0.0, 0
        gauge.is_touched = True
    read_whole_tables()
    with connection.cursor() as cursor:
        if for_restore:
            cursor.execute(STARTED, {"shown_since": now - SHOWN_WITHIN})
        else:
            cursor.execute(HELD)
        for program_id, feeder_id, kw, cars in cursor.fetchall():
            for scope in {ALL, Scope(program_id=program_id), Scope(0, feeder_id)}:
                if scope in gauges:
                    gauges[scope].outstanding_kw += kw
                    gauges[scope].outstanding_cars += cars


def _save(
    gauges: Mapping[Scope, Gauge], counted_at: datetime, *, for_restore: bool
) -> None:
    rows = [
        {
            "program": scope.program_id,
            "feeder": scope.feeder_id,
            "outstanding_kw": gauge.outstanding_kw,
            "outstanding_cars": gauge.outstanding_cars,
            "counted_at": counted_at.isoformat(),
            "lately": gauge.lately,
        }
        for scope, gauge in gauges.items()
    ]
    with connection.cursor() as cursor:
        cursor.execute(SAVE, {"gauges": json.dumps(rows), "is_restore": for_restore})
