"""The cars of one round, their event, and the people around them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from django.db.models import F

from dispatch import grid_events, holds
from dispatch.event_rules import Invalid, Stale, WrongMoment
from dispatch.lifecycle import EventStatus, HoldStatus
from dispatch.models import Command, GridEvent, Hold
from fleets import clock, enrolment
from fleets.enrolment import Wishes
from fleets.models import Enrolment, Program, RestoreStyle, Vehicle
from fleets.providers import smartcar
from gridbalance.chaos.patience import until
from gridbalance.chaos.plan import PHASE_SECONDS, Plan
from gridbalance.chaos.stack import SPEED, Stack
from gridbalance.demo import scene

# Makes that show within ten minutes what their cars do: a round is an hour.
MAKES = ("TESLA", "HYUNDAI", "KIA", "VOLVO", "AUDI", "BMW", "FORD", "VOLKSWAGEN")
NOTICE = timedelta(minutes=4)
REPORTS_WITHIN_SECONDS = 60.0
# What may charge after the event, a car: overnight most wait until the cap is lifted.
NIGHT_CAP_KW, NO_CAP_KW = 2.0, 1e6
POST_WITHIN_SECONDS = 60.0


@dataclass
class Crowd:
    """A program with its cars and one event."""

    stack: Stack
    plan: Plan
    program: Program
    ids: set[str]  # as the provider knows them
    late: list[str]
    lost: set[str] = field(default_factory=set)
    driven: set[str] = field(default_factory=set)
    event: GridEvent = field(init=False)

    # --- Before --

    @classmethod
    def gather(cls, stack: Stack, plan: Plan) -> Crowd:
        """Connect and enrol the cars, and let them report that they charge at home."""
        draw = Random(plan.seed)  # noqa: S311 - dice
        program = Program.objects.create(
            code=f"round-{Program.objects.count()}",
            name=f"Round {plan.seed}",
            tactic=plan.tactic,
            restore_ramp_kw_per_minute=10_000,
            restore_style=(
                RestoreStyle.OVERNIGHT if plan.is_overnight else RestoreStyle.EVENT_ONLY
            ),
            restore_cap_kw=plan.cars * NIGHT_CAP_KW if plan.is_overnight else NO_CAP_KW,
        )
        forms = [
            {
                "make": draw.choice(MAKES),
                "soc_percent": draw.uniform(35, 60),
                "power_kw": draw.choice((3.6, 7.4, 11.0)),
                "plugged_in": False,
            }
            for _ in range(plan.cars)
        ]
        made = stack.truth.tell("POST", "cars", {"cars": forms})["cars"]
        ids = [car["id"] for car in made]
        crowd = cls(stack, plan, program, set(ids), ids[: plan.late])
        crowd._enrol()
        present = ids[plan.late :]
        for car in present:
            crowd.change(car, plugged_in=True)
        until(
            lambda: crowd.vehicles().filter(is_charging=True).count() == len(present),
            within_seconds=REPORTS_WITHIN_SECONDS,
            else_say=lambda: "The cars' first reports did not come in.",
        )
        return crowd

    def _enrol(self) -> None:
        now = clock.now()
        enrolment.import_connections(smartcar.shared(), region="US", now=now)
        # Everybody leaves in 23 hours, whenever in the night this round begins.
        departure = (now - timedelta(hours=1)).time().replace(microsecond=0)
        enrolment.enrol_all(
            {
                pk: Wishes(ready_by=(departure,) * 7)
                for pk in self.vehicles().values_list("pk", flat=True)
            },
            program=self.program,
            consent_wording="chaos",
            consent_source="chaos",
            now=now,
        )
        if self.plan.is_overnight:
            consents = Enrolment.objects.filter(program=self.program)
            consents.annotate(third=F("pk") % 3).exclude(third=0).update(
                overnight_consented_at=now, overnight_consent_wording="chaos"
            )
        # Both sides begin with full buckets, and none has paid for the import.
        self.stack.truth.tell("PUT", "limits", {})
        scene.fill_buckets(now=clock.now())

    def call_event(self) -> None:
        """Post the event over REST, that starts soon and lasts for both phases."""
        starts_at = clock.now() + NOTICE
        holding = timedelta(seconds=PHASE_SECONDS * SPEED)
        # One that a cancel ends would go on for longer.
        length = holding * (2 if self.plan.ends_by_cancel else 1)
        assert self.stack.grid is not None
        status, body = self.stack.grid.post_event(
            key=self.program.code,
            program=self.program.code,
            starts_at=starts_at,
            ends_at=starts_at + length,
            target_kw=None,
            reason="chaos",
        )
        if status != 201:
            raise RuntimeError(f"The event was refused: {status} {body}")
        self.event = GridEvent.objects.get(pk=body["id"])

    # --- While it runs --

    def plug_in(self, car: str) -> None:
        """Let a car come home."""
        self.change(car, plugged_in=True)

    def change(self, car: str, **values: Any) -> None:
        """Let a customer or the world do something to a car."""
        self.stack.truth.tell("PATCH", f"cars/{car}", values)

    def lose(self, place: float) -> str | None:
        """Let a car that is held never be reached again; return which, if any is."""
        held = list(
            self.holds()
            .filter(status=HoldStatus.HELD)
            .exclude(vehicle__external_id__in=self.lost)
            .order_by("id")
            .values_list("vehicle__external_id", flat=True)
        )
        if not held:
            return None
        car = str(held[int(place * len(held))])
        self.stack.truth.tell("PUT", f"cars/{car}/faults", {"unreachable": 1})
        self.lost.add(car)
        return car

    def act(self, name: str, place: float) -> None:
        """Let one person do something."""
        ids = sorted(self.ids - self.lost)
        car = ids[int(place * len(ids))]
        now = clock.now()
        if name == "opt out":
            vehicle = Vehicle.objects.get(external_id=car)
            with suppress(Invalid, Stale, WrongMoment):
                grid_events.opt_out(vehicle, event=self.event, actor=car, now=now)
        elif name == "withdraw":
            consent = Enrolment.objects.get(vehicle__external_id=car)
            enrolment.withdraw(consent, now=now)
        elif name == "drive away":
            self.change(car, drive_away=True)
            self.driven.add(car)
        elif name == "restart":
            self.change(car, charging=True)
        else:
            self.event.refresh_from_db()
            later = self.event.ends_at + timedelta(minutes=1)
            with suppress(Invalid, Stale, WrongMoment):
                grid_events.amend(
                    self.event, {"ends_at": later}, actor="olga", now=now, why="chaos"
                )

    def end(self) -> None:
        """Cancel the event over REST, as often as it takes."""
        path = f"/api/v1/events/{self.event.pk}/cancel"

        def cancel() -> bool:
            assert self.stack.grid is not None
            try:
                key = f"{self.program.code}-cancel"
                status, _ = self.stack.grid.post(path, {"reason": "chaos"}, key=key)
            except Exception:  # noqa: BLE001 - whatever a dying server does to a client
                return False
            return status < 500

        until(
            cancel,
            within_seconds=POST_WITHIN_SECONDS,
            else_say=lambda: "The event could not be cancelled over REST.",
        )

    # --- Afterwards --

    def come_home(self) -> None:
        """Plug in who drove away, where their limits may wait for that."""
        for car in sorted(self.driven) if self.plan.tactic == "limit" else ():
            self.change(car, plugged_in=True)

    def lift_cap(self) -> None:
        """Let everybody who waits for a turn have it."""
        Program.objects.filter(pk=self.program.pk).update(restore_cap_kw=NO_CAP_KW)

    def is_over(self) -> bool:
        """Say whether the event owes nothing any more, but for cars that are lost."""
        running = GridEvent.objects.filter(program=self.program).exclude(
            status__in=[EventStatus.COMPLETED, EventStatus.CANCELLED]
        )
        if running.exclude(status=EventStatus.RESTORING).exists():
            return False
        owed = self.holds().open()
        return not owed.exclude(vehicle__external_id__in=self.lost).exists()

    def close_lost(self) -> None:
        """Let a person close what only a person can."""
        for hold in self.holds().filter(status=HoldStatus.UNRESOLVED):
            holds.close_by_hand(
                hold, actor="olga", now=clock.now(), why="the end of a round"
            )

    def vehicles(self) -> Any:
        """Return the rows of the cars."""
        return Vehicle.objects.filter(external_id__in=self.ids)

    def holds(self) -> Any:
        """Return what the cars were ever owed."""
        return Hold.objects.filter(event__program=self.program)

    def state(self, *, most: int = 12) -> str:
        """Return in words what is still open."""
        event = GridEvent.objects.get(pk=self.event.pk)
        lines = [f"event {event.pk} is {event.status}"]
        for hold in self.holds().open().select_related("vehicle").order_by("id")[:most]:
            commands = [
                f"{one.kind} {one.status} #{one.attempt} {one.code}"
                for one in Command.objects.filter(hold=hold).order_by("id")
            ]
            car = hold.vehicle.external_id
            lost = " (lost by plan)" if car in self.lost else ""
            lines.append(f"{car}{lost}: {hold.status} {commands}")
        return "\n".join(lines)
