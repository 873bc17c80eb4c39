"""Which cars a holding event joins and takes, and why the others are left alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dispatch import limits
from dispatch.planner.intents import Intents, code
from dispatch.planner.order import least_slack_first, longest_slack_first
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
    Ints,
    Program,
    Reason,
    Standing,
    Texts,
)
from dispatch.planner.sight import counting, is_blind
from dispatch.planner.tracking import Line, Tally, in_order, surplus
from dispatch.room import Room

TEXTS: Texts = np.array(REASONS, dtype=str)


@dataclass(slots=True)
class Aim:
    """A holding event while it is decided."""

    event: Event
    open_to_us: Bools
    wants: Bools  # what it claims, or joins now
    tally: Tally  # towards its target
    is_blind: bool
    lets_go: Bools  # more than its target needs

    @classmethod
    def of(
        cls, event: Event, cars: Cars, program: Program, *, leaving: Bools, now: float
    ) -> Aim:
        """Return where an event stands before anything is decided.

        `leaving` says who is let go of, or given back, in this turn whatever it wants:
        each needs a substitute now, not in the next turn.
        """
        asked = event.aimed & ~event.opted_out
        wants = asked & (event.standing == Standing.CLAIMED)
        return cls(
            event,
            open_to_us=asked & cars.consented & (event.standing != Standing.ENDED),
            wants=wants,
            tally=Tally.of(cars, counting(cars, wants & ~leaving), program.tracking),
            is_blind=is_blind(program, cars, event, now),
            lets_go=asked
            & cars.owes(Debt.TAKEN)
            & (event.standing == Standing.SPARED)
            & (event.reason == Reason.ENOUGH),
        )

    def is_stopped(self, cars: Cars) -> Bools:
        """Say for which cars the switch is set (n)."""
        return cars.feeder_stopped | self.event.holds_stopped

    def needs(self, line: Line) -> int:
        """Return how many of a line the target takes; without one, all."""
        target_kw = self.event.target_kw
        return len(line) if target_kw is None else self.tally.needed(line, target_kw)

    def take(self, line: Line, *, percents: Ints | int = 0) -> Intents:
        """Count cars in: held by limits of so many percent, or with 0 by a stop."""
        event = self.event
        self.wants[line.places] = True
        self.tally = self.tally.plus(line)
        why = Reason.ALL if event.target_kw is None else Reason.TARGET
        if not event.holding:
            why = Reason.QUEUED
        return Intents.of(
            Act.HOLD, line.places, why, event_id=event.event_id, limit_percent=percents
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
    if aim.is_blind:
        verdicts[:] = code(Reason.BLIND)
    verdicts[late] = code(Reason.READY_BY)

    line = Line.of_held(
        cars, longest_slack_first(cars, can_join & (verdicts == NO_REASON))
    )
    needed = aim.needs(line)
    verdicts[line.places[needed:]] = code(Reason.ENOUGH)
    yield aim.take(line[:needed])
    going_back = cars.debt == Debt.RESTORING
    verdicts[going_back] = code(Reason.GOING_BACK)
    yield aim.spare(verdicts, (can_join | others & going_back) & ~aim.wants)


def let_go(cars: Cars, aim: Aim, aims: Sequence[Aim]) -> Iterator[Intents]:
    """Yield cars that an event holds beyond its target, least slack first.

    Those whose stop has not left cost nothing and are called off before others.
    """
    event = aim.event
    if event.target_kw is None or aim.is_blind:
        return
    can_go = aim.wants & cars.owes(Debt.UNTAKEN, Debt.TAKEN) & (cars.area == Area.NONE)
    for other in aims:
        if other is not aim:
            can_go &= ~other.wants
    line = least_slack_first(cars, can_go)
    line = line[np.argsort(cars.debt[line] == Debt.TAKEN, kind="stable")]
    places = surplus(cars, aim.tally, event.target_kw, line)
    aim.wants[places] = False
    aim.lets_go[places] = True
    aim.tally = aim.tally.plus(Line.of_held(cars, places), sign=-1.0)
    yield Intents.of(Act.SPARE, places, Reason.ENOUGH, event_id=event.event_id)


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
    if aim.is_blind:
        verdicts[verdicts == NO_REASON] = code(Reason.BLIND)
    eligible = free & (verdicts == NO_REASON)
    by_limit = _by_limit(program, cars)
    calls = np.where(by_limit, limits.CALLS, 1)

    rules = aim.tally.rules
    ends_at = aim.event.ends_at
    # Whoever fits when all are asked for also fits when fewer are taken.
    fits = taken.copy()
    fresh = longest_slack_first(cars, eligible & ~taken)
    fits[fresh] = room.fits(cars.latest_start[fresh], calls[fresh], ends_at=ends_at)
    places = np.concatenate(
        [
            in_order(cars, eligible & mask, ends_at, calls, rules)
            for mask in (taken, ~taken)
        ]
    )
    line = Line.of_free(cars, places, fits[places])
    needed = aim.needs(line)
    verdicts[places[needed:]] = code(Reason.ENOUGH)
    verdicts[places[:needed]] = code(Reason.NO_ROOM)
    line = line[:needed][fits[places[:needed]]]
    places = line.places
    verdicts[places] = NO_REASON

    booked = places[~taken[places]]
    room.book(cars.latest_start[booked], calls[booked])
    taken[places] = True
    percents = np.where(by_limit, limits.lowered(cars.soc_percent), 0)
    yield aim.take(line, percents=percents[places].astype(np.int64))
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
