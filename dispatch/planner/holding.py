"""Which cars a holding event joins and takes, and why the others are left alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dispatch import limits
from dispatch.planner.intents import Intents, code
from dispatch.planner.order import by_number, longest_slack_first
from dispatch.planner.shapes import (
    MARGIN_SECONDS,
    NO_REASON,
    ON_HOLD,
    REASONS,
    Act,
    Area,
    Bools,
    Cars,
    Codes,
    Debt,
    Event,
    Floats,
    Ints,
    Program,
    Reason,
    Standing,
    Texts,
)
from dispatch.room import Room

TEXTS: Texts = np.array(REASONS, dtype=str)


@dataclass(slots=True)
class Aim:
    """A holding event while it is decided."""

    event: Event
    open_to_us: Bools
    wants: Bools  # what it claims, or joins now
    held_kw: float  # towards its target

    @classmethod
    def of(cls, event: Event, cars: Cars, leaving: Bools) -> Aim:
        """Return where an event stands before anything is decided.

        `leaving` says who is let go of, or given back, in this turn whatever it wants:
        each needs a substitute now, not in the next turn.
        """
        asked = event.aimed & ~event.opted_out
        wants = asked & (event.standing == Standing.CLAIMED)
        counts = wants & cars.owes(*ON_HOLD) & (cars.area == Area.NONE) & ~leaving
        return cls(
            event,
            open_to_us=asked & cars.consented & (event.standing != Standing.ENDED),
            wants=wants,
            held_kw=float(cars.held_kw[by_number(cars, counts)].sum()),
        )

    def is_stopped(self, cars: Cars) -> Bools:
        """Say for which cars the switch is set (n)."""
        return cars.feeder_stopped | self.event.holds_stopped

    def has_enough(self, kw: Floats) -> Bools:
        """Say of a line of cars, of so many kW each, who comes after the target."""
        if self.event.target_kw is None:
            return np.zeros(len(kw), dtype=bool)
        before = np.cumsum(np.concatenate([[self.held_kw], kw]))[:-1]
        return np.logical_or.accumulate(before >= self.event.target_kw)

    def take(self, places: Ints, kw: Floats, *, percents: Ints | int = 0) -> Intents:
        """Count cars in: held by limits of so many percent, or with 0 by a stop."""
        event = self.event
        self.wants[places] = True
        self.held_kw = float(np.cumsum(np.concatenate([[self.held_kw], kw]))[-1])
        why = Reason.ALL if event.target_kw is None else Reason.TARGET
        return Intents.of(
            Act.HOLD, places, why, event_id=event.event_id, limit_percent=percents
        )

    def spare(self, verdicts: Codes, mask: Bools) -> Intents:
        """Say of these cars why they are left alone, changes alone."""
        event = self.event
        judged = np.flatnonzero(mask & (verdicts != NO_REASON))
        changed = (event.standing[judged] != Standing.SPARED) | (
            event.reason[judged] != TEXTS[verdicts[judged]]
        )
        places = judged[changed]
        return Intents.of(Act.SPARE, places, verdicts[places], event_id=event.event_id)


def join(cars: Cars, aim: Aim, may_stay: Bools) -> Iterator[Intents]:
    """Yield cars that are held for other events, as far as this one needs them.

    They come before all others, and before anything is given back: they cost no call,
    and a car that one event lets go of just as the next begins stays as it is.
    """
    # One of its own may be on its way back: no longer aimed at, and now once more.
    returning = cars.debt == Debt.RETURNING
    on_hold = cars.owes(*ON_HOLD) & ~aim.wants
    on_hold &= (cars.debt != Debt.UNTAKEN) | cars.charging
    others = aim.open_to_us & (cars.area == Area.NONE)
    can_join = others & (on_hold | returning) & may_stay
    late = cars.latest_start < aim.event.ends_at + MARGIN_SECONDS
    verdicts = np.full(cars.n, NO_REASON, dtype=np.int8)
    verdicts[aim.is_stopped(cars)] = code(Reason.STOPPED)
    verdicts[late] = code(Reason.READY_BY)

    line = longest_slack_first(cars, can_join & (verdicts == NO_REASON))
    enough = aim.has_enough(cars.held_kw[line])
    verdicts[line[enough]] = code(Reason.ENOUGH)
    places = line[~enough]
    yield aim.take(places, cars.held_kw[places])
    going_back = cars.debt == Debt.RESTORING
    verdicts[going_back] = code(Reason.GOING_BACK)
    yield aim.spare(verdicts, (can_join | others & going_back) & ~aim.wants)


def take_further(
    program: Program, cars: Cars, aim: Aim, room: Room, taken: Bools
) -> Iterator[Intents]:
    """Yield holds of cars that nobody held, and why the others are left alone.

    Those that a more urgent event has `taken` in this turn come first: their restores
    are booked.
    """
    free = aim.open_to_us & cars.owes(Debt.NONE, Debt.LAPSED)
    verdicts = _reasons_to_spare(cars, aim.event)
    verdicts[(verdicts == NO_REASON) & aim.is_stopped(cars)] = code(Reason.STOPPED)
    eligible = free & (verdicts == NO_REASON)
    by_limit = _by_limit(program, cars)
    calls = np.where(by_limit, limits.CALLS, 1)

    shared = longest_slack_first(cars, eligible & taken)
    fresh = longest_slack_first(cars, eligible & ~taken)
    has_room = room.fits(
        cars.latest_start[fresh], calls[fresh], ends_at=aim.event.ends_at
    )
    line = np.concatenate([shared, fresh])
    fits = np.concatenate([np.ones(len(shared), dtype=bool), has_room])
    enough = aim.has_enough(np.where(fits, cars.power_kw[line], 0.0))
    verdicts[line] = np.where(enough, code(Reason.ENOUGH), code(Reason.NO_ROOM))
    places = line[fits & ~enough]
    verdicts[places] = NO_REASON

    booked = places[~taken[places]]
    room.book(cars.latest_start[booked], calls[booked])
    taken[places] = True
    percents = np.where(by_limit, limits.lowered(cars.soc_percent), 0)
    yield aim.take(
        places, cars.power_kw[places], percents=percents[places].astype(np.int64)
    )
    yield aim.spare(verdicts, free)


def _by_limit(program: Program, cars: Cars) -> Bools:
    """Say which cars would be held by a lower limit, the others by a stop (n).

    The program's tactic comes first; a car that cannot do that is held by the other.
    """
    can = cars.can_set_limit & limits.can_lower(cars.soc_percent, cars.limit_percent)
    return can if program.limit_first else can & ~cars.able


def _reasons_to_spare(cars: Cars, event: Event) -> Codes:
    """Return each car's first reason to be left alone, or NO_REASON (n)."""
    can_lower = limits.can_lower(cars.soc_percent, cars.limit_percent)
    stuck = ~cars.able & ~(cars.can_set_limit & can_lower)
    unheard = (event.reason == Reason.REFUSED) & ~event.has_news
    tests = [
        (cars.area != Area.NONE, Reason.AREA_OFF),
        (~cars.known, Reason.UNKNOWN),
        (~cars.plugged_in, Reason.UNPLUGGED),
        (cars.away, Reason.AWAY),
        (~cars.at_home, Reason.HOME_UNKNOWN),
        (~cars.charging, Reason.NOT_CHARGING),
        (stuck & ~cars.can_set_limit, Reason.UNABLE),
        (stuck & np.isnan(cars.limit_percent), Reason.LIMIT_UNKNOWN),
        (stuck, Reason.LIMIT_UNFIT),
        (cars.soc_percent < cars.minimum_percent, Reason.BELOW_MINIMUM),
        (cars.latest_start < event.ends_at + MARGIN_SECONDS, Reason.READY_BY),
        (cars.calls_left <= 0, Reason.NO_CALLS),
        (cars.holds_left <= 0, Reason.CYCLES),
        (unheard, Reason.REFUSED),
    ]
    verdicts: Codes = np.select(
        [test for test, _ in tests],
        [np.int8(code(reason)) for _, reason in tests],
        default=np.int8(NO_REASON),
    )
    return verdicts
