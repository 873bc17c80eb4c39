"""Who is given back: those that cannot wait, then by least slack under the bounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from dispatch.planner.bounds import Bounds
from dispatch.planner.holding import Aim
from dispatch.planner.intents import Intents, code
from dispatch.planner.order import least_slack_first
from dispatch.planner.shapes import (
    MARGIN_SECONDS,
    Act,
    Area,
    Bools,
    Cars,
    Codes,
    Debt,
    Event,
    Floats,
    Program,
    Provider,
    Reason,
    Standing,
)
from dispatch.room import Bound


def give_back(
    program: Program,
    cars: Cars,
    aims: Sequence[Aim],
    pressing: Bools,
    opted_out: Bools,
    staying: Bools,
) -> Iterator[Intents]:
    """Yield restores: those that cannot wait, then by least slack under the bounds.

    `staying` says whose stop is still to come although its event is over.
    """
    wanted: Bools = np.zeros(cars.n, dtype=bool)
    beyond: Bools = np.zeros(cars.n, dtype=bool)  # a target
    for aim in aims:
        wanted |= aim.wants
        beyond |= aim.lets_go
    off = cars.area != Area.NONE
    wanted &= cars.consented & ~off

    untaken = cars.debt == Debt.UNTAKEN
    for mask, reason in (
        (cars.debt == Debt.LAPSED, Reason.OVERTAKEN),
        (untaken & off, Reason.AREA_OFF),
        (untaken & ~off & ~wanted & beyond, Reason.ENOUGH),
        (untaken & ~off & ~wanted & ~beyond & ~staying, Reason.EVENT_OVER),
        (untaken & wanted & ~cars.charging, Reason.NOT_CHARGING),
    ):
        yield Intents.of(Act.DROP, np.flatnonzero(mask), reason)

    taken = _owed_now(cars)
    persons = taken & ~wanted & (opted_out | ~cars.consented)
    picked_up = taken & (cars.area == Area.PICK_UP)
    at_once = (pressing | persons) & ~picked_up
    bounds = Bounds(program, cars)
    places = least_slack_first(cars, at_once)
    bounds.add(places)
    theirs = np.where(cars.consented, code(Reason.OPTED_OUT), code(Reason.WITHDRAWN))
    reasons = np.where(persons, theirs, code(Reason.LATEST_START))
    yield Intents.of(Act.RESTORE, places, reasons[places])

    # What comes back after an outage meets everything that starts by itself: there even
    # the pressing ones, who are first in the line, go by its ramp.
    pick_up = Bound(
        program.pick_up_ramp_kw_per_minute, program.picked_up_kw_last_minute
    )
    urgent = picked_up & (pressing | persons)
    beyond_or_over = np.where(beyond, code(Reason.ENOUGH), code(Reason.EVENT_OVER))
    lines: Sequence[tuple[Bools, Reason | Codes, bool, bool]] = (
        (urgent, Reason.PICK_UP, False, False),
        (picked_up & ~urgent, Reason.PICK_UP, True, True),
        # People need their cars: the cap, which spares the peak, does not delay them.
        (taken & (cars.area == Area.OFF) & ~at_once, Reason.AREA_OFF, False, True),
        (taken & ~wanted & ~off & ~at_once, beyond_or_over, True, True),
    )
    for line, why, capped, ramped in lines:
        places = least_slack_first(cars, line)
        places = bounds.admitted(places, capped=capped, ramped=ramped)
        if why is Reason.PICK_UP:
            places = places[: pick_up.admits(cars.held_kw[places])]
            pick_up.add(cars.held_kw[places])
        bounds.add(places)
        yield Intents.of(
            Act.RESTORE, places, why if isinstance(why, Reason) else why[places]
        )


def promised_back(cars: Cars, events: Sequence[Event], aims: Sequence[Aim]) -> Cars:
    """Let cars whose events are over start early enough to be back in time.

    Of cars that no event wants any more.
    """
    back = back_by(cars, events)
    due = (back > -np.inf) & (cars.debt == Debt.TAKEN)
    for aim in aims:
        due &= ~aim.wants
    starts = np.where(due, back - cars.charge_seconds, np.inf)
    return replace(cars, latest_start=np.minimum(cars.latest_start, starts))


def back_by(cars: Cars, events: Sequence[Event]) -> Floats:
    """Return by when cars of events that are over are charged again; -inf: of none (n).

    The last of a car's events counts.
    """
    found = np.full(cars.n, -np.inf)
    for event in events:
        if not event.holding:
            claimed = event.standing == Standing.CLAIMED
            found[claimed] = np.maximum(found[claimed], event.back_by[claimed])
    return found


def _owed_now(cars: Cars) -> Bools:
    """Say which cars are stopped, or may be, and can be commanded (n)."""
    owed: Bools = (cars.debt == Debt.TAKEN) & (cars.area != Area.DARK)
    return owed


def pressing_cars(cars: Cars, provider: Provider, now: float) -> Bools:
    """Say which cars must be restored now, whoever wants them (n).

    The margin alone would do if calls were free; each in line also waits for the calls
    of those before it at half of the provider's rate.
    """
    taken = _owed_now(cars)
    bound = np.full(len(cars.vehicle_id), now + MARGIN_SECONDS)
    in_line = least_slack_first(cars, taken)
    calls = cars.restore_calls[in_line]
    beyond = np.maximum(np.cumsum(calls) - 1 - provider.reserve_calls, 0.0)
    bound[in_line] += beyond / max(provider.restores_per_minute, 1e-9) * 60.0
    pressing: Bools = taken & (cars.latest_start <= bound)
    return pressing
