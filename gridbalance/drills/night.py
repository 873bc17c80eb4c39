"""A recorded evening and its night, by the real processes: what the rehearsal claims.

1. Car-evenings of a winter, drawn from recorded sessions, are cars of the simulator:
   each plugs in when it did, wants the energy that it took, and leaves when it left.
2. An event holds them from 16 to 20 h. Customers said when they leave and consented to
   be managed overnight; the restore cap is the one that the rehearsal finds by the
   evenings before each.
3. The simulator tells what the cars drew, what they would have drawn had nobody
   commanded them, and what each lacked when it left, with and without us.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import ClassVar

import numpy as np

from dispatch import charging_sessions, grid_events
from dispatch.lifecycle import EventKind
from dispatch.models import GridEvent, Hold
from dispatch.planner import Reason
from dispatch.rehearsal import evening, season
from dispatch.rehearsal.evening import LATE_KWH, NEXT_NOON, STEP_SECONDS, STEPS
from dispatch.rehearsal.sessions import EVENING_BEGINS, Sessions, winter_weekdays
from fleets import clock
from fleets.models import Enrolment, Program, RestoreStyle
from gridbalance import checker
from gridbalance.demo.truth import Json, Load
from gridbalance.drills.stage import Drill, Result

# The winter of the rehearsal's tables.
SINCE, UNTIL = date(2019, 10, 1), date(2020, 1, 31)
NOON = datetime(2027, 1, 12, tzinfo=UTC) + EVENING_BEGINS
WINDOW = (4 * 12, 8 * 12)  # 16 to 20 h, in steps after noon
BEGINS_AT, ENDS_AT = (NOON + timedelta(seconds=one * STEP_SECONDS) for one in WINDOW)
# Cars charge at full power up to here: the record knows no slower end of a charge.
LIMIT_PERCENT = 80
LEAST_BATTERY_KWH = 30.0
MOST_SHARE_OF_BATTERY = 0.5  # that one evening's charge takes
# Of the day on which a customer does not leave: it has passed when the night begins.
READY_BY = time(12, 0)
SEED = 7
MOST_REBOUND = 0.65
MOST_LATE_POINTS = 1.5


@dataclass(frozen=True)
class Night(Result):
    """What the drill showed, by the simulator's truth; kW are means of five minutes."""

    vehicles: int
    held: int
    queued: int  # held after the event, to wait for their turn
    cap_kw: float
    peak_unmanaged_kw: float
    peak_after_kw: float
    rebound_ratio: float
    rehearsed_rebound_ratio: float  # of all evenings laid over each other
    shed_kwh: float
    late_percent: float
    late_unmanaged_percent: float
    starts_per_car_max: int
    open_holds: int
    promises_broken: int

    @property
    def is_good(self) -> bool:
        """Say whether the night kept to the figures that the rehearsal must show."""
        return (
            self.rebound_ratio <= MOST_REBOUND
            and self.late_percent - self.late_unmanaged_percent <= MOST_LATE_POINTS
            and self.open_holds == 0
            and self.promises_broken == 0
        )


@dataclass(frozen=True)
class Stay:
    """One car's evening: kWh to charge, and when it comes and leaves."""

    comes_at: datetime
    leaves_at: datetime
    energy_kwh: float
    power_kw: float

    def form(self, label: str, *, at: datetime) -> Json:
        """Return the car as it stands at an instant, for the simulator."""
        battery_kwh = max(self.energy_kwh / MOST_SHARE_OF_BATTERY, LEAST_BATTERY_KWH)
        here = self.comes_at <= at < self.leaves_at
        hours = max((at - self.comes_at).total_seconds() / 3600.0, 0.0)
        left_kwh = max(self.energy_kwh - self.power_kw * hours, 0.0)
        return {
            "make": "TESLA", "label": label, "home": True, "plugged_in": here,
            "battery_kwh": battery_kwh, "power_kw": self.power_kw,
            "limit_percent": LIMIT_PERCENT,
            "soc_percent": LIMIT_PERCENT - left_kwh / battery_kwh * 100.0,
            "departs_in_minutes": self._minutes(at) if here else None,
        }  # fmt: skip

    def plug_in(self, *, at: datetime) -> Json:
        """Return the change that its coming home is."""
        return {"plugged_in": True, "departs_in_minutes": self._minutes(at)}

    def ready_by(self) -> list[time | None]:
        """Return what its customer says, Monday first: its day alone."""
        day = self.leaves_at.weekday()
        return [self.leaves_at.time() if one == day else None for one in range(7)]

    def _minutes(self, at: datetime) -> float:
        return max((self.leaves_at - at).total_seconds() / 60.0, 0.0)


@dataclass
class RecordedNight(Drill):
    """An event over recorded sessions, until the last car has left."""

    sessions: Path
    charging_power: Path
    starts_at: ClassVar[datetime] = BEGINS_AT - timedelta(minutes=30)
    speed: ClassVar[float] = 180.0

    def run(self) -> Night:
        """Play the night, and judge."""
        found, _ = charging_sessions.read(self.sessions, self.charging_power)
        evenings = Sessions.of(found)
        self.say("Rehearsing the winter, for its cap.")
        self.found = season.rehearse(
            evenings,
            winter_weekdays(SINCE, UNTIL),
            season.Setting(WINDOW, managed=True),
            single=False,
        )
        self.stays = list(_drawn(evenings, self.vehicles))
        self.vehicles = len(self.stays)
        self.cap_kw = self._cap_kw()
        self.set_up()
        now = clock.now()
        event = grid_events.schedule(
            Program.objects.get(), kind=EventKind.TEST, starts_at=max(now, BEGINS_AT),
            ends_at=ENDS_AT, target_kw=None, feeders=(), vehicles=(),
            priority=0, reason="drill", signal=None, actor="drill", now=now,
        )  # fmt: skip
        self._let_them_come()
        return self._judge(event)

    # --- Before --

    def _cap_kw(self) -> float:
        """Return the cap that the rehearsal found, for so many cars as there are."""
        found = self.found
        per_enrolled = (found.pooled.cap_kw or 0.0) / 1000.0
        return per_enrolled * found.enrolled_days * self.vehicles / found.cars

    def _fill(self) -> None:
        self._add(
            [
                stay.form(str(place), at=self.starts_at)
                for place, stay in enumerate(self.stays)
            ]
        )

    def _program(self) -> Program:
        return Program.objects.create(
            code="drill",
            name="Drill",
            time_zone="UTC",
            restore_style=RestoreStyle.OVERNIGHT,
            restore_cap_kw=self.cap_kw,
            restore_ramp_kw_per_minute=self.cap_kw,
            minimum_charge_percent=0.0,
            ready_by=READY_BY,
        )

    def _enrol(self) -> None:
        """Enrol them, with what their customers said and a winter of reports taught."""
        super()._enrol()
        now = clock.now()
        cars = self._learn()
        for enrolled in Enrolment.objects.all():
            stay = self.stays[int(cars[enrolled.vehicle_id]["label"])]
            enrolled.ready_by = stay.ready_by()
            enrolled.overnight_consented_at = now
            enrolled.overnight_consent_wording = "drill"
            enrolled.save()

    # --- The night --

    def _let_them_come(self) -> None:
        """Plug in each car at its time, and wait until the last has left."""
        ids = {int(car["label"]): car["id"] for car in self.truth.cars()}
        coming = sorted(
            (stay.comes_at, place)
            for place, stay in enumerate(self.stays)
            if stay.comes_at > self.starts_at
        )
        for comes_at, place in coming:
            self._wait_until(comes_at)
            now = clock.now()
            if now < self.stays[place].leaves_at:
                change = self.stays[place].plug_in(at=now)
                self.truth.tell("PATCH", f"cars/{ids[place]}", change)
        self._wait_until(NOON + timedelta(seconds=STEPS * STEP_SECONDS))

    # --- What came of it --

    def _judge(self, event: GridEvent) -> Night:
        load = self.truth.load()
        cars = self.truth.cars()
        with_us = _five_minutes([(one.at, one.kw) for one in load])
        without = _five_minutes([(one.at, one.shadow_kw) for one in load])
        peak = max(without.values())
        after = max(kw for at, kw in with_us.items() if at >= event.ends_at)
        evidence = checker.collect(self.truth, speed=self.speed)
        holds = Hold.objects.filter(event=event)
        broken = checker.breaches(evidence)
        for breach in broken[:10]:
            self.say(f"BROKEN {breach}")
        return Night(
            vehicles=self.vehicles,
            held=holds.exclude(held_at=None).count(),
            queued=holds.filter(reason=Reason.QUEUED).exclude(held_at=None).count(),
            cap_kw=self.cap_kw,
            peak_unmanaged_kw=peak,
            peak_after_kw=after,
            rebound_ratio=after / peak,
            rehearsed_rebound_ratio=self.found.pooled.rebound_ratio or 0.0,
            shed_kwh=_shed_kwh(load, event),
            late_percent=_late_percent(cars, cars),
            late_unmanaged_percent=_late_percent([car["shadow"] for car in cars], cars),
            starts_per_car_max=max(
                (len(calls) for calls in evidence.calls_of("start").values()), default=0
            ),
            open_holds=Hold.objects.open().count(),
            promises_broken=len(broken),
        )


def _drawn(sessions: Sessions, count: int) -> Iterable[Stay]:
    """Draw car-evenings of the winter, laid over each other in one."""
    days = [d for d in winter_weekdays(SINCE, UNTIL) if d in sessions.by_evening]
    cars = evening.pooled(
        [evening.of(sessions.by_evening[day], enrolled=0) for day in days]
    )
    stays = cars.leaves > cars.arrives
    places = np.flatnonzero(stays & (cars.arrives < NEXT_NOON) & (cars.energy_kwh > 0))
    random = np.random.default_rng(SEED)
    chosen = random.choice(places, size=min(count, len(places)), replace=False)
    for place in chosen.tolist():
        # By the next midnight everybody has left.
        leaves = min(int(cars.leaves[place]), STEPS - 1)
        yield Stay(
            NOON + timedelta(seconds=int(cars.arrives[place]) * STEP_SECONDS),
            NOON + timedelta(seconds=leaves * STEP_SECONDS),
            float(cars.energy_kwh[place]),
            float(cars.power_kw[place]),
        )


def _five_minutes(minutes: Sequence[tuple[datetime, float]]) -> dict[datetime, float]:
    """Return means over steps of five minutes, by the step's begin."""
    steps: dict[datetime, list[float]] = {}
    for at, kw in minutes:
        begin = NOON + (at - NOON) // timedelta(seconds=STEP_SECONDS) * timedelta(
            seconds=STEP_SECONDS
        )
        steps.setdefault(begin, []).append(kw)
    return {begin: sum(kws) / len(kws) for begin, kws in steps.items()}


def _shed_kwh(load: Sequence[Load], event: GridEvent) -> float:
    during = [one for one in load if event.starts_at <= one.at < event.ends_at]
    return sum(one.shadow_kw - one.kw for one in during) / 60.0


def _late_percent(batteries: Sequence[Json], cars: Sequence[Json]) -> float:
    """Return how many left with more than LATE_KWH missing, in percent."""
    missing_kwh: list[float] = [
        float(LIMIT_PERCENT - battery["soc_percent"]) * car["battery_kwh"] / 100.0
        for battery, car in zip(batteries, cars, strict=True)
    ]
    return sum(one > LATE_KWH for one in missing_kwh) * 100.0 / len(missing_kwh)
