"""Hold a target while cars do not respond and one maker is down: for real.

1. A fleet of charging cars of several makes; some fill up during the event. One in ten
   accepts its stop and ignores it.
2. An event asks for a share of what they draw, and the real processes hold it.
3. For half an hour of it one maker's cloud is down: no answers, no reports.
4. The simulator tells what its cars draw, and what the same cars would have drawn had
   nobody commanded them. The difference, minute by minute, is what was really shed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from random import Random
from typing import ClassVar

from dispatch import grid_events
from dispatch.lifecycle import EventKind
from dispatch.models import GridEvent, Hold, LoadSample
from fleets import clock
from fleets.models import Program
from gridbalance.drills.stage import Drill, Result

MAKES = ("TESLA", "TESLA", "HYUNDAI", "KIA", "VOLVO")  # all report within five minutes
DOWN = "HYUNDAI"
DOWN_FROM, DOWN_FOR = timedelta(minutes=40), timedelta(minutes=30)
POWERS_KW = (3.6, 7.4, 7.4, 11.0)
IGNORING_SHARE = 0.1
IGNORES = {"accepts-but-ignores": 1.0, "kinds": ["stop"]}
IS_DOWN = {"maker-outage": 1.0, "unreachable": 1.0}
SOC_PERCENT, LIMIT_PERCENT = 40.0, 90
TO_FILL_SHARE = (LIMIT_PERCENT - SOC_PERCENT) / 100
LEAST_CARS = 1000
TARGET_SHARE = 0.4  # of what is drawn when the event begins
LASTS = timedelta(hours=2)
JUDGED_FROM = timedelta(minutes=15)
BAND = 0.05
HELD_MINUTES_SHARE = 0.9
MOST_TOO_MUCH = 0.02
SEED = 7


@dataclass(frozen=True)
class Held(Result):
    """What the drill showed; kW and minutes by the simulator's truth."""

    vehicles: int
    charging_cars: int
    calls_per_minute: float
    target_kw: float
    minutes: int
    minutes_held_share: float  # within the band
    worst_percent: float  # off the target
    shed_percent_p5: float  # off the target, over these minutes
    shed_percent_p95: float
    confirmed_above_truth_percent: float  # stopped kW, the worst sample
    shed_above_truth_percent: float  # the estimate, in percent of the target
    shed_error_percent_p95: float
    shed_in_interval_share: float
    ignoring_cars: int
    down_cars: int
    stops: int
    given_back: dict[str, int]  # during the event, by the reason

    @property
    def is_good(self) -> bool:
        """Say whether the target was held, and what was said of it was true."""
        return (
            self.charging_cars >= LEAST_CARS
            and self.minutes_held_share >= HELD_MINUTES_SHARE
            and self.confirmed_above_truth_percent <= MOST_TOO_MUCH * 100
        )


@dataclass
class HoldTarget(Drill):
    """An event with a target, and everything that is in its way."""

    speed: ClassVar[float] = 60.0
    freshness_scale: ClassVar[float] = 1.0  # as slow as these makes are

    def run(self) -> Held:
        """Charge, call the event, let a maker fall, and judge."""
        self.set_up()
        ignoring = self._let_some_ignore()
        charging = self._charging()
        drawn_kw = float(self.truth.get("summary")["charging_kw"])
        target_kw = round(drawn_kw * TARGET_SHARE)
        now = clock.now()
        event = grid_events.schedule(
            Program.objects.get(), kind=EventKind.TEST, starts_at=now,
            ends_at=now + LASTS, target_kw=float(target_kw), feeders=(), vehicles=(),
            priority=0, reason="drill", signal=None, actor="drill", now=now,
        )  # fmt: skip
        self.say(f"{target_kw} of {drawn_kw:.0f} kW are asked for.")
        self._wait_until(event.starts_at + DOWN_FROM)
        down = self._take_down()
        self.say(f"{DOWN} is down, with {len(down)} cars.")
        self._wait_until(event.starts_at + DOWN_FROM + DOWN_FOR)
        self._bring_back(down, ignoring)
        self.say(f"{DOWN} is back.")
        self._wait_until(event.ends_at)
        return self._judge(event, charging, len(ignoring), len(down))

    # --- Before --

    def _fill(self) -> None:
        """Plug in cars of many sizes; one in five is full before the event ends."""
        draw = Random(SEED)  # noqa: S311  (a drill's dice)
        forms = []
        for number in range(self.vehicles):
            power_kw = draw.choice(POWERS_KW)
            hours = draw.uniform(0.6, 3.0) if number % 5 == 0 else draw.uniform(4, 8)
            forms.append(
                {
                    "make": MAKES[number % len(MAKES)],
                    "plugged_in": True, "home": True,
                    "soc_percent": SOC_PERCENT, "limit_percent": LIMIT_PERCENT,
                    "power_kw": power_kw,
                    "battery_kwh": power_kw * hours / TO_FILL_SHARE,
                }
            )  # fmt: skip
        draw.shuffle(forms)
        self._add(forms)

    def _enrol(self) -> None:
        """Enrol them, with what a night of reports would have taught of each."""
        super()._enrol()
        self._learn()

    def _let_some_ignore(self) -> set[str]:
        ids = [car["id"] for car in self.truth.cars()]
        draw = Random(SEED)  # noqa: S311  (a drill's dice)
        ignoring = set(draw.sample(ids, round(len(ids) * IGNORING_SHARE)))
        for car in ignoring:
            self.truth.tell("PUT", f"cars/{car}/faults", IGNORES)
        return ignoring

    # --- The event --

    def _take_down(self) -> set[str]:
        down = {car["id"] for car in self.truth.cars() if car["make"] == DOWN}
        for car in down:
            self.truth.tell("PUT", f"cars/{car}/faults", IS_DOWN)
        return down

    def _bring_back(self, down: set[str], ignoring: set[str]) -> None:
        for car in down:
            faults = IGNORES if car in ignoring else {}
            self.truth.tell("PUT", f"cars/{car}/faults", faults)

    # --- What came of it --

    def _judge(self, event: GridEvent, charging: int, ignoring: int, down: int) -> Held:
        target_kw = event.target_kw or 0.0
        begins, ends = event.starts_at + JUDGED_FROM, event.ends_at
        load = self.truth.load()
        shed = {row.at: row.shadow_kw - row.kw for row in load}
        judged = [kw for at, kw in shed.items() if begins <= at < ends]
        off = [(kw - target_kw) / target_kw for kw in judged]
        samples = list(
            LoadSample.objects.filter(event=event, at__lt=ends).order_by("at")
        )
        stopped = self._stopped_kw()
        too_much = [
            one.confirmed_kw / max(stopped.at(one.at), 1e-9) - 1.0
            for one in samples
            if one.confirmed_kw > 0
        ]
        minutes = sorted(shed)
        errors, inside = [], 0
        compared = [one for one in samples if one.at >= begins]
        for one in compared:
            true_kw = shed[minutes[bisect_right(minutes, one.at) - 1]]
            errors.append(((one.shed_kw or 0.0) - true_kw) / target_kw)
            low, high = one.shed_low_kw or 0.0, one.shed_high_kw or 0.0
            inside += low <= true_kw <= high
        nearest = sorted(abs(error) for error in errors)
        kinds = self.truth.get("summary")["kinds"]
        return Held(
            vehicles=self.vehicles,
            charging_cars=charging,
            calls_per_minute=self.per_minute,
            target_kw=target_kw,
            minutes=len(judged),
            minutes_held_share=sum(abs(one) <= BAND for one in off) / len(off),
            worst_percent=max(off, key=abs) * 100,
            shed_percent_p5=_quantile(off, 0.05) * 100,
            shed_percent_p95=_quantile(off, 0.95) * 100,
            confirmed_above_truth_percent=max(too_much, default=0.0) * 100,
            shed_above_truth_percent=max(errors, default=0.0) * 100,
            shed_error_percent_p95=_quantile(nearest, 0.95) * 100,
            shed_in_interval_share=inside / len(compared),
            ignoring_cars=ignoring,
            down_cars=down,
            stops=kinds.get("stop", 0),
            given_back=self._given_back(event),
        )

    def _given_back(self, event: GridEvent) -> dict[str, int]:
        reasons = Hold.objects.filter(event=event, restoring_at__lt=event.ends_at)
        return dict(Counter(reasons.values_list("restore_reason", flat=True)))

    def _stopped_kw(self) -> Steps:
        """Return what the cars drew that our stops have really stopped, over time."""
        kw = {car["id"]: float(car["rated_kw"]) for car in self.truth.cars()}
        is_stopped: dict[str, bool] = {}
        steps: list[tuple[datetime, float]] = []
        for call in self.truth.calls():
            if call.vehicle is None or call.acted_at is None:
                continue
            stops = call.kind == "stop"
            if stops != is_stopped.get(call.vehicle, False):
                is_stopped[call.vehicle] = stops
                steps.append((call.acted_at, kw[call.vehicle] * (1 if stops else -1)))
        return Steps.of(steps)


@dataclass(frozen=True)
class Steps:
    """A sum that changes at moments."""

    moments: list[datetime]
    sums: list[float]

    @classmethod
    def of(cls, steps: list[tuple[datetime, float]]) -> Steps:
        """Return the running sum of changes, whatever their order."""
        ordered = sorted(steps)
        return cls([at for at, _ in ordered], list(accumulate(kw for _, kw in ordered)))

    def at(self, moment: datetime) -> float:
        """Return the sum at a moment."""
        place = bisect_right(self.moments, moment)
        return self.sums[place - 1] if place else 0.0


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[round(share * (len(values) - 1))]
