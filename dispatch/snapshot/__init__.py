"""Observe: rows to the planner's arrays, all of one moment.

Seven queries a program, whatever the number of cars; three more an event, and one if
it is aimed. Under a restore cap, or once an event is over, two more while anything is
owed; one more where a program has open holds on feeders, and three while any of these
bounds its restores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from django.db.models import Q

from dispatch import holds, limits, planner, restore_caps, room
from dispatch.lifecycle import EventStatus
from dispatch.models import Envelope, GridEvent, Hold
from dispatch.planner import Debt, Standing
from dispatch.snapshot import feeders, fleet, rows, standings
from dispatch.snapshot.coming import coming_kw
from fleets.models import Bucket, Program, Tactic
from fleets.providers import throttle


@dataclass(frozen=True)
class Snapshot:
    """What `planner.decide` needs for one program at one moment."""

    program: planner.Program
    cars: planner.Cars
    charging_kw: float  # drawn by its cars, with restores on their way
    events: list[planner.Event]
    provider: planner.Provider


def take(program: Program, events: Sequence[GridEvent], *, now: datetime) -> Snapshot:
    """Return one program's arrays; `events` in the order of `in_order()`."""
    columns = rows.columns(program, now)
    bounding = feeders.bounding(columns)
    cars = fleet.cars(program, columns, now, bounding=[one.pk for one in bounding])
    observed_at = np.array(columns["observed_at"], dtype=float)
    drawn_kw = fleet.drawn_kw(columns, cars)
    promised = program.restore_within_hours * 3600.0
    overnight = np.array(columns["overnight"], dtype=bool)
    within = np.where(overnight, np.inf, promised)
    standing = [
        standings.of(event, program, cars, observed_at, within, overnight)
        for event in events
    ]
    ahead_kw = room.ahead_kw(drawn_kw, cars.charge_seconds)
    is_bounded = program.restore_cap_kw is not None or any(
        event.status == EventStatus.RESTORING for event in events
    )
    if is_bounded and cars.owes(Debt.TAKEN).any():
        ours = np.zeros(cars.n, dtype=bool)
        for one in standing:
            ours |= (one.standing == Standing.CLAIMED) | (
                one.standing == Standing.ENDED
            )
        here_kw = room.ahead_kw(np.where(ours, 0.0, drawn_kw), cars.charge_seconds)
        coming = coming_kw(program, here_kw, now=now)
        ahead_kw += coming * _share_left_alone(cars, standing)
    return Snapshot(
        program=replace(
            _program(program, events, ahead_kw, now),
            newest_reading_at=float(observed_at.max(initial=-np.inf)),
            feeders=feeders.of(bounding, cars, drawn_kw, now=now),
        ),
        cars=cars,
        charging_kw=float(drawn_kw.sum()),
        events=standing,
        provider=_provider(program, columns["usual_power_kw"]),
    )


def _share_left_alone(cars: planner.Cars, events: Sequence[planner.Event]) -> float:
    """Return how many of the cars that are still to come would charge at once.

    The others wait for their turn, in which they count.
    """
    waits = np.zeros(cars.n, dtype=bool)
    for event in events:
        if not event.holding:
            waits |= event.queues
    return float(1.0 - waits[cars.consented].mean()) if cars.consented.any() else 1.0


def _provider(program: Program, usual_kw: Sequence[float]) -> planner.Provider:
    """Return what can be given back, at half of the present rate."""
    bucket = Bucket.objects.filter(name=throttle.APPLICATION).first()
    # One that waits for its plug-in needs no call by any moment.
    owed = (
        Hold.objects.open()
        .exclude(holds.AWAY)
        .values_list("latest_start_at", "our_limit_percent")
    )
    rate = throttle.calls_per_minute()
    if usual_kw:
        # Whatever the provider could take, no more leaves than the envelopes let.
        rate = min(rate, _restoring_kw_per_minute(program) / float(np.mean(usual_kw)))
    return planner.Provider(
        reserve_calls=throttle.reserve_calls(bucket) if bucket else 0.0,
        restores_per_minute=rate / 2.0,
        owed_latest_starts=np.array(
            [
                moment.timestamp() if moment else np.inf
                for moment, ours in owed
                for _ in range(1 if ours is None else limits.CALLS)
            ],
            dtype=float,
        ),
    )


def _restoring_kw_per_minute(program: Program) -> float:
    """Return the most kW a minute that may be given back, of the program or at all."""
    bounds = Envelope.objects.filter(
        Q(program=program) | Q(program=None, feeder=None)
    ).values_list("restoring_max_kw_per_minute", "max_kw_per_minute")
    return min((back or hold for back, hold in bounds), default=float("inf"))


def _program(
    program: Program,
    events: Sequence[GridEvent],
    ahead_kw: planner.Floats,
    now: datetime,
) -> planner.Program:
    """Return the rules, and what is going on."""
    a_minute_ago = now - timedelta(minutes=1)
    restored = Hold.objects.filter(
        event__program=program, restoring_at__gt=a_minute_ago
    ).values_list("power_kw", "restore_reason")
    return planner.Program(
        limit_first=program.tactic == Tactic.LIMIT,
        restore_cap_kw=restore_caps.in_force(program, events).kw,
        restore_ramp_kw_per_minute=program.restore_ramp_kw_per_minute,
        ahead_kw=ahead_kw,
        restored_kw_last_minute=float(sum(kw for kw, _ in restored)),
        pick_up_ramp_kw_per_minute=program.pick_up_ramp_kw_per_minute,
        picked_up_kw_last_minute=float(
            sum(kw for kw, why in restored if why == planner.Reason.PICK_UP)
        ),
        tracking=planner.Tracking(
            confidence=program.target_confidence_percent / 100.0,
            maker_outage=program.maker_outage_percent / 100.0,
            dead_band=program.dead_band_percent / 100.0,
            let_go_above=program.let_go_above_percent / 100.0,
            slack_weight=program.slack_weight,
            kw_weight=program.kw_weight,
            rotation_weight=program.rotation_weight,
        ),
    )
