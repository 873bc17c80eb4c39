"""Which cars a holding event joins and takes, and why the others are left alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dispatch import limits
from dispatch.planner.order import longest_slack_first, places, texts
from dispatch.planner.shapes import (
    MARGIN_SECONDS,
    ON_HOLD,
    Act,
    Area,
    Bools,
    Cars,
    Debt,
    Event,
    Intent,
    Program,
    Reason,
    Standing,
    Texts,
)
from dispatch.room import Room


@dataclass(slots=True)
class Aim:
    """A holding event while it is decided."""

    event: Event
    open_to_us: Bools
    wants: Bools  # what it claims, or joins now
    held_kw: float  # towards its target

    @classmethod
    def of(cls, event: Event, cars: Cars) -> Aim:
        """Return where an event stands before anything is decided."""
        asked = event.aimed & ~event.opted_out
        wants = asked & (event.standing == Standing.CLAIMED)
        # What goes back, for whatever reason, needs a substitute.
        counts = wants & np.isin(cars.debt, ON_HOLD) & (cars.area == Area.NONE)
        return cls(
            event,
            open_to_us=asked & cars.consented & (event.standing != Standing.ENDED),
            wants=wants,
            held_kw=float(cars.held_kw[counts].sum()),
        )

    def why_not(self, cars: Cars, place: int) -> Reason | None:
        """Return why the event takes no further car, or not this one."""
        if self.event.holds_stopped or cars.feeder_stopped[place]:
            return Reason.STOPPED
        target_kw = self.event.target_kw
        if target_kw is not None and self.held_kw >= target_kw:
            return Reason.ENOUGH
        return None

    def take(self, place: int, kw: float, *, percent: int | None = None) -> Intent:
        """Count a car in: held by a limit of so many percent, or else by a stop."""
        self.wants[place] = True
        self.held_kw += kw
        why = Reason.ALL if self.event.target_kw is None else Reason.TARGET
        if not self.event.holding:
            why = Reason.QUEUED
        return Intent(Act.HOLD, place, self.event.event_id, why, percent)

    def spare(self, verdicts: Texts, mask: Bools) -> Iterator[Intent]:
        """Say of these cars why they are left alone, changes alone."""
        event = self.event
        changed = (event.standing != Standing.SPARED) | (event.reason != verdicts)
        for place in places(mask & (verdicts != "") & changed):
            yield Intent(Act.SPARE, place, event.event_id, Reason(verdicts[place]))


def join(cars: Cars, aim: Aim, may_stay: Bools) -> Iterator[Intent]:
    """Yield cars that are held for other events, as far as this one needs them.

    They come before all others, and before anything is given back: they cost no call,
    and a car that one event lets go of just as the next begins stays as it is.
    """
    # One of its own may be on its way back: no longer aimed at, and now once more.
    returning = cars.debt == Debt.RETURNING
    on_hold = np.isin(cars.debt, ON_HOLD) & ~aim.wants
    on_hold &= (cars.debt != Debt.UNTAKEN) | cars.charging
    others = aim.open_to_us & (cars.area == Area.NONE)
    verdicts = texts(cars, "")
    verdicts[cars.latest_start < aim.event.ends_at + MARGIN_SECONDS] = Reason.READY_BY
    can_join = others & (on_hold | returning) & may_stay
    for place in longest_slack_first(cars, can_join & (verdicts == "")):
        if reason := aim.why_not(cars, place):
            verdicts[place] = reason
        else:
            yield aim.take(place, float(cars.held_kw[place]))
    going_back = cars.debt == Debt.RESTORING
    verdicts[going_back] = Reason.GOING_BACK
    yield from aim.spare(verdicts, (can_join | others & going_back) & ~aim.wants)


def take_further(
    program: Program, cars: Cars, aim: Aim, room: Room, taken: Bools
) -> Iterator[Intent]:
    """Yield holds of cars that nobody held, and why the others are left alone.

    Those that a more urgent event has `taken` in this turn come first.
    """
    free = aim.open_to_us & np.isin(cars.debt, [Debt.NONE, Debt.LAPSED])
    verdicts = _reasons_to_spare(cars, aim.event)
    eligible = free & (verdicts == "")
    by_limit = _by_limit(program, cars)
    calls = np.where(by_limit, limits.CALLS, 1).tolist()
    percents = limits.lowered(cars.soc_percent)
    for place in (
        *longest_slack_first(cars, eligible & taken),
        *longest_slack_first(cars, eligible & ~taken),
    ):
        if reason := aim.why_not(cars, place):
            verdicts[place] = reason
        elif not taken[place] and not room.take(
            cars.latest_start[place], aim.event.ends_at, calls=calls[place]
        ):
            verdicts[place] = Reason.NO_ROOM
        else:
            percent = int(percents[place]) if by_limit[place] else None
            yield aim.take(place, float(cars.power_kw[place]), percent=percent)
    yield from aim.spare(verdicts, free)


def _by_limit(program: Program, cars: Cars) -> Bools:
    """Say which cars would be held by a lower limit, the others by a stop (n).

    The program's tactic comes first; a car that cannot do that is held by the other.
    """
    can = cars.can_set_limit & limits.can_lower(cars.soc_percent, cars.limit_percent)
    return can if program.limit_first else can & ~cars.able


def _reasons_to_spare(cars: Cars, event: Event) -> Texts:
    """Return each car's first reason to be left alone, or "" (n)."""
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
    verdicts: Texts = np.select(
        [test for test, _ in tests],
        [np.array(str(reason), dtype="U40") for _, reason in tests],
        default=texts(cars, ""),
    )
    return verdicts
