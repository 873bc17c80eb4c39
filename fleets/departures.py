"""Departures: written down when a car unplugs at home, and learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import structlog
from django.db import connection, transaction

from fleets import charging, habits
from fleets.charging import Floats
from fleets.models import Departure, Program
from fleets.transactions import bulk_cursor, retried

log = structlog.get_logger(__name__)

# As many of each weekday: a new job, or the dark months, are learnt within two.
KEPT = timedelta(weeks=8)
# What one more day adds changes little.
LEARNT_EVERY = timedelta(hours=20)
# Cars that are learnt at once: their counts take some 20 MB.
BATCH = 250
# Cars of a program that stand for all of them.
SAMPLE = 2000


class Left(NamedTuple):
    """A car that unplugged at home."""

    vehicle_id: int
    plugged_in_at: datetime
    left_at: datetime
    soc_percent: float | None


REMEMBER = """
insert into fleets_departure (vehicle_id, plugged_in_at, left_at, soc_percent)
select * from unnest(
    %s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::float8[]
)
on conflict (vehicle_id, plugged_in_at) do nothing
"""
# Each stay, by each block that a part of it fell into. By the program's wall clock.
STAYS = """
select {car}, extract(isodow from block)::int - 1,
    extract(hour from block)::int / %(block_hours)s,
    least(%(slots)s - 1, floor(extract(epoch from went - date_trunc('day', block))
        / %(slot_seconds)s)::int),
    count(*)
from (
    select vehicle_id, plugged_in_at at time zone %(zone)s as came,
        left_at at time zone %(zone)s as went
    from fleets_departure
    where vehicle_id = any(%(vehicles)s) and left_at > %(since)s
) stays
cross join lateral generate_series(
    date_bin(make_interval(hours => %(block_hours)s), came, '2001-01-01'), went,
    make_interval(hours => %(block_hours)s)
) as block
where block < went
group by 1, 2, 3, 4
"""
OF_CARS = STAYS.format(car="vehicle_id")
OF_PROGRAM = STAYS.format(car="0")
ARRIVALS = """
select vehicle_id, floor(extract(epoch from
    (plugged_in_at at time zone %(zone)s)::time) / %(slot_seconds)s)::int, count(*)
from fleets_departure
where vehicle_id = any(%(vehicles)s) and left_at > %(since)s
group by 1, 2
"""
# Locked in the order of their ids.
WRITE = """
with locked as (
    select id, vehicle_id from fleets_enrolment where id = any(%(enrolments)s)
    order by id for no key update
)
update fleets_enrolment e
set learnt_at = %(now)s, learnt_departures = l.slots::smallint[]
from locked left join unnest(%(vehicles)s::bigint[], %(slots)s::text[])
    as l (vehicle_id, slots) on l.vehicle_id = locked.vehicle_id
where e.id = locked.id
"""


def remember(left: Sequence[Left]) -> None:
    """Write down who left; must run inside the transaction that took their readings."""
    with bulk_cursor() as cursor:
        cursor.execute(REMEMBER, [list(column) for column in zip(*left, strict=True)])


def learn(now: datetime, *, batches: int) -> bool:
    """Learn from the stays of cars whose time has come; say whether others wait.

    A car that has never left home has nothing to learn from: it keeps the program's
    ready-by.
    """
    for program in Program.objects.order_by("pk"):
        asked: dict[str, Any] | None = None
        while due := _due(program, now):
            if batches == 0:
                return True
            batches -= 1
            asked = asked or _asked(program, now)
            vehicle_ids, own = _counts(
                OF_CARS, {**asked, "vehicles": list(due.values())}
            )
            slots = habits.usual_departures(
                own,
                asked["of_program"],
                ready_by_slot=asked["ready_by_slot"],
                quantile=program.departure_quantile,
            )
            _write(list(due), vehicle_ids, slots, now=now)
            log.info("departures_learnt", program=program.code, cars=len(vehicle_ids))
    return False


def arrivals(vehicle_ids: Sequence[int], program: Program, *, now: datetime) -> Floats:
    """Return how often each of these cars came home in each slot of the day."""
    with connection.cursor() as cursor:
        cursor.execute(
            ARRIVALS,
            {
                "zone": program.time_zone,
                "since": now - KEPT,
                "slot_seconds": habits.SLOT_SECONDS,
                "vehicles": list(vehicle_ids),
            },
        )
        rows = cursor.fetchall()
    places = {pk: place for place, pk in enumerate(vehicle_ids)}
    counts = np.zeros((len(vehicle_ids), habits.SLOTS_A_DAY))
    for vehicle_id, slot, times in rows:
        counts[places[vehicle_id], slot] = times
    return counts


def prune(now: datetime) -> int:
    """Forget departures that are too old to learn from; return how many."""
    deleted, _ = Departure.objects.filter(left_at__lt=now - KEPT).delete()
    return deleted


def _due(program: Program, now: datetime) -> dict[int, int]:
    """Return cars whose habits were not looked at for long, by their enrolments."""
    enrolments = program.enrolments.active().exclude(learnt_at__gt=now - LEARNT_EVERY)
    return dict(enrolments.order_by("id").values_list("id", "vehicle_id")[:BATCH])


def _asked(program: Program, now: datetime) -> dict[str, Any]:
    """Return what statements ask with, and what is known of the program's cars."""
    cars = list(
        program.enrolments.active().order_by("id").values_list("vehicle_id", flat=True)
    )
    asked: dict[str, Any] = {
        "zone": program.time_zone,
        "since": now - KEPT,
        "block_hours": habits.BLOCK_HOURS,
        "slot_seconds": habits.SLOT_SECONDS,
        "slots": habits.SLOTS,
        "vehicles": cars[:: max(1, len(cars) // SAMPLE)],
    }
    _, of_program = _counts(OF_PROGRAM, asked)
    asked["of_program"] = of_program.sum(axis=0)
    asked["ready_by_slot"] = int(
        charging.seconds_of(program.ready_by) // habits.SLOT_SECONDS
    )
    return asked


def _counts(statement: str, asked: dict[str, Any]) -> tuple[list[int], Floats]:
    """Return cars, and their stays by block and last slot."""
    with connection.cursor() as cursor:
        cursor.execute(statement, asked)
        rows = np.array(cursor.fetchall(), dtype=np.int64).reshape(-1, 5)
    vehicle_ids, places = np.unique(rows[:, 0], return_inverse=True)
    counts = np.zeros((len(vehicle_ids), habits.DAYS, habits.BLOCKS, habits.SLOTS))
    counts[places, rows[:, 1], rows[:, 2], rows[:, 3]] = rows[:, 4]
    return vehicle_ids.tolist(), counts


@retried
@transaction.atomic
def _write(
    enrolment_ids: list[int],
    vehicle_ids: list[int],
    slots: habits.Ints,
    *,
    now: datetime,
) -> None:
    # An array of arrays would come apart into single numbers.
    weeks = [f"{{{','.join(map(str, week.ravel()))}}}" for week in slots]
    with connection.cursor() as cursor:
        cursor.execute(
            WRITE,
            {
                "enrolments": enrolment_ids,
                "vehicles": vehicle_ids,
                "slots": weeks,
                "now": now,
            },
        )
