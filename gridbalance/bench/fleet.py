"""Cars at the simulator, enrolled and charging, with a stop queued for each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from time import perf_counter

from dispatch import control, grid_events
from dispatch.lifecycle import CommandStatus, EventKind
from dispatch.models import Command, Envelope
from fleets import clock, enrolment, partitions
from fleets.enrolment import Wishes
from fleets.models import Bucket, Program, Vehicle, VehicleBucket
from fleets.providers import smartcar
from gridbalance.demo.truth import Truth

ENDLESS = 1_000_000_000  # calls and kW: what is measured is the path, not the limits
CARS_AT_ONCE = 1000


def fill(truth: Truth, vehicles: int) -> None:
    """Put cars into the simulator that charge and will for hours."""
    truth.tell("PUT", "limits", {"application_bucket": 0, "vehicle_bucket": 0})
    for begin in range(0, vehicles, CARS_AT_ONCE):
        car = {
            "make": "TESLA",
            "plugged_in": True,
            "soc_percent": 40.0,
            "limit_percent": 90.0,
            "battery_kwh": 80.0,
            "power_kw": 7.0,
            "home": True,
        }
        count = min(CARS_AT_ONCE, vehicles - begin)
        truth.tell("POST", "cars", {"cars": [car] * count})


def enrol() -> Program:
    """Bring the fleet in, as known and charging, with calls for all of it."""
    now = clock.now()
    partitions.CHANGES.make_ahead(now, ahead=timedelta())
    enrolment.import_connections(smartcar.shared(), region="US", now=now)
    # Nobody is spared for a departure, whatever the hour is.
    ready_by = (now + timedelta(hours=23)).time()
    program = Program.objects.create(
        code="bench", name="Bench", ready_by=ready_by, restore_cap_kw=ENDLESS
    )
    Vehicle.objects.update(
        is_plugged_in=True,
        is_charging=True,
        is_home=True,
        soc_percent=40.0,
        limit_percent=90.0,
        power_kw=7.0,
        battery_kwh=20.0,
        plugged_in_at=now - timedelta(hours=1),
        observed_at=now - timedelta(minutes=1),
    )
    wishes = dict.fromkeys(Vehicle.objects.values_list("pk", flat=True), Wishes())
    enrolment.enrol_all(
        wishes, program=program, consent_wording="bench", consent_source="bench",
        now=now,
    )  # fmt: skip
    for of in (program, None):
        Envelope.objects.create(
            program=of, max_kw=ENDLESS, max_cars=2_000_000_000,
            max_kw_per_minute=ENDLESS,
        )  # fmt: skip
    Bucket.objects.create(
        name="application", capacity=ENDLESS, refill_per_minute=ENDLESS,
        tokens=ENDLESS, refilled_at=now,
    )  # fmt: skip
    VehicleBucket.objects.update(tokens=6, refilled_at=now)
    return program


def decide(program: Program, vehicles: int) -> float:
    """Start an event that stops every car; return the seconds of its first turn."""
    now = clock.now()
    grid_events.schedule(
        program,
        kind=EventKind.TEST,
        starts_at=now,
        ends_at=now + timedelta(hours=1),
        target_kw=None,
        feeders=(),
        vehicles=(),
        priority=0,
        reason="bench",
        signal=None,
        actor="bench",
        now=now,
    )
    began = perf_counter()
    control.turn(now=clock.now())
    seconds = perf_counter() - began
    queued = Command.objects.filter(status=CommandStatus.QUEUED).count()
    assert queued == vehicles, f"{queued} of {vehicles} stops were queued"
    return seconds


def put_off(command_ids: Sequence[int]) -> None:
    """Let these commands be due when nobody looks any more."""
    later = clock.now() + timedelta(days=1)
    Command.objects.filter(pk__in=command_ids).update(due_at=later)


def let_go(command_ids: Sequence[int]) -> None:
    """Let these commands be due now."""
    Command.objects.filter(pk__in=command_ids).update(due_at=clock.now())


def check_accepted(wanted: int) -> None:
    """Find so many commands accepted: a rate of what went wrong would be none."""
    accepted = Command.objects.filter(status=CommandStatus.ACCEPTED).count()
    assert accepted == wanted, f"{accepted} of {wanted} stops were accepted"
