"""One evening of a test: a program of its own, a handful of cars, an event.

Every evening has the same cast beside the cars that a test adds: makes that matter, one
car that is away, one below its minimum, one that cannot be stopped, and one that plugs
in during the event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any

from django.conf import settings

from dispatch import grid_events
from dispatch.lifecycle import CommandStatus, EventStatus, HoldStatus
from dispatch.models import Command, GridEvent, Hold, Participation
from fleets import clock, enrolment
from fleets.enrolment import Wishes
from fleets.models import Program, Vehicle, VehicleBucket
from fleets.providers import smartcar
from gridbalance import checker
from gridbalance.demo.truth import Call
from tests.acceptance.stack import SPEED, Stack
from tests.waiting import eventually

Car = dict[str, Any]

CAST: Mapping[str, Car] = {
    "tesla": {"make": "TESLA"},
    "volkswagen": {"make": "VOLKSWAGEN"},
    "hyundai": {"make": "HYUNDAI"},
    "ford": {"make": "FORD"},
    "away": {"make": "TESLA", "home": False},
    "low": {"make": "KIA", "soc_percent": 12.0},
    "nissan": {"make": "NISSAN"},  # sold in the US: it cannot be stopped
}
# Plugs in while the event runs.
LATE: Mapping[str, Car] = {"late": {"make": "TESLA"}}
HELD = ("tesla", "volkswagen", "hyundai", "ford")
SPARED = {
    "away": "not at home",
    "low": "below minimum charge",
    "nissan": "cannot be stopped and started",
}
NOTICE = timedelta(minutes=3)

_numbers = count(1)


@dataclass
class Evening:
    """A program with its cars, and the event that a test is about."""

    stack: Stack
    program: Program
    ids: dict[str, str]  # of the cars by name, as the provider knows them
    plugged: dict[str, Car]
    expected: set[str]  # names of those to be held

    # --- Before --

    @classmethod
    def open(
        cls,
        stack: Stack,
        more: Mapping[str, Car],
        *,
        cast: Mapping[str, Car] = CAST,
        late: Mapping[str, Car] = LATE,
    ) -> Evening:
        """Connect and enrol the cars, and let them report that they charge at home."""
        number = next(_numbers)
        program = Program.objects.create(
            code=f"evening-{number}",
            name=f"Evening {number}",
            restore_ramp_kw_per_minute=10_000,
            restore_cap_kw=1e6,  # back at once: evenings here last minutes
        )
        plugged = {**cast, **more}
        named = {**plugged, **late}
        forms = [
            {
                **{key: car[key] for key in car.keys() - {"home"}},
                "label": name,
                "plugged_in": False,
            }
            for name, car in named.items()
        ]
        made = stack.truth.tell("POST", "cars", {"cars": forms})["cars"]
        ids = {name: one["id"] for name, one in zip(named, made, strict=True)}
        evening = cls(stack, program, ids, plugged, named.keys() - SPARED.keys())
        evening._enrol()
        for name, car in plugged.items():
            evening.plug_in(name, home=car.get("home", True))
        evening._wait_for_reports()
        return evening

    def _enrol(self) -> None:
        now = clock.now()
        enrolment.import_connections(smartcar.shared(), region="US", now=now)
        vehicles = Vehicle.objects.filter(external_id__in=self.ids.values())
        VehicleBucket.objects.filter(vehicle__in=vehicles).update(
            tokens=settings.VEHICLE_BUCKET_CALLS, refilled_at=now
        )
        # Everybody leaves in 23 hours, whenever in the night this evening begins.
        departure = (now - timedelta(hours=1)).time().replace(microsecond=0)
        enrolment.enrol_all(
            {pk: Wishes(ready_by=(departure,) * 7) for pk in _ids(vehicles)},
            program=self.program,
            consent_wording="acceptance",
            consent_source="acceptance",
            now=now,
        )

    def _wait_for_reports(self) -> None:
        ids = [self.ids[name] for name in self.plugged]
        eventually(
            lambda: (
                Vehicle.objects.filter(external_id__in=ids, is_plugged_in=True).count()
                == len(ids)
            ),
            else_say=lambda: "The cars' first reports did not come in.",
        )

    # --- The event --

    def call_event(self, *, minutes: float = 90, **more: Any) -> GridEvent:
        """Post an event over REST, that starts soon."""
        status, body = self.post_event(minutes=minutes, **more)
        assert status == 201, body
        return GridEvent.objects.get(pk=body["id"])

    def post_event(
        self,
        *,
        minutes: float = 90,
        key: str = "",
        target_kw: float | None = None,
        **more: Any,
    ) -> tuple[int, Any]:
        """Return what REST answers to a wish for an event."""
        starts_at = more.pop("starts_at", None) or clock.now() + NOTICE
        return self.stack.grid.post_event(
            key=key or f"{self.program.code}-{next(_numbers)}",
            program=self.program.code,
            starts_at=starts_at,
            ends_at=starts_at + timedelta(minutes=minutes),
            target_kw=target_kw,
            reason="acceptance",
            **more,
        )

    def opt_out(self, name: str) -> None:
        """Take a car out of the event that runs, over REST."""
        status, body = self.stack.grid.post(
            f"/api/v1/events/{self.events.get().pk}/opt-outs",
            {"vehicle": self.vehicle(name).pk},
            key=f"{self.program.code}-{next(_numbers)}",
        )
        assert status == 201, body

    def end_early(self) -> None:
        """Let Olga end whatever runs."""
        for event in self.events.filter(status=EventStatus.ACTIVE):
            grid_events.end_early(event, actor="olga", now=clock.now())

    @property
    def events(self) -> Any:
        """Return the program's events."""
        return GridEvent.objects.filter(program=self.program)

    # --- The cars --

    def plug_in(self, name: str, **more: Any) -> None:
        """Let a car come home."""
        self.change(name, plugged_in=True, **more)

    def change(self, name: str, **values: Any) -> None:
        """Let a customer or the world do something to a car."""
        self.stack.truth.tell("PATCH", f"cars/{self.ids[name]}", values)

    def meet(self, name: str, **fault: Any) -> None:
        """Let a car's next calls, or its reports, meet a fault."""
        self.stack.truth.tell("PUT", f"cars/{self.ids[name]}/faults", fault)

    def slow_down(self, kind: str) -> None:
        """Let the next command of every car take a second."""
        for name in self.expected:
            self.meet(name, slow=1, calls=1, kinds=[kind])

    def vehicle(self, name: str) -> Vehicle:
        """Return a car's row."""
        return Vehicle.objects.get(external_id=self.ids[name])

    def true(self, name: str) -> dict[str, Any]:
        """Return a car's true state."""
        found: dict[str, Any] = self.stack.truth.get(f"cars/{self.ids[name]}")
        return found

    # --- What is seen --

    @property
    def holds(self) -> Any:
        """Return what the program's cars were ever owed."""
        return Hold.objects.filter(event__program=self.program)

    def hold(self, name: str) -> Hold:
        """Return a car's newest hold."""
        found: Hold = self.holds.filter(vehicle__external_id=self.ids[name]).latest(
            "id"
        )
        return found

    def commands(self, kind: str) -> Any:
        """Return the program's commands of one kind."""
        return Command.objects.filter(hold__event__program=self.program, kind=kind)

    def reason(self, name: str) -> str:
        """Return why the newest event did what it did with a car."""
        found = Participation.objects.filter(
            event__program=self.program, vehicle__external_id=self.ids[name]
        ).latest("event_id")
        return found.reason

    def calls(self, kind: str) -> list[Call]:
        """Return the calls of one kind that reached the provider for these cars."""
        mine = set(self.ids.values())
        return [
            call
            for call in self.stack.truth.calls()
            if call.kind == kind and call.vehicle in mine
        ]

    def wait_for_calls_on_the_wire(self, kind: str) -> None:
        """Return while calls of this kind have reached the provider, unanswered."""

        def are_waiting() -> bool:
            return any(call.status is None for call in self.calls(kind)) and bool(
                self.commands(kind).filter(status=CommandStatus.SENDING).exists()
            )

        eventually(are_waiting, else_say=lambda: f"No {kind} waits. {self.state()}")

    def wait_until_held(self, *names: str, within_seconds: float = 45) -> None:
        """Return when readings show that these cars, or all, are held."""
        wanted = [self.ids[name] for name in names or self.expected - {"late"}]

        def are_held() -> bool:
            held = self.holds.filter(
                status=HoldStatus.HELD, vehicle__external_id__in=wanted
            )
            return bool(held.count() == len(wanted))

        eventually(are_held, within_seconds=within_seconds, else_say=self.state)

    def wait_until_over(self, *, within_seconds: float = 60) -> None:
        """Return when everything is given back."""
        eventually(
            lambda: (
                not self.events.exclude(
                    status__in=[EventStatus.COMPLETED, EventStatus.CANCELLED]
                ).exists()
            ),
            within_seconds=within_seconds,
            else_say=self.state,
        )

    def state(self) -> str:
        """Return in words how far it has come."""
        names = {external_id: name for name, external_id in self.ids.items()}
        lines = [f"{event.pk}: {event.status}" for event in self.events]
        for hold in self.holds.select_related("vehicle").order_by("id"):
            commands = [
                f"{one.kind} {one.status} #{one.attempt} {one.code}"
                for one in Command.objects.filter(hold=hold).order_by("id")
            ]
            name = names.get(hold.vehicle.external_id, "?")
            lines.append(f"{name}: {hold.status} {hold.close_reason} {commands}")
        return "\n".join(lines)

    # --- The verdict --

    def judge(self) -> None:
        """Wait for the end; then nothing is owed and no promise was broken."""
        self.wait_until_over()
        for hold in self.holds.select_related("vehicle"):
            assert hold.status in {HoldStatus.RESTORED, HoldStatus.RELEASED}, (
                self.state()
            )
        for name in self.ids:
            true = self.true(name)
            if true["plugged_in"]:
                assert true["charging"], f"{name} does not charge.\n{self.state()}"
        broken = self.breaches()
        assert not broken, "\n".join([*broken, self.state()])

    def breaches(self) -> list[str]:
        """Return what the checker finds in this evening."""
        seen = checker.collect(self.stack.truth, speed=SPEED, program=self.program.code)
        return [str(breach) for breach in checker.breaches(seen)]


def _ids(vehicles: Any) -> list[int]:
    return list(vehicles.values_list("pk", flat=True))
