"""What every drill plays on: a fleet that charges, a main system, and the truth.

Servers, processes and the data folder are the drill's own; so are the second place and
every secret.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, ClassVar

from django.conf import settings
from django.db import DatabaseError, connection

from dispatch import grid_events
from dispatch.lifecycle import EventKind, HoldStatus
from dispatch.models import Envelope, Hold
from dispatch.safekeeping import place, sheet
from fleets import clock, enrolment
from fleets.clock import Timeline
from fleets.enrolment import Wishes
from fleets.models import Bucket, Program, Vehicle, VehicleBucket
from fleets.providers import smartcar
from gridbalance.demo import scene
from gridbalance.demo.truth import Json, Truth
from gridbalance.processes import (
    Process,
    ProcessFailed,
    Supervisor,
    beat,
    manage,
    web,
    worker,
)

STARTS_AT = datetime(2027, 1, 12, 17, 30, tzinfo=UTC)
MAIN = ("web", "beat", "control", "fanout")
POWER_KW = 7.0
# All cars come back within twenty minutes: the ramp binds, not the calls.
RAMP_KW_PER_CAR = POWER_KW / 20.0
CARS_AT_ONCE = 1000
ENDLESS = 1e9
# Real seconds.
HELD_WITHIN_SECONDS = 300.0
LEARNT_WITHIN_SECONDS = 180.0
STANDS_STILL_SECONDS = 60.0
TIMES = {
    "TICK_SECONDS": "0.5",
    "PROVIDER_TIMEOUT_SECONDS": "5",
    "SENDER_HEARTBEAT_SECONDS": "0.5",
    "SENDER_DEAD_SECONDS": "2.5",
}


class Result(ABC):
    """What a drill showed: a dataclass that says whether it is good."""

    @property
    @abstractmethod
    def is_good(self) -> bool:
        """Say whether all went well."""

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        told = {
            one.name: getattr(self, one.name)
            for one in fields(self)  # type: ignore[arg-type]
        }
        return {
            name: round(value, 2) if isinstance(value, float) else value
            for name, value in told.items()
        } | {"good": self.is_good}


@dataclass
class Drill:
    """One run in a data folder of its own."""

    house: Supervisor
    vehicles: int
    per_minute: float
    say: Callable[[str], None]
    starts_at: ClassVar[datetime] = STARTS_AT
    speed: ClassVar[float] = 120.0  # simulated seconds a real one
    freshness_scale: ClassVar[float] = 0.1  # of the makes' delays

    def set_up(self) -> None:
        """Start everything, with a fleet that charges."""
        port = self.house.port("simulator")
        self.truth = Truth(port)
        self._settle(f"http://127.0.0.1:{port}")
        self._begin(port)

    # --- Before --

    def _settle(self, origin: str) -> None:
        """Tell every process, and this one, how to live."""
        told = {
            **TIMES,
            "SMARTCAR_CLIENT_ID": "drill",
            "SMARTCAR_CLIENT_SECRET": sheet.new_key(),
            "SMARTCAR_MANAGEMENT_TOKEN": sheet.new_key(),
            "SMARTCAR_IAM_ORIGIN": origin,
            "SMARTCAR_VEHICLE_ORIGIN": origin,
            "SAFEKEEPING_URL": f"file://{settings.DATA_DIR}/second-place-{os.getpid()}",
            "SAFEKEEPING_KEYS": sheet.new_key(),
            "PROVIDER_BUCKET_CALLS": str(self.per_minute),
            "PROVIDER_REFILL_PER_MINUTE": str(self.per_minute),
        }
        os.environ |= told
        for name, value in told.items():
            if name.startswith(("SMARTCAR_", "SAFEKEEPING_")):
                setattr(settings, name, value)

    def _begin(self, port: int) -> None:
        """Start everything, with a fleet that charges."""
        self.house.start_services()
        self._migrate()
        words: dict[str, object] = {
            "--port": port, "--speed": 0, "--start": self.starts_at.isoformat(),
            "--vehicles": 0, "--vehicle-bucket": 0, "--application-bucket": 0,
            "--freshness-scale": self.freshness_scale,
            "--webhook-url": self._web() + "/webhooks/smartcar",
        }  # fmt: skip
        flat = [str(part) for pair in words.items() for part in pair]
        self.house.start(manage("simulator", "simulator", *flat))
        self.house.wait_until_answers("simulator", port, "/_sim/clock")
        self._fill()
        timeline = Timeline(clock.real_now(), self.starts_at, self.speed)
        scene.set_clock(timeline)
        self.truth.follow(timeline)
        self._enrol()
        # The provider's bucket is full now, and ours empty: it cannot be overdrawn.
        limits = {
            "application_bucket": self.per_minute,
            "application_refill": self.per_minute,
        }
        self.truth.tell("PUT", "limits", limits)
        if not self.house.has("web"):
            self._start_main()

    def _migrate(self) -> None:
        self.house.run_manage("migrate", "--no-input")
        self.house.run_manage("flush", "--no-input")

    def _web(self) -> str:
        return f"http://127.0.0.1:{self.house.port('web')}"

    def _start_main(self) -> None:
        self.house.start(*self._processes())
        self.house.wait_until_answers("web", self.house.port("web"), "/healthz")

    def _processes(self) -> Iterator[Process]:
        yield web(self.house.port("web"))
        yield beat(self.house.data_dir)
        yield worker("control")
        yield worker("fanout")

    def _fill(self) -> None:
        car = {
            "make": "TESLA", "plugged_in": True, "soc_percent": 30.0,
            "limit_percent": 90.0, "battery_kwh": 100.0, "power_kw": POWER_KW,
            "home": True,
        }  # fmt: skip
        self._add([car] * self.vehicles)

    def _add(self, cars: list[dict[str, Any]]) -> None:
        for begin in range(0, len(cars), CARS_AT_ONCE):
            some = cars[begin : begin + CARS_AT_ONCE]
            self.truth.tell("POST", "cars", {"cars": some})

    def _enrol(self) -> None:
        now = clock.now()
        enrolment.import_connections(smartcar.shared(), region="US", now=now)
        program = self._program()
        Vehicle.objects.update(
            is_plugged_in=True, is_charging=True, is_home=True, soc_percent=30.0,
            limit_percent=90.0, power_kw=POWER_KW, usual_power_kw=POWER_KW,
            battery_kwh=50.0, plugged_in_at=now - timedelta(hours=1),
            observed_at=now - timedelta(minutes=1),
        )  # fmt: skip
        wishes = dict.fromkeys(Vehicle.objects.values_list("pk", flat=True), Wishes())
        enrolment.enrol_all(
            wishes, program=program, consent_wording="drill",
            consent_source="drill", now=now,
        )  # fmt: skip
        for of in (program, None):
            Envelope.objects.create(
                program=of, max_kw=ENDLESS, max_cars=2_000_000_000,
                max_kw_per_minute=ENDLESS,
            )  # fmt: skip
        Bucket.objects.create(
            name="application", capacity=self.per_minute, tokens=0, refilled_at=now,
            refill_per_minute=self.per_minute,
        )  # fmt: skip
        VehicleBucket.objects.update(tokens=6, refilled_at=now)

    def _learn(self) -> dict[int, Json]:
        """Bring the rows to what a night of reports would have taught of each car.

        Return the simulator's cars by vehicle id.
        """
        cars = {car["id"]: car for car in self.truth.cars()}
        vehicles = list(Vehicle.objects.all())
        for vehicle in vehicles:
            car = cars[vehicle.external_id]
            vehicle.is_plugged_in = car["plugged_in"]
            vehicle.is_charging = car["charging"]
            vehicle.power_kw = car["power_kw"]
            vehicle.usual_power_kw = car["rated_kw"]
            vehicle.battery_kwh = car["battery_kwh"]
            vehicle.soc_percent = car["soc_percent"]
            vehicle.limit_percent = car["limit_percent"]
        Vehicle.objects.bulk_update(
            vehicles,
            [
                "is_plugged_in", "is_charging", "power_kw", "usual_power_kw",
                "battery_kwh", "soc_percent", "limit_percent",
            ],
        )  # fmt: skip
        return {vehicle.pk: cars[vehicle.external_id] for vehicle in vehicles}

    def _program(self) -> Program:
        return Program.objects.create(
            code="drill",
            name="Drill",
            restore_ramp_kw_per_minute=self.vehicles * RAMP_KW_PER_CAR,
            restore_cap_kw=ENDLESS,  # the ramp alone
        )

    # --- The event --

    def _hold(self, count: int | None = None) -> None:
        """Hold this many cars, or all, and wait until the newest sheet knows it."""
        now = clock.now()
        wanted = count or self.vehicles
        cars = list(Vehicle.objects.order_by("pk")[:count]) if count else []
        grid_events.schedule(
            Program.objects.get(), kind=EventKind.TEST, starts_at=now,
            ends_at=now + timedelta(hours=4),
            target_kw=None, feeders=(), vehicles=cars,
            priority=0, reason="drill", signal=None, actor="drill", now=now,
        )  # fmt: skip
        self.say("The event begins.")
        self._until(
            lambda: Hold.objects.filter(status=HoldStatus.HELD).count() == wanted,
            HELD_WITHIN_SECONDS, "The cars were not held.",
        )  # fmt: skip
        self.say(f"{wanted} cars are held.")
        self._until(
            lambda: self._is_kept(wanted),
            HELD_WITHIN_SECONDS, "No sheet knows all holds.",
        )  # fmt: skip

    def _is_kept(self, wanted: int) -> bool:
        """Say whether the newest sheet owes so many cars, with the end of each stop."""
        there = place.of_settings()
        newest = there.newest() if there else None
        if newest is None:
            return False
        stops = {car.stop_answered_at for car in newest[1].owed}
        return len(newest[1].owed) == wanted and None not in stops

    # --- What is true --

    def _charging(self) -> int:
        return int(self.truth.get("summary")["charging"])

    def _last_call(self) -> int:
        return max((call.sequence for call in self.truth.calls()), default=0)

    def _starts(self, since: int) -> Counter[str | None]:
        return Counter(
            call.vehicle
            for call in self.truth.calls()
            if call.kind == "start" and call.sequence > since
        )

    def _steepest(self, *, since: datetime) -> float:
        """Return the largest rise of the true load from one minute to the next."""
        rows = [row for row in self.truth.load() if row.at >= since]
        return max(
            (later.kw - row.kw for row, later in pairwise(rows)),
            default=0.0,
        )

    def _wait_until(self, moment: datetime) -> None:
        real_seconds = (moment - clock.now()).total_seconds() / self.speed
        self._until(
            lambda: clock.now() >= moment,
            max(real_seconds, 0.0) + STANDS_STILL_SECONDS, "Time stands still.",
        )  # fmt: skip

    def _until(
        self, condition: Callable[[], bool], seconds: float, else_say: str
    ) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if condition():
                    return
            except DatabaseError:
                connection.close()
            if time.monotonic() > deadline:
                if not else_say:
                    return
                raise ProcessFailed(else_say, self.house.log("control"))
            time.sleep(0.2)
