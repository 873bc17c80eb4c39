"""What a person must know of an event beside its figures; and what it has shed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dispatch.planner.intents import Intents
from dispatch.planner.shapes import Act, Bools, Cars, Debt, Event, Program, Standing
from dispatch.planner.sight import counting, is_blind
from dispatch.planner.tracking import Line, Tally

# Two-sided 90 %.
SHED_Z = 1.645
# How wrong all cars may be together - batteries smaller than on paper, colder - of what
# the estimate says is over by now.
SHED_COMMON_SHARE = 0.15


# Of the cars that charge; some makes never tell what theirs draw.
UNTOLD_SHARE = 0.1


class Caution(StrEnum):
    """Shown on the event's page in these words."""

    NO_READINGS = "no car has told its state: nothing more is held"
    BLIND = "readings are too old: nothing more is held"
    BAD_POWER = "many cars tell no power that can be: their usual power counts"
    OUT_OF_REACH = "the target is above what can be held"
    CAP_BELOW = "more charges than the restore cap: cars wait for their latest start"
    FEEDER_CAP_BELOW = "more charges than the restore cap of a feeder: its cars wait"
    CLOCK_CHANGE = "the clocks change during this event: its hours are as posted"


@dataclass(frozen=True, slots=True)
class Shed:
    """An estimate with its 90 % interval (kW)."""

    kw: float
    low_kw: float
    high_kw: float


def cautions(
    program: Program, cars: Cars, event: Event, intents: Intents, *, now: float
) -> Iterator[Caution]:
    """Yield what is wrong with what an event was decided from, or came to."""
    if event.holding:
        if is_blind(program, cars, event, now):
            never = program.newest_reading_at == -np.inf
            yield Caution.NO_READINGS if never else Caution.BLIND
        elif _is_out_of_reach(program, cars, event, intents):
            yield Caution.OUT_OF_REACH
    charging = event.aimed & cars.consented & cars.charging
    untold = int((charging & ~cars.power_is_told).sum())
    if untold > UNTOLD_SHARE * int(charging.sum()):
        yield Caution.BAD_POWER
    is_owed = cars.owes(Debt.TAKEN) & (event.standing == Standing.CLAIMED)
    if is_owed.any() and program.ahead_kw[0] >= program.restore_cap_kw:
        yield Caution.CAP_BELOW
    full = [
        place
        for place, feeder in enumerate(program.feeders)
        if feeder.ahead_kw[0] >= feeder.restore_cap_kw
    ]
    if np.isin(cars.feeder[is_owed], full).any():
        yield Caution.FEEDER_CAP_BELOW
    if event.clocks_change:
        yield Caution.CLOCK_CHANGE


def _is_out_of_reach(
    program: Program, cars: Cars, event: Event, intents: Intents
) -> bool:
    """Say whether all that can be taken is taken, and falls short all the same."""
    if event.target_kw is None or event.holds_stopped:
        return False
    rules = program.tracking
    claimed = event.aimed & ~event.opted_out & (event.standing == Standing.CLAIMED)
    of_event = intents[intents.event_id == event.event_id]
    spared = of_event.to(Act.SPARE).place
    claimed[spared] = False
    held = Tally.of(cars, counting(cars, claimed), rules)
    new = of_event.to(Act.HOLD).place
    tally = held.plus(Line.of_free(cars, new, np.ones(len(new), dtype=bool)))
    return tally.expected_kw < event.target_kw * (1.0 - rules.dead_band)


def shed(cars: Cars, event: Event) -> Shed:
    """Estimate what an event's stopped cars would be drawing now without it.

    Each is either still charging or full by now, by its chance; all may be wrong in the
    same direction.
    """
    stopped: Bools = (
        counting(cars, event.aimed & (event.standing == Standing.CLAIMED)) & cars.shown
    )
    kw, share = cars.held_kw[stopped], cars.would_draw_share[stopped]
    mean = float((kw * share).sum())
    over_by_now = float(kw.sum()) - mean
    variance = float((kw**2 * share * (1.0 - share)).sum())
    variance += (SHED_COMMON_SHARE * over_by_now) ** 2
    spread = SHED_Z * variance**0.5
    return Shed(mean, max(mean - spread, 0.0), min(mean + spread, float(kw.sum())))
