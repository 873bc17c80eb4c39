"""Cars that plug in after an event join those that wait for their start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from dispatch.planner.holding import Aim, take_further
from dispatch.planner.intents import Intents
from dispatch.planner.shapes import Act, Bools, Cars, Debt, Event, Ints, Program
from dispatch.room import Room


def queue_up(
    program: Program,
    cars: Cars,
    event: Event,
    room: Room,
    taken: Bools,
    *,
    restored: Ints,
    now: float,
) -> Iterator[Intents]:
    """Yield holds of cars that would charge ahead of those that wait.

    Nobody is held while the cap has room for all, nor who must start before the first
    of those that wait. `restored` says who is given back in this turn.
    """
    waiting = cars.debt == Debt.TAKEN
    waiting[restored] = False
    if not waiting.any() and program.ahead_kw.max() <= program.restore_cap_kw:
        return
    first = cars.latest_start[waiting].min(initial=float("inf"))
    behind = cars.latest_start >= (first if waiting.any() else now)
    turn = replace(
        event,
        ends_at=now,
        target_kw=None,
        aimed=event.aimed & cars.charging & behind & ~taken,
    )
    nobody: Bools = np.zeros(cars.n, dtype=bool)
    aim = Aim.of(turn, cars, program, leaving=nobody, now=now)
    for part in take_further(program, cars, aim, room, taken):
        yield part.to(Act.HOLD)
