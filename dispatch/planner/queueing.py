"""Cars that plug in after an event join those that wait for their start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from dispatch.planner.holding import Aim, take_further
from dispatch.planner.intents import Intents
from dispatch.planner.shapes import (
    MARGIN_SECONDS,
    Act,
    Bools,
    Cars,
    Debt,
    Event,
    Ints,
    Program,
    Reason,
    Standing,
)
from dispatch.room import Ceiling, Room


def queue_up(
    program: Program,
    cars: Cars,
    event: Event,
    aims: Sequence[Aim],
    room: Room,
    taken: Bools,
    *,
    restored: Ints,
    now: float,
) -> Iterator[Intents]:
    """Yield holds of cars that would charge ahead of those that wait.

    Nobody is held while the cap has room for all. Who must start before the first of
    those that wait overtakes them, unless the cap is exceeded. Whom the event held
    before is left alone, for a car starts once; whom a holding event may take is for
    that to judge. `restored` says who is given back in this turn.
    """
    waiting = cars.debt == Debt.TAKEN
    waiting[restored] = False
    ceiling = Ceiling(program.restore_cap_kw, program.ahead_kw)
    ceiling.add(cars.held_kw[restored], cars.charge_seconds[restored])
    if not (waiting.any() or ceiling.is_exceeded()):
        return
    first = cars.latest_start[waiting].min(initial=float("inf"))
    may_overtake = waiting.any() and not ceiling.is_exceeded()
    behind = cars.latest_start >= (first if may_overtake else now)
    judged = np.logical_or.reduce([aim.open_to_us for aim in aims], initial=False)
    turn = replace(
        event,
        ends_at=now,
        target_kw=None,
        aimed=event.aimed
        & event.queues
        & ((event.standing != Standing.CLAIMED) | (cars.debt == Debt.LAPSED))
        & cars.charging
        & behind
        & ~judged
        & ~taken,
    )
    nobody: Bools = np.zeros(cars.n, dtype=bool)
    aim = Aim.of(turn, cars, program, leaving=nobody, now=now)
    for part in take_further(program, cars, aim, room, taken):
        yield part.to(Act.HOLD)


def queued(cars: Cars, events: Sequence[Event], *, now: float) -> Bools:
    """Say who joined those that wait and whose stop has not left yet (n).

    Its event is over, and the stop is wanted all the same, as long as the car could
    still wait for its turn.
    """
    found: Bools = np.zeros(cars.n, dtype=bool)
    for event in events:
        if not event.holding:
            joined = event.standing == Standing.CLAIMED
            joined &= event.reason == Reason.QUEUED
            found |= joined & event.queues & event.aimed & ~event.opted_out
    found &= cars.consented & cars.charging
    return found & (cars.latest_start >= now + MARGIN_SECONDS)
