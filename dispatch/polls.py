"""Ask cars whose webhooks are silent whether they have come home: sparingly.

A poll costs a call of the application's and one of the car's month. So only cars that
an event would take are asked, only where webhooks are silent, when they are likely to
have come, the most kW a call first, and from what others leave (`claims.POLLS`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db import connection

from dispatch.claims import POLLS
from dispatch.planner import Bools, Cars, Debt, Event, Standing
from fleets import departures, habits
from fleets.models import Program
from fleets.providers import makes, throttle

# Among all its cars one says something at least that often, beside its data's age.
MAKE_IS_SILENT_AFTER = timedelta(minutes=30)
# Whoever lives with a car plugs it in, unplugs it or charges it within two days.
ACCOUNT_IS_SILENT_AFTER = timedelta(days=2)
# Between two polls of a car, at least; more where its data is older than that.
SPACING = timedelta(minutes=10)
# Less likely than that, the call is better kept.
LIKELY_FROM = 0.05
# An answer that comes later than that is asked for anew.
EXPIRES_AFTER = timedelta(minutes=10)

MAKES = """
select make, max(webhook_at) from fleets_vehicle group by make
"""
# Half of a car's month is left to what is commanded.
SILENT = f"""
select v.id, v.make, v.usual_power_kw, greatest(v.received_at, p.asked_at)
from fleets_vehicle v
join fleets_vehiclebucket b on b.vehicle_id = v.id
left join dispatch_poll p on p.vehicle_id = v.id
where v.id = any(%(vehicles)s)
    and coalesce(greatest(v.received_at, p.asked_at) <= %(before)s, true)
    and (v.make = any(%(silent_makes)s) or not exists (
        select from fleets_vehicle o
        where o.account_id = v.account_id and o.webhook_at > %(account_since)s
    ))
    and {throttle.vehicle_may("1")}
    and {throttle.VEHICLE_CALLS} < %(month_calls)s / 2
order by v.id
"""  # noqa: S608  (constant text)
QUEUE = """
insert into dispatch_poll (vehicle_id, due_at, expires_at, expected_kw)
select vehicle_id, %(now)s, %(expires_at)s, expected_kw
from unnest(%(vehicles)s::bigint[], %(kws)s::float8[]) as n (vehicle_id, expected_kw)
order by vehicle_id
on conflict (vehicle_id) do update set due_at = excluded.due_at,
    expires_at = excluded.expires_at, expected_kw = excluded.expected_kw
"""


def queue(
    program: Program, cars: Cars, events: Sequence[Event], *, now: datetime
) -> int:
    """Queue polls of cars that may have come home unheard; return how many."""
    wanted = _wanted(cars, events)
    if not wanted.any():
        return 0
    # An estimate: the claim counts again.
    budget = throttle.glance(now)
    room = budget.calls(for_restore=False, keep_share=POLLS.keep_share)
    if room <= 0:
        return 0
    silent = _silent(cars.vehicle_id[wanted].tolist(), now)
    if not silent:
        return 0
    zone = program.zone
    looked = [row[3] or now - timedelta(days=1) for row in silent]
    slot = timedelta(seconds=habits.SLOT_SECONDS)
    shares = habits.arrival_shares(
        departures.arrivals([row[0] for row in silent], program, now=now),
        looked_slot=np.array([_slot(at.astimezone(zone)) for at in looked]),
        slots_since=np.array([(now - at) // slot for at in looked]),
    )
    expected_kw = shares * np.array([row[2] for row in silent])
    spacing = [max(SPACING, makes.freshness(row[1])) for row in silent]
    rested = np.array(
        [now - at >= wait for at, wait in zip(looked, spacing, strict=True)]
    )
    may_have_come = np.flatnonzero((shares >= LIKELY_FROM) & rested)
    first = may_have_come[np.argsort(-expected_kw[may_have_come], kind="stable")][:room]
    if not len(first):
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            QUEUE,
            {
                "now": now,
                "expires_at": now + EXPIRES_AFTER,
                "vehicles": [silent[place][0] for place in first.tolist()],
                "kws": expected_kw[first].tolist(),
            },
        )
    return len(first)


def _wanted(cars: Cars, events: Sequence[Event]) -> Bools:
    """Say whom an event would judge anew, did we know that they charge (n)."""
    aimed: Bools = np.zeros(cars.n, dtype=bool)
    for event in events:
        if not event.holds_stopped:
            judged = event.aimed if event.holding else event.aimed & event.queues
            aimed |= judged & ~event.opted_out & (event.standing != Standing.ENDED)
    charges = cars.known & cars.charging
    return aimed & cars.consented & cars.owes(Debt.NONE) & ~charges


def _silent(vehicle_ids: list[int], now: datetime) -> list[tuple[Any, ...]]:
    """Return those of whom no webhook would tell, with the last time they were heard.

    A make is silent when none of its cars speaks; an account, when none of its has.
    """
    with connection.cursor() as cursor:
        cursor.execute(MAKES)
        silent_makes = [
            make
            for make, spoke_at in cursor.fetchall()
            if spoke_at is None
            or spoke_at < now - MAKE_IS_SILENT_AFTER - makes.freshness(make)
        ]
        cursor.execute(
            SILENT,
            {
                **throttle.vehicle_parameters(now, for_restore=False),
                "vehicles": vehicle_ids,
                "before": now - SPACING,
                "silent_makes": silent_makes,
                "account_since": now - ACCOUNT_IS_SILENT_AFTER,
            },
        )
        return list(cursor.fetchall())


def _slot(local: datetime) -> int:
    return (local.hour * 3600 + local.minute * 60) // habits.SLOT_SECONDS
