"""Lose the main system in the middle of an event, give back, come back: for real.

1. A fleet of charging cars behind a simulator; web, workers and beat hold all of them.
2. Once the newest sheet knows every hold, all but the simulator is killed for good.
3. `give_back` runs as it would on another host: no database, no Redis. It is killed as
   well, as often as asked, and started again.
4. The simulator tells what is true: who charges, who was started twice, what the
   provider counted.
5. The main system comes back, learns, and must not start anybody again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

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
from gridbalance.demo.truth import Truth
from gridbalance.processes import (
    ProcessFailed,
    Supervisor,
    beat,
    manage,
    web,
    worker,
)
from gridbalance.processes.supervisor import CHECKOUT

SPEED = 120.0  # simulated seconds a real one
STARTS_AT = datetime(2027, 1, 12, 17, 30, tzinfo=UTC)
MAIN = ("web", "beat", "control", "fanout")
POWER_KW = 7.0
# All cars come back within twenty minutes: the ramp binds, not the calls.
RAMP_KW_PER_CAR = POWER_KW / 20.0
CARS_AT_ONCE = 1000
ENDLESS = 1e9
NOWHERE = "127.0.0.1:9"
# Real seconds.
HELD_WITHIN_SECONDS = 300.0
GIVEN_WITHIN_SECONDS = 600.0
LEARNT_WITHIN_SECONDS = 180.0
TIMES = {
    "TICK_SECONDS": "0.5",
    "PROVIDER_TIMEOUT_SECONDS": "5",
    "SENDER_HEARTBEAT_SECONDS": "0.5",
    "SENDER_DEAD_SECONDS": "2.5",
}


@dataclass(frozen=True)
class Result:
    """What the rehearsal showed; minutes are simulated."""

    vehicles: int
    held: int
    kills: int
    charging: int  # of those held, by the simulator's truth
    ends: dict[str, int]
    second_starts: int
    calls: int
    calls_per_minute: float
    contract_per_minute: float
    overdrawn: int
    minutes: float
    kw_per_minute_most: float
    ramp_kw_per_minute: float
    learnt: int
    open_after: int
    starts_after: int  # by the main system, once it was back

    @property
    def is_good(self) -> bool:
        """Say whether everything that was taken was given back, once."""
        return (
            self.charging == self.held == self.learnt
            and not self.second_starts
            and not self.overdrawn
            and not self.open_after
            and not self.starts_after
        )

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        told = {
            name: round(value, 2) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }
        return {**told, "good": self.is_good}


@dataclass
class Rehearsal:
    """One run in a data folder of its own."""

    house: Supervisor
    vehicles: int
    per_minute: float
    kills: int
    say: Callable[[str], None]

    def run(self) -> Result:
        """Hold, lose, give back, come back."""
        port = self.house.port("simulator")
        self.truth = Truth(port)
        self._settle(f"http://127.0.0.1:{port}")
        self._begin(port)
        self._hold()
        held = [car["id"] for car in self.truth.cars() if not car["charging"]]
        self.say(f"{len(held)} cars are held. The main system is lost now.")
        self.house.lose(*MAIN)
        connection.close()
        lost_at = self._last_call()
        found = self._give_back(len(held))
        calls = [call for call in self.truth.calls() if call.sequence > lost_at]
        starts = self._starts(lost_at)
        cars = {car["id"]: car for car in self.truth.cars()}
        began, ended = (
            datetime.fromisoformat(found[name]) for name in ("began_at", "ended_at")
        )
        self.say(f"All is given back: {found['ends']}. The main system comes back.")
        given_at = self._last_call()
        learnt, still_open = self._come_back()
        return Result(
            vehicles=self.vehicles,
            held=len(held),
            kills=self.kills,
            charging=sum(cars[pk]["charging"] for pk in held),
            ends=found["ends"],
            second_starts=sum(count - 1 for count in starts.values() if count > 1),
            calls=len(calls),
            calls_per_minute=_per_minute([call.at for call in calls]),
            contract_per_minute=self.per_minute,
            overdrawn=self.truth.get("summary")["overdrawn"]["application"],
            minutes=(ended - began).total_seconds() / 60,
            kw_per_minute_most=self._steepest(since=calls[0].at),
            ramp_kw_per_minute=self.vehicles * RAMP_KW_PER_CAR,
            learnt=learnt,
            open_after=still_open,
            starts_after=sum(self._starts(given_at).values()),
        )

    # --- Before --

    def _settle(self, origin: str) -> None:
        """Tell every process, and this one, how to live."""
        told = {
            **TIMES,
            "SMARTCAR_CLIENT_ID": "rehearsal",
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
        self.house.run_manage("migrate", "--no-input")
        self.house.run_manage("flush", "--no-input")
        words: dict[str, object] = {
            "--port": port, "--speed": 0, "--start": STARTS_AT.isoformat(),
            "--vehicles": 0, "--freshness-scale": 0.1, "--vehicle-bucket": 0,
            "--application-bucket": 0,
            "--webhook-url": self._web() + "/webhooks/smartcar",
        }  # fmt: skip
        flat = [str(part) for pair in words.items() for part in pair]
        self.house.start(manage("simulator", "simulator", *flat))
        self.house.wait_until_answers("simulator", port, "/_sim/clock")
        self._fill()
        timeline = Timeline(clock.real_now(), STARTS_AT, SPEED)
        scene.set_clock(timeline)
        self.truth.follow(timeline)
        self._enrol()
        # The provider's bucket is full now, and ours empty: it cannot be overdrawn.
        limits = {
            "application_bucket": self.per_minute,
            "application_refill": self.per_minute,
        }
        self.truth.tell("PUT", "limits", limits)
        self._start_main()

    def _web(self) -> str:
        return f"http://127.0.0.1:{self.house.port('web')}"

    def _start_main(self) -> None:
        self.house.start(web(self.house.port("web")))
        self.house.start(beat(self.house.data_dir), worker("control"), worker("fanout"))
        self.house.wait_until_answers("web", self.house.port("web"), "/healthz")

    def _fill(self) -> None:
        car = {
            "make": "TESLA", "plugged_in": True, "soc_percent": 30.0,
            "limit_percent": 90.0, "battery_kwh": 100.0, "power_kw": POWER_KW,
            "home": True,
        }  # fmt: skip
        for begin in range(0, self.vehicles, CARS_AT_ONCE):
            count = min(CARS_AT_ONCE, self.vehicles - begin)
            self.truth.tell("POST", "cars", {"cars": [car] * count})

    def _enrol(self) -> None:
        now = clock.now()
        enrolment.import_connections(smartcar.shared(), region="US", now=now)
        program = Program.objects.create(
            code="rehearsal",
            name="Rehearsal",
            restore_ramp_kw_per_minute=self.vehicles * RAMP_KW_PER_CAR,
        )
        Vehicle.objects.update(
            is_plugged_in=True, is_charging=True, is_home=True, soc_percent=30.0,
            limit_percent=90.0, power_kw=POWER_KW, usual_power_kw=POWER_KW,
            battery_kwh=50.0, plugged_in_at=now - timedelta(hours=1),
            observed_at=now - timedelta(minutes=1),
        )  # fmt: skip
        wishes = dict.fromkeys(Vehicle.objects.values_list("pk", flat=True), Wishes())
        enrolment.enrol_all(
            wishes, program=program, consent_wording="rehearsal",
            consent_source="rehearsal", now=now,
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

    # --- The event, and its end --

    def _hold(self) -> None:
        """Hold every car, and wait until the newest sheet knows it."""
        now = clock.now()
        grid_events.schedule(
            Program.objects.get(), kind=EventKind.TEST, starts_at=now,
            ends_at=now + timedelta(hours=4), target_kw=None, feeders=(), vehicles=(),
            priority=0, reason="rehearsal", signal=None, actor="rehearsal", now=now,
        )  # fmt: skip
        self.say("The event begins.")
        self._until(self._all_held, HELD_WITHIN_SECONDS, "The cars were not held.")
        self.say("All cars are held.")
        self._until(self._all_kept, HELD_WITHIN_SECONDS, "No sheet knows all holds.")

    def _all_held(self) -> bool:
        return Hold.objects.filter(status=HoldStatus.HELD).count() == self.vehicles

    def _all_kept(self) -> bool:
        there = place.of_settings()
        newest = there.newest() if there else None
        if newest is None:
            return False
        stops = {car.stop_answered_at for car in newest[1].owed}
        return len(newest[1].owed) == self.vehicles and None not in stops

    def _give_back(self, held: int) -> dict[str, Any]:
        """Run the command, kill it on its way as often as asked, and let it end."""
        for number in range(1, self.kills + 1):
            wanted = held * number // (self.kills + 1)
            process = self._command()
            self._until(
                lambda wanted=wanted: self._charging() >= wanted,  # type: ignore[misc]
                GIVEN_WITHIN_SECONDS,
                "Nobody is given back.",
            )
            process.send_signal(signal.SIGKILL)
            process.communicate()
            self.say(f"give_back was killed after {self._charging()} cars.")
        process = self._command()
        out, _ = process.communicate(timeout=GIVEN_WITHIN_SECONDS)
        if not out:
            raise ProcessFailed("give_back failed.", self.house.log("give_back"))
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found

    def _command(self) -> subprocess.Popen[str]:
        """Start `give_back` where there is neither a database nor Redis."""
        env = {
            **self.house.env,
            "DATABASE_URL": f"postgresql://nobody:x@{NOWHERE}/nothing",
            "REDIS_URL": f"redis://{NOWHERE}",
        }
        # Into a file: a pipe that nobody reads would hold it up.
        with self.house.log("give_back").open("ab") as said:
            return subprocess.Popen(
                [sys.executable, "manage.py", "give_back", "--main-is-gone", "--json"],
                cwd=CHECKOUT, env=env, text=True, stdout=subprocess.PIPE, stderr=said,
            )  # fmt: skip

    def _come_back(self) -> tuple[int, int]:
        """Start the main system again; return how many holds it learnt of, and owes."""
        self.house.start_services()
        self._start_main()

        def has_learnt() -> bool:
            there = place.of_settings()
            return there is not None and not there.numbers()

        self._until(
            has_learnt, LEARNT_WITHIN_SECONDS, "The main system learns nothing."
        )
        self._until(lambda: not Hold.objects.open().exists(), LEARNT_WITHIN_SECONDS, "")
        learnt = Hold.objects.filter(restore_reason="given back without us").count()
        return learnt, Hold.objects.open().count()

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


def _per_minute(moments: list[datetime]) -> float:
    """Return how many of these fall into the busiest minute."""
    ordered = sorted(moments)
    most, first = 0, 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] >= timedelta(minutes=1):
            first += 1
        most = max(most, last - first + 1)
    return float(most)
