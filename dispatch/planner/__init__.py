"""The control law: what to hold, spare and restore now. Pure; see planner.md.

    decide(program, cars, events, provider, now) -> intents with reasons

The start of an event, the catch of a car that plugs in, the substitute for one that did
not respond, and the restore by slack under a cap are this one function at different
moments. It keeps no memory: all it knows is in its arguments, so it survives any crash,
and a dry run is the same call over a simulated fleet.

Arrays are as long as the fleet (n), one place a car; times are seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dispatch.planner.breaches import Breaches, breaches
from dispatch.planner.cautions import Caution, Shed, cautions, shed
from dispatch.planner.holding import Aim, join, let_go, take_further
from dispatch.planner.intents import Intent, Intents
from dispatch.planner.queueing import queue_up, queued
from dispatch.planner.restoring import back_by, give_back, pressing_cars, promised_back
from dispatch.planner.shapes import (
    ACTS,
    MARGIN_SECONDS,
    ON_HOLD,
    REASONS,
    Act,
    Area,
    Bools,
    Cars,
    Debt,
    Event,
    Feeder,
    Floats,
    Ints,
    Program,
    Provider,
    Reason,
    Standing,
    Texts,
    Tracking,
)
from dispatch.room import Room

__all__ = [
    "ACTS",
    "MARGIN_SECONDS",
    "ON_HOLD",
    "REASONS",
    "Act",
    "Area",
    "Bools",
    "Breaches",
    "Cars",
    "Caution",
    "Debt",
    "Event",
    "Feeder",
    "Floats",
    "Intent",
    "Intents",
    "Ints",
    "Program",
    "Provider",
    "Reason",
    "Shed",
    "Standing",
    "Texts",
    "Tracking",
    "back_by",
    "breaches",
    "cautions",
    "decide",
    "shed",
]


def decide(
    program: Program,
    cars: Cars,
    events: Sequence[Event],
    provider: Provider,
    *,
    now: float,
) -> Intents:
    """Return what to do now; `events` in the order in which overlaps are decided."""
    pressing = pressing_cars(cars, provider, now)
    opted_out: Bools = np.zeros(cars.n, dtype=bool)  # of any event
    for event in events:
        opted_out |= event.opted_out
    in_vain = (cars.debt == Debt.UNTAKEN) & ~cars.charging
    leaving = pressing | in_vain | ~cars.consented
    aims = [
        Aim.of(event, cars, program, leaving=leaving, now=now)
        for event in events
        if event.holding
    ]
    joins = [
        found for aim in aims for found in join(cars, aim, ~(pressing | opted_out))
    ]
    joins += [found for aim in aims for found in let_go(cars, aim, aims)]
    # Only now it is known whom no event wants any more.
    cars = promised_back(cars, events, aims)
    pressing = pressing_cars(cars, provider, now)
    staying = queued(cars, events, now=now)
    intents = list(give_back(program, cars, aims, pressing, opted_out, staying))
    intents += joins
    room = Room(
        provider.owed_latest_starts,
        reserve_calls=provider.reserve_calls,
        per_minute=provider.restores_per_minute,
        now=now,
    )
    taken: Bools = np.zeros(cars.n, dtype=bool)
    for aim in aims:
        intents += take_further(program, cars, aim, room, taken)
    for event in events:
        if event.queues.any() and not event.holding:
            restored = Intents.joined(intents).to(Act.RESTORE).place
            intents += queue_up(
                program, cars, event, aims, room, taken, restored=restored, now=now
            )
    return Intents.joined(intents)
