"""The evening from the first light to the report."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Sum
from rich.console import Console

from dispatch import tasks
from dispatch.lifecycle import EventStatus
from dispatch.models import GridEvent
from fleets import clock
from fleets.clock import Timeline
from fleets.models import Vehicle
from gridbalance.demo import report, scene
from gridbalance.demo.arguments import Arguments
from gridbalance.demo.grid_system import GridSystem
from gridbalance.demo.progress import Bars
from gridbalance.demo.truth import Truth
from gridbalance.processes import Supervisor, beat, manage, web, worker

MOST_VEHICLES = 500  # without --vehicles: an evening in three minutes on two cores
# The demo's contract with its provider: two minutes for a fleet of 500 at once.
BUCKET_CALLS, REFILL_PER_MINUTE = 240, 120
# On its own clock, a provider's longest answer takes 310 s, a long one 175 s; on ours
# that is less, since its clock runs fast.
LONGEST_ANSWER_SECONDS, LONG_ANSWER_SECONDS = 310.0, 175.0
LEAST_TIMEOUT_SECONDS = 3.0
NOTICE = timedelta(minutes=6)
TARGET_SHARE = 1.0  # of what charges when the event is called: plug-ins must help
# The share of the fleet that must be known when the event is called, and the one that
# suffices after a while (simulated).
READY_SHARE, LEAST_SHARE = 0.9, 0.3
READY_WITHIN = timedelta(minutes=10)
READY_SECONDS = 90.0
# Real time for everything to be given back, beyond the event's own.
PATIENCE = timedelta(hours=14)
LOOK_SECONDS = 0.25


class EveningFailed(RuntimeError):
    """The evening did not come to its end; the message says where to look."""


class Evening:
    """One run: set the scene, let time pass, report."""

    def __init__(
        self, house: Supervisor, arguments: Arguments, say: Callable[[str], None]
    ) -> None:
        self.house = house
        self.arguments = arguments
        self.say = say
        self.port = house.port("web")
        self.origin = f"http://127.0.0.1:{self.port}"
        self.truth = Truth(house.port("simulator"))

    def run(
        self, *, stay: bool, print_json: Callable[[dict[str, object]], None] | None
    ) -> int:
        """Let the evening pass; return the exit status."""
        self._set_environment()
        self.house.announce(self.origin)
        self.house.start_services()
        self.say("database: migrating")
        self.house.run_manage("migrate", "--no-input")
        goes_on = self._goes_on()
        if scene.is_foreign():
            raise EveningFailed(
                "This database holds programs that are not the demo's: it would have "
                "to empty it. Unset DATABASE_URL, or name an empty database."
            )
        if not goes_on:
            self._wipe()
        self._start_simulator()
        self.house.start(web(self.port))
        self.house.wait_until_answers("web", self.port, "/healthz")
        if not goes_on:
            self._set_scene()
        login = scene.make_login()
        self.house.start(
            beat(self.house.data_dir), worker("control"), worker("fanout", processes=2)
        )
        try:
            self._start_time(goes_on=goes_on)
            self.say(f"page: {self.origin}/  login: {login.operator} {login.password}")
            event = self._event(GridSystem(self.origin, login))
            self._watch(event)
            status = self._report(event, print_json)
            if stay:
                self._stay(login)
            return status
        finally:
            self._stop_time()

    # --- Before ---------------------------------------------------------------------

    def _set_environment(self) -> None:
        """Tell every process where the provider is, and how fast its clock runs."""
        speed = self.arguments.speed
        timeout = max(LONGEST_ANSWER_SECONDS / speed, LEAST_TIMEOUT_SECONDS)
        secret = {
            name: os.environ.get(name) or secrets.token_hex(20)
            for name in ("SMARTCAR_CLIENT_SECRET", "SMARTCAR_MANAGEMENT_TOKEN")
        }
        os.environ.update(
            {
                **secret,
                "SMARTCAR_CLIENT_ID": "demo",
                "SMARTCAR_IAM_ORIGIN": self.truth.origin,
                "SMARTCAR_VEHICLE_ORIGIN": self.truth.origin,
                "PROVIDER_TIMEOUT_SECONDS": str(timeout),
                "PROVIDER_BUCKET_CALLS": str(BUCKET_CALLS),
                "PROVIDER_REFILL_PER_MINUTE": str(REFILL_PER_MINUTE),
                "TICK_SECONDS": "0.5",
            }
        )
        _follow_environment()

    def _goes_on(self) -> bool:
        """Say whether this folder holds this very evening, not yet at its end."""
        if Arguments.remembered(self.house.data_dir) != self.arguments:
            return False
        event = GridEvent.objects.order_by("-id").first()
        return event is None or event.status not in {
            EventStatus.COMPLETED,
            EventStatus.CANCELLED,
        }

    def _wipe(self) -> None:
        """Forget the last evening, in the rows and in the simulator."""
        Arguments.forget(self.house.data_dir)
        self._state_file.unlink(missing_ok=True)
        self.house.run_manage("flush", "--no-input")

    @property
    def _state_file(self) -> Any:
        return self.house.data_dir / "simulator.json"

    def _start_simulator(self) -> None:
        args = self.arguments
        words = {
            "--port": self.truth.origin.rpartition(":")[2],
            "--speed": "0",
            "--seed": args.seed,
            "--start": scene.STARTS_AT.isoformat(),
            "--vehicles": args.vehicles or (None if args.sessions else MOST_VEHICLES),
            "--sessions": args.sessions,
            "--faults": args.faults or None,
            "--client-id": "demo",
            "--state": self._state_file,
            "--webhook-url": f"{self.origin}/webhooks/smartcar",
            "--application-bucket": BUCKET_CALLS,
            "--application-refill": REFILL_PER_MINUTE,
            "--long-answer-after": LONG_ANSWER_SECONDS / args.speed,
        }
        flat = [
            str(part)
            for name, value in words.items()
            if value is not None
            for part in (name, value)
        ]
        self.house.start(manage("simulator", "simulator", *flat))
        port = int(self.truth.origin.rpartition(":")[2])
        self.house.wait_until_answers("simulator", port, "/_sim/clock")

    def _set_scene(self) -> None:
        scene.set_clock(Timeline(clock.real_now(), scene.STARTS_AT, 0.0))
        tasks.keep_house()
        cars = scene.enrol_fleet(seed=self.arguments.seed, now=scene.STARTS_AT)
        self.arguments.remember(self.house.data_dir)
        self.say(f"fleet: {cars} cars enrolled in {scene.PROGRAM}")

    def _start_time(self, *, goes_on: bool) -> None:
        """Let the clock run, for us and for the provider alike."""
        simulated = datetime.fromisoformat(self.truth.get("clock")["now"])
        timeline = Timeline(clock.real_now(), simulated, self.arguments.speed)
        scene.set_clock(timeline)
        self.truth.follow(timeline)
        if goes_on:
            self.say(f"clock: goes on at {simulated:%H:%M} UTC")

    def _stop_time(self) -> None:
        """Let the clock stand still, so that nothing is lost while nobody is here."""
        connection.close()
        now = scene.pause_clock()
        self.truth.follow(Timeline(clock.real_now(), now, 0.0))

    # --- The event ------------------------------------------------------------------

    def _event(self, grid: GridSystem) -> GridEvent:
        """Call the peak event over REST, unless that has happened."""
        event = GridEvent.objects.order_by("-id").first()
        if event is not None:
            return event
        self._wait_for_readings()
        charging_kw = (
            Vehicle.objects.charging().aggregate(kw=Sum("power_kw"))["kw"] or 0.0
        )
        fleet_kw = Vehicle.objects.aggregate(kw=Sum("usual_power_kw"))["kw"] or 0.0
        scene.set_rules(fleet_kw=fleet_kw, tactic=self.arguments.tactic)
        starts_at = clock.now() + NOTICE
        status, body = grid.post_event(
            key=f"demo-{self.arguments.seed}-{starts_at:%Y%m%d%H%M}",
            program=scene.PROGRAM,
            starts_at=starts_at,
            ends_at=starts_at + timedelta(minutes=self.arguments.event_minutes),
            target_kw=round(max(TARGET_SHARE * charging_kw, 1.0), 1),
            reason="Evening peak of the demo",
        )
        if status != 201:
            raise EveningFailed(f"The event was refused: {status} {body}")
        self.say(f"event: posted over REST, {body['status']}, id {body['id']}")
        return GridEvent.objects.get(pk=body["id"])

    def _wait_for_readings(self) -> None:
        """Wait until most of the fleet has reported itself once.

        Some makes take an hour, and a report may get lost: after a while, the evening
        begins with those that have.
        """
        total = Vehicle.objects.count()
        began = clock.now()

        def is_ready() -> bool:
            known = Vehicle.objects.exclude(observed_at=None).count()
            patient = clock.now() - began < READY_WITHIN
            return known >= (READY_SHARE if patient else LEAST_SHARE) * total

        self._until(
            is_ready,
            "The cars' first reports did not come in",
            seconds=READY_SECONDS + READY_WITHIN.total_seconds() / self.arguments.speed,
        )

    def _watch(self, event: GridEvent) -> None:
        """Show the evening until everything is given back."""
        limit = event.ends_at + PATIENCE
        bars = Bars.on(Console(stderr=True))
        with bars.progress:

            def is_over() -> bool:
                now = clock.now()
                bars.show(event, now=now)
                if now > limit:
                    Arguments.forget(self.house.data_dir)
                    raise EveningFailed(
                        f"Not everything was given back by {limit:%H:%M}; see the page"
                        f" and the logs in {self.house.data_dir / 'logs'}"
                    )
                return event.status in {EventStatus.COMPLETED, EventStatus.CANCELLED}

            self.house.watch(is_over)

    def _until(
        self, condition: Callable[[], bool], complaint: str, *, seconds: float
    ) -> None:
        deadline = clock.real_now() + timedelta(seconds=seconds)

        def is_so() -> bool:
            if condition():
                return True
            if clock.real_now() > deadline:
                logs = self.house.data_dir / "logs"
                raise EveningFailed(f"{complaint} in {seconds:g} s; see {logs}")
            return False

        self.house.watch(is_so)

    # --- After ----------------------------------------------------------------------

    def _report(
        self,
        event: GridEvent,
        print_json: Callable[[dict[str, object]], None] | None,
    ) -> int:
        found, broken = report.write(event, self.truth, speed=self.arguments.speed)
        Console().print(found.table())
        for breach in broken[:20]:
            self.say(f"BROKEN {breach}")
        if print_json is not None:
            print_json(found.as_dict())
        return 1 if found.unresolved or found.promises_broken else 0

    def _stay(self, login: scene.Login) -> None:
        """Leave the page up, at the pace of real life."""
        timeline = Timeline(clock.real_now(), clock.now(), 1.0)
        scene.set_clock(timeline)
        self.truth.follow(timeline)
        self.say(
            f"The page stays at {self.origin}/ (login: {login.operator}"
            f" {login.password}). Ctrl-C stops everything."
        )
        self.house.watch()


def _follow_environment() -> None:
    """Bring this process's settings up to the environment it made for the others."""
    from django.conf import settings

    settings.SMARTCAR_CLIENT_ID = os.environ["SMARTCAR_CLIENT_ID"]
    settings.SMARTCAR_CLIENT_SECRET = os.environ["SMARTCAR_CLIENT_SECRET"]
    settings.SMARTCAR_IAM_ORIGIN = os.environ["SMARTCAR_IAM_ORIGIN"]
    settings.SMARTCAR_VEHICLE_ORIGIN = os.environ["SMARTCAR_VEHICLE_ORIGIN"]
    settings.PROVIDER_BUCKET_CALLS = float(os.environ["PROVIDER_BUCKET_CALLS"])
    settings.PROVIDER_REFILL_PER_MINUTE = float(
        os.environ["PROVIDER_REFILL_PER_MINUTE"]
    )
