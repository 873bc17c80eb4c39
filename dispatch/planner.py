"""The control law: what to hold, spare and restore now. Pure; see planner.md.

    decide(program, cars, events, provider, now) -> intents with reasons

The start of an event, the catch of a car that plugs in, the substitute for one that did
not respond, and the restore by slack under a cap are this one function at different
moments. It keeps no memory: all it knows is in its arguments, so it survives any crash,
and a dry run is the same call over a simulated fleet.

Arrays are as long as the fleet (n), one place a car; times are seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dispatch.reasons import Act, Area, Debt, Reason, Standing
from dispatch.room import Bound, Room

# Its words are told with it.
__all__ = [
    "MARGIN_SECONDS",
    "Act",
    "Area",
    "Cars",
    "Debt",
    "Event",
    "Intent",
    "Program",
    "Provider",
    "Reason",
    "Standing",
    "decide",
]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Texts = NDArray[np.str_]


@dataclass(frozen=True)
class Cars:
    """A program's cars, and those that it still owes something."""

    vehicle_id: Ints
    consented: Bools  # an active enrolment in the program
    known: Bools  # its state is known, and recent enough to act upon
    plugged_in: Bools
    charging: Bools
    at_home: Bools
    away: Bools
    able: Bools  # can be stopped, and started again, at its present charge
    soc_percent: Floats
    minimum_percent: Floats
    power_kw: Floats  # what it draws, or would
    latest_start: Floats  # still ready by its departure, if it charges from then on
    calls_left: Ints  # this month, beyond the reserve for its restore
    debt: Texts  # Debt
    held_kw: Floats  # 0 without an open hold
    area: Texts  # Area
    feeder_stopped: Bools  # the switch of its feeder: no new holds
    holds_left: Ints  # today, before it was held often enough


@dataclass(frozen=True)
class Event:
    """An event that runs, with each car's standing."""

    event_id: int
    holding: bool  # active: holds and catches; otherwise it only restores
    holds_stopped: bool  # the switch: no new holds, restores go on
    ends_at: float
    target_kw: float | None
    aimed: Bools  # at these cars
    opted_out: Bools
    standing: Texts  # Standing
    reason: Texts  # Reason of that standing
    has_news: Bools  # the car reported since it was judged


@dataclass(frozen=True)
class Program:
    """The rules for restoring, and what is going on already."""

    restore_cap_kw: float  # inf: none
    restore_ramp_kw_per_minute: float
    charging_kw: float  # drawn by its cars now, restores on their way included
    restored_kw_last_minute: float
    pick_up_ramp_kw_per_minute: float
    picked_up_kw_last_minute: float


@dataclass(frozen=True)
class Provider:
    """What the provider lets us do, and what is owed through it already."""

    reserve_calls: float  # kept for restores, at once
    restores_per_minute: float  # half of the present rate (promise 3)
    owed_latest_starts: Floats  # of every open hold, of all programs


@dataclass(frozen=True, slots=True)
class Intent:
    """One car, one act, one reason."""

    act: Act
    place: int  # of the car in the arrays
    event_id: int  # 0: of no event in particular
    reason: Reason


# Held, or on the way to it.
ON_HOLD = (Debt.UNTAKEN, Debt.BUSY, Debt.TAKEN)
# A car is given back this long before its latest start: one lost command, its read and
# its repetition fit in between for most makes.
MARGIN_SECONDS = 1200.0


def decide(
    program: Program,
    cars: Cars,
    events: Sequence[Event],
    provider: Provider,
    *,
    now: float,
) -> list[Intent]:
    """Return what to do now; `events` in the order in which overlaps are decided."""
    pressing = _pressing(cars, provider, now)
    opted_out: Bools = np.zeros(len(cars.vehicle_id), dtype=bool)  # of any event
    for event in events:
        opted_out |= event.opted_out
    aims = [_Aim.of(event, cars) for event in events if event.holding]
    joins = [
        intent for aim in aims for intent in _join(cars, aim, ~(pressing | opted_out))
    ]
    intents = list(_give_back(program, cars, aims, pressing, opted_out))
    intents += joins
    room = Room(
        provider.owed_latest_starts,
        reserve_calls=provider.reserve_calls,
        per_minute=provider.restores_per_minute,
        now=now,
    )
    taken: Bools = np.zeros(len(cars.vehicle_id), dtype=bool)
    for aim in aims:
        for intent in _take(cars, aim, room, taken):
            if intent.act is Act.HOLD:
                taken[intent.place] = True
            intents.append(intent)
    return intents


@dataclass(slots=True)
class _Aim:
    """A holding event while it is decided."""

    event: Event
    open_to_us: Bools
    wants: Bools  # what it claims, or joins now
    held_kw: float  # towards its target

    @classmethod
    def of(cls, event: Event, cars: Cars) -> _Aim:
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

    def take(self, place: int, kw: float) -> Intent:
        """Count a car in."""
        self.wants[place] = True
        self.held_kw += kw
        why = Reason.ALL if self.event.target_kw is None else Reason.TARGET
        return Intent(Act.HOLD, place, self.event.event_id, why)

    def spare(self, verdicts: Texts, mask: Bools) -> Iterator[Intent]:
        """Say of these cars why they are left alone, changes alone."""
        event = self.event
        changed = (event.standing != Standing.SPARED) | (event.reason != verdicts)
        for place in _places(mask & (verdicts != "") & changed):
            yield Intent(Act.SPARE, place, event.event_id, Reason(verdicts[place]))


def _join(cars: Cars, aim: _Aim, may_stay: Bools) -> Iterator[Intent]:
    """Yield cars that are held for other events, as far as this one needs them.

    They come before all others, and before anything is given back: they cost no call,
    and a car that one event lets go of just as the next begins stays as it is.
    """
    # One of its own may be on its way back: no longer aimed at, and now once more.
    returning = cars.debt == Debt.RETURNING
    on_hold = np.isin(cars.debt, ON_HOLD) & ~aim.wants
    on_hold &= (cars.debt != Debt.UNTAKEN) | cars.charging
    others = aim.open_to_us & (cars.area == Area.NONE)
    verdicts = _texts(cars, "")
    verdicts[cars.latest_start < aim.event.ends_at + MARGIN_SECONDS] = Reason.READY_BY
    can_join = others & (on_hold | returning) & may_stay
    for place in _longest_slack_first(cars, can_join & (verdicts == "")):
        if reason := aim.why_not(cars, place):
            verdicts[place] = reason
        else:
            yield aim.take(place, float(cars.held_kw[place]))
    going_back = cars.debt == Debt.RESTORING
    verdicts[going_back] = Reason.GOING_BACK
    yield from aim.spare(verdicts, (can_join | others & going_back) & ~aim.wants)


def _take(cars: Cars, aim: _Aim, room: Room, taken: Bools) -> Iterator[Intent]:
    """Yield holds of cars that nobody held, and why the others are left alone.

    Those that a more urgent event has `taken` in this turn come first.
    """
    free = aim.open_to_us & np.isin(cars.debt, [Debt.NONE, Debt.LAPSED])
    verdicts = _reasons_to_spare(cars, aim.event)
    eligible = free & (verdicts == "")
    for place in (
        *_longest_slack_first(cars, eligible & taken),
        *_longest_slack_first(cars, eligible & ~taken),
    ):
        if reason := aim.why_not(cars, place):
            verdicts[place] = reason
        elif not taken[place] and not room.take(
            cars.latest_start[place], aim.event.ends_at
        ):
            verdicts[place] = Reason.NO_ROOM
        else:
            yield aim.take(place, float(cars.power_kw[place]))
    yield from aim.spare(verdicts, free)


def _reasons_to_spare(cars: Cars, event: Event) -> Texts:
    """Return each car's first reason to be left alone, or "" (n)."""
    unheard = (event.reason == Reason.REFUSED) & ~event.has_news
    tests = [
        (cars.area != Area.NONE, Reason.AREA_OFF),
        (~cars.known, Reason.UNKNOWN),
        (~cars.plugged_in, Reason.UNPLUGGED),
        (cars.away, Reason.AWAY),
        (~cars.at_home, Reason.HOME_UNKNOWN),
        (~cars.charging, Reason.NOT_CHARGING),
        (~cars.able, Reason.UNABLE),
        (cars.soc_percent < cars.minimum_percent, Reason.BELOW_MINIMUM),
        (cars.latest_start < event.ends_at + MARGIN_SECONDS, Reason.READY_BY),
        (cars.calls_left <= 0, Reason.NO_CALLS),
        (cars.holds_left <= 0, Reason.CYCLES),
        (unheard, Reason.REFUSED),
    ]
    verdicts: Texts = np.select(
        [test for test, _ in tests],
        [np.array(str(reason), dtype="U40") for _, reason in tests],
        default=_texts(cars, ""),
    )
    return verdicts


def _texts(cars: Cars, text: str) -> Texts:
    """Return one text for every car (n)."""
    return np.full(len(cars.vehicle_id), text, dtype="U40")


def _places(mask: Bools) -> list[int]:
    """Return where the mask is true, ascending."""
    return [int(place) for place in np.flatnonzero(mask)]


def _longest_slack_first(cars: Cars, mask: Bools) -> list[int]:
    """Sort cars that can wait longest first, then those that bring most per call."""
    return sorted(
        _places(mask),
        key=lambda place: (-cars.latest_start[place], -cars.power_kw[place], place),
    )


def _least_slack_first(cars: Cars, mask: Bools) -> list[int]:
    """Sort cars whose latest start comes first to the front."""
    return sorted(_places(mask), key=lambda place: (cars.latest_start[place], place))


def _give_back(
    program: Program,
    cars: Cars,
    aims: Sequence[_Aim],
    pressing: Bools,
    opted_out: Bools,
) -> Iterator[Intent]:
    """Yield restores: those that cannot wait, then by least slack under the bounds."""
    wanted: Bools = np.zeros(len(cars.vehicle_id), dtype=bool)
    for aim in aims:
        wanted |= aim.wants
    off = cars.area != Area.NONE
    wanted &= cars.consented & ~off

    untaken = cars.debt == Debt.UNTAKEN
    for mask, reason in (
        (cars.debt == Debt.LAPSED, Reason.OVERTAKEN),
        (untaken & off, Reason.AREA_OFF),
        (untaken & ~off & ~wanted, Reason.EVENT_OVER),
        (untaken & wanted & ~cars.charging, Reason.NOT_CHARGING),
    ):
        for place in _places(mask):
            yield Intent(Act.DROP, place, 0, reason)

    taken = _owed_now(cars)
    persons = taken & ~wanted & (opted_out | ~cars.consented)
    picked_up = taken & (cars.area == Area.PICK_UP)
    at_once = (pressing | persons) & ~picked_up
    cap = Bound(program.restore_cap_kw, program.charging_kw)
    ramp = Bound(program.restore_ramp_kw_per_minute, program.restored_kw_last_minute)
    for place in _least_slack_first(cars, at_once):
        reason = Reason.LATEST_START
        if persons[place]:
            left = cars.consented[place]
            reason = Reason.OPTED_OUT if left else Reason.WITHDRAWN
        for bound in (cap, ramp):
            bound.add(float(cars.held_kw[place]))
        yield Intent(Act.RESTORE, place, 0, reason)

    # What comes back after an outage meets everything that starts by itself: there even
    # the pressing ones, who are first in the line, go by its ramp.
    pick_up = Bound(
        program.pick_up_ramp_kw_per_minute, program.picked_up_kw_last_minute
    )
    urgent = picked_up & (pressing | persons)
    lines = (
        (urgent, Reason.PICK_UP, (pick_up,)),
        (picked_up & ~urgent, Reason.PICK_UP, (pick_up, cap, ramp)),
        # People need their cars: the cap, which spares the peak, does not delay them.
        (taken & (cars.area == Area.OFF) & ~at_once, Reason.AREA_OFF, (ramp,)),
        (taken & ~wanted & ~off & ~at_once, Reason.EVENT_OVER, (cap, ramp)),
    )
    for line, reason, bounds in lines:
        for place in _least_slack_first(cars, line):
            kw = float(cars.held_kw[place])
            if not all(bound.admits(kw) for bound in bounds):
                break
            for bound in {cap, ramp, *bounds}:
                bound.add(kw)
            yield Intent(Act.RESTORE, place, 0, reason)


def _owed_now(cars: Cars) -> Bools:
    """Say which cars are stopped, or may be, and can be commanded (n)."""
    owed: Bools = (cars.debt == Debt.TAKEN) & (cars.area != Area.DARK)
    return owed


def _pressing(cars: Cars, provider: Provider, now: float) -> Bools:
    """Say which cars must be restored now, whoever wants them (n).

    The margin alone would do if calls were free; the k-th in line also waits for the
    k - 1 before it at half of the provider's rate.
    """
    taken = _owed_now(cars)
    bound = np.full(len(cars.vehicle_id), now + MARGIN_SECONDS)
    places = np.flatnonzero(taken)
    in_line = places[np.argsort(cars.latest_start[places], kind="stable")]
    beyond = np.maximum(np.arange(len(in_line)) - provider.reserve_calls, 0.0)
    bound[in_line] += beyond / max(provider.restores_per_minute, 1e-9) * 60.0
    pressing: Bools = taken & (cars.latest_start <= bound)
    return pressing
