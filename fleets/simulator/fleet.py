"""All cars through time: a queue of what happens next, and nothing in between.

Every happening is an entry (when, number, what, which car, which turn) of one heap.
`advance` lets happen what is due, each at its own instant, so a clock that runs fast
or leaps gives the same evenings as a slow one.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable
from random import Random

from fleets.simulator.cars import Car, Report
from fleets.simulator.lives import (
    Life,
    Session,
    next_session,
)
from fleets.simulator.makes import (
    FORGETS_LIMIT,
    WAITS_AFTER_LIMIT,
    fresh_after_minutes,
)

MINUTE_SECONDS = 60.0
SAMPLES_KEPT = 7 * 24 * 60  # a week of minutes
DRIVE_MINUTES = (15.0, 45.0)
RESTART_MINUTES = (3.0, 8.0)
LATE_STOP_MINUTES = (2.0, 6.0)

IS_CHARGING = "charge-ischarging"
IS_CABLE_CONNECTED = "charge-ischargingcableconnected"
CHARGE_LIMITS = "charge-chargelimits"
IS_AT_HOME = "location-isathome"
STATE_OF_CHARGE = "tractionbattery-stateofcharge"

Entry = tuple[float, int, str, int, int]


class Fleet:
    """The cars, and what happens to them next."""

    def __init__(
        self,
        *,
        cars: Iterable[Car],
        life: Life,
        draw: Random,
        at: float,
        utc_offset_hours: float = 0.0,
        freshness_scale: float = 1.0,
    ) -> None:
        """Place the cars as they stand at an instant."""
        self.life = life
        self.draw = draw
        self.utc_offset_hours = utc_offset_hours
        self.freshness_scale = freshness_scale
        self.cars: list[Car] = []
        self.by_id: dict[str, Car] = {}
        self.heap: list[Entry] = []
        self.number = 0
        self.samples: deque[tuple[float, float, float]] = deque(maxlen=SAMPLES_KEPT)
        self.charging: set[int] = set()
        self.shadow_charging: set[int] = set()
        self.handmade: set[int] = set()  # these do only what is done to them
        self.begins: dict[int, Session] = {}  # each car's stay that comes next
        self.on_report: Callable[[Car, Report, list[str]], None] = _say_nothing
        self.silent_until: Callable[[Car, float], float] = _never_silent
        self.at = -math.inf
        for car in cars:
            self.add(car)
            self._plan(car, at=at, running=True)
        self._let_happen(at)
        self.at = at
        for car in self.cars:
            car.report = car.told_at(at)
            car.triggers.clear()
        self.heap = [entry for entry in self.heap if entry[2] != "report"]
        heapq.heapify(self.heap)
        self._plan_sample(at)

    def add(self, car: Car, *, leads_life: bool = True) -> None:
        """Take in a car; it stays as it is until something is planned for it."""
        if not leads_life:
            self.handmade.add(car.index)
        self.cars.append(car)
        self.by_id[car.id] = car

    # What happens by itself

    def advance(self, at: float) -> None:
        """Let everything happen that is due by an instant."""
        if at > self.at:
            self._let_happen(at)
            self.at = at

    def _let_happen(self, at: float) -> None:
        heap = self.heap
        while heap and heap[0][0] <= at:
            when, _, what, index, turn = heapq.heappop(heap)
            if what == "sample":
                self._sample(when)
            else:
                _HAPPENINGS[what](self, self.cars[index], when, turn)

    def _later(self, at: float, what: str, car: Car, turn: int) -> None:
        self.number += 1
        heapq.heappush(self.heap, (at, self.number, what, car.index, turn))

    def _plan(self, car: Car, *, at: float, running: bool = False) -> None:
        if car.index in self.handmade:
            return
        session = next_session(
            self.life,
            car.index,
            at=at,
            running=running,
            utc_offset_hours=self.utc_offset_hours,
        )
        if session is not None:
            self.begins[car.index] = session
            self._later(session.plug_in, "plug in", car, car.visit)

    def _happen_plug_in(self, car: Car, at: float, turn: int) -> None:
        session = self.begins.pop(car.index, None)
        if turn == car.visit and session is not None:
            self.plug_in(car, at, session=session)

    def _happen_plug_out(self, car: Car, at: float, turn: int) -> None:
        if turn == car.visit and car.departs_at == at:
            self.plug_out(car, at)

    def _happen_timer(self, car: Car, at: float, turn: int) -> None:
        if turn == car.visit:
            self._set_shadow(car, at, charging=True)
            self.start(car, at, by="self")

    def _happen_restart(self, car: Car, at: float, turn: int) -> None:
        if turn == car.visit:
            self.start(car, at, by="self")

    def _happen_late_stop(self, car: Car, at: float, turn: int) -> None:
        if turn == car.visit:
            self.stop(car, at, by="api")

    def _happen_step(self, car: Car, at: float, turn: int) -> None:
        if turn != car.turn:
            return
        car.battery = car.battery.known(at)
        if car.battery.is_full_at(at):
            car.battery = car.battery.stopped(at)
            self._ended(car, at, why="full", by="self")
        else:
            self._changed(car, at, STATE_OF_CHARGE)
            self._turned(car)

    def _happen_report(self, car: Car, at: float, turn: int) -> None:
        wakes_at = self.silent_until(car, at)
        if wakes_at > at:
            self._later(wakes_at, "report", car, turn)
            return
        triggers, car.triggers = car.triggers, []
        car.report = car.told_at(at)
        self.on_report(car, car.report, triggers)

    # What is done to a car, by anybody

    def plug_in(self, car: Car, at: float, *, session: Session) -> None:
        """Put the car on a plug; it charges unless full or waiting for its timer."""
        car.visit += 1
        car.is_plugged_in = True
        car.is_home = session.is_home
        car.plugged_in_at = at
        car.departs_at = session.plug_out if session.plug_out < math.inf else None
        car.drives_until = -math.inf
        power_kw = session.power_kw or car.power_kw
        car.battery = car.battery.arrived(
            at, soc_percent=session.soc_percent, power_kw=power_kw
        )
        car.shadow = car.shadow.arrived(
            at, soc_percent=session.soc_percent, power_kw=power_kw
        )
        if car.departs_at is not None:
            self._later(car.departs_at, "plug out", car, car.visit)
        self._changed(car, at, IS_CABLE_CONNECTED)
        timer_at = car.timer_at(at, self.utc_offset_hours) if session.is_home else None
        if timer_at is not None and timer_at < session.plug_out:
            car.ends_charging = "timer"
            self._later(timer_at, "timer", car, car.visit)
        else:
            self._set_shadow(car, at, charging=True)
            self.start(car, at, by="self")

    def plug_out(self, car: Car, at: float, *, drives: bool = True) -> None:
        """Take the car off its plug; the life it leads goes on from there."""
        was_charging = car.battery.is_charging
        car.visit += 1
        car.turn += 1
        car.battery = car.battery.stopped(at)
        self.charging.discard(car.index)
        self._set_shadow(car, at, charging=False)
        car.is_plugged_in = False
        car.plugged_in_at = car.departs_at = None
        car.ends_charging = ""
        if was_charging:
            car.stopped_by = "customer"
        if drives:
            car.is_home = False
            car.drives_until = at + 60 * self.draw.uniform(*DRIVE_MINUTES)
        self._changed(car, at, IS_CABLE_CONNECTED, *[IS_CHARGING] * was_charging)
        self._plan(car, at=at)

    def start(self, car: Car, at: float, *, by: str) -> bool:
        """Start charging if the car is plugged in and has room; say whether it did."""
        if not car.is_plugged_in or car.battery.is_charging:
            return False
        if by == "api" and car.make in FORGETS_LIMIT and car.timer_hour is not None:
            car.battery = car.battery.limited(at, percent=100)
        car.battery = car.battery.started(at)
        if not car.battery.is_charging:
            car.ends_charging = "full"
            return False
        car.ends_charging = ""
        car.started_by = by
        self.charging.add(car.index)
        self._changed(car, at, IS_CHARGING)
        self._turned(car)
        return True

    def stop(self, car: Car, at: float, *, by: str) -> bool:
        """Stop charging; say whether there was any."""
        if not car.battery.is_charging:
            return False
        car.battery = car.battery.stopped(at)
        self._ended(car, at, why="stop" if by == "api" else by, by=by)
        return True

    def set_limit(self, car: Car, at: float, *, percent: int, by: str) -> bool:
        """Set the charge limit: a lower one may stop the car, a higher one start it."""
        before = car.battery
        car.battery = before.limited(at, percent=percent)
        self._changed(car, at, CHARGE_LIMITS)
        if before.is_charging and not car.battery.is_charging:
            self._ended(car, at, why="limit", by=by)
        elif (
            not before.is_charging
            and car.ends_charging in {"limit", "full"}
            and not (by == "api" and car.make in WAITS_AFTER_LIMIT)
        ):
            self.start(car, at, by="self" if by == "api" else by)
        else:
            self._turned(car)
        return True

    def hold(self, car: Car, at: float, *, soc_percent: float) -> None:
        """Give the car another charge, the shadow too; charging goes on if it was."""
        was_charging = car.battery.is_charging
        shadow_was_charging = car.shadow.is_charging
        car.battery = car.battery.holding(at, soc_percent=soc_percent)
        car.shadow = car.shadow.holding(at, soc_percent=soc_percent)
        if was_charging:
            car.battery = car.battery.started(at)
        if was_charging and not car.battery.is_charging:
            self._ended(car, at, why="full", by="self")
        self._set_shadow(car, at, charging=shadow_was_charging)
        self._changed(car, at, STATE_OF_CHARGE)
        self._turned(car)

    def depart_at(self, car: Car, at: float | None) -> None:
        """Let a plugged-in car leave at another time, or stay."""
        car.departs_at = at
        if at is not None:
            self._later(at, "plug out", car, car.visit)

    def rest(self, car: Car, at: float) -> None:
        """Let a plugged-in car not charge, nor its shadow, as by its own wish."""
        self.stop(car, at, by="customer")
        self._set_shadow(car, at, charging=False)

    def limit_shadow(self, car: Car, at: float, *, percent: int) -> None:
        """Set the limit that the customer's car would have without us."""
        car.shadow = car.shadow.limited(at, percent=percent)

    def move(self, car: Car, at: float, *, is_home: bool) -> None:
        """Let the car be at home, or elsewhere."""
        car.is_home = is_home
        self._changed(car, at, IS_AT_HOME)

    def load_kw(self, at: float) -> tuple[float, float]:
        """Return the charging load, and what it would be without our commands."""
        cars = self.cars
        actual_kw = sum(cars[i].battery.power_kw_at(at) for i in self.charging)
        shadow_kw = sum(cars[i].shadow.power_kw_at(at) for i in self.shadow_charging)
        return actual_kw, shadow_kw

    def shadow_count(self, at: float) -> int:
        """Return how many cars would be charging without our commands."""
        shadows = (self.cars[index].shadow for index in self.shadow_charging)
        return sum(not shadow.is_full_at(at) for shadow in shadows)

    def restart_soon(self, car: Car, at: float) -> None:
        """Let a stopped car start by itself some minutes later."""
        delay = 60 * self.draw.uniform(*RESTART_MINUTES)
        self._later(at + delay, "restart", car, car.visit)

    def stop_late(self, car: Car, at: float) -> None:
        """Let a stop reach its car only minutes later."""
        delay = 60 * self.draw.uniform(*LATE_STOP_MINUTES)
        self._later(at + delay, "late stop", car, car.visit)

    def report_soon(self, car: Car, at: float, *triggers: str) -> None:
        """Let a car report as if it had changed: a first delivery, for one."""
        if not car.triggers:
            earliest, latest = fresh_after_minutes(car.make)
            minutes = self.draw.uniform(earliest, latest) * self.freshness_scale
            self._later(at + 60 * minutes, "report", car, 0)
        car.triggers += [code for code in triggers if code not in car.triggers]

    # What follows from that

    def _ended(self, car: Car, at: float, *, why: str, by: str) -> None:
        car.ends_charging = why
        car.stopped_by = by
        self.charging.discard(car.index)
        self._changed(car, at, IS_CHARGING)
        self._turned(car)

    def _turned(self, car: Car) -> None:
        """Plan the next step of charge, in place of the one planned before."""
        car.turn += 1
        next_step_at = car.battery.next_step_at()
        if next_step_at < math.inf:
            self._later(next_step_at, "step", car, car.turn)

    def _changed(self, car: Car, at: float, *triggers: str) -> None:
        car.changed_at = at
        self.report_soon(car, at, *triggers)

    def _set_shadow(self, car: Car, at: float, *, charging: bool) -> None:
        if charging:
            car.shadow = car.shadow.started(at)
            self.shadow_charging.add(car.index)
        else:
            car.shadow = car.shadow.stopped(at)
            self.shadow_charging.discard(car.index)

    def _plan_sample(self, at: float) -> None:
        next_minute = (at // MINUTE_SECONDS + 1) * MINUTE_SECONDS
        self.number += 1
        heapq.heappush(self.heap, (next_minute, self.number, "sample", 0, 0))

    def _sample(self, at: float) -> None:
        """Note the load of this minute, with and without our commands."""
        actual_kw, shadow_kw = self.load_kw(at)
        for index in list(self.shadow_charging):
            car = self.cars[index]
            if car.shadow.is_full_at(at):
                self._set_shadow(car, at, charging=False)
        self.samples.append((at, actual_kw, shadow_kw))
        self._plan_sample(at)


def _say_nothing(car: Car, report: Report, triggers: list[str]) -> None:
    """Keep a report to oneself."""


def _never_silent(car: Car, at: float) -> float:
    return at


_HAPPENINGS: dict[str, Callable[[Fleet, Car, float, int], None]] = {
    "plug in": Fleet._happen_plug_in,
    "plug out": Fleet._happen_plug_out,
    "timer": Fleet._happen_timer,
    "restart": Fleet._happen_restart,
    "late stop": Fleet._happen_late_stop,
    "step": Fleet._happen_step,
    "report": Fleet._happen_report,
}
