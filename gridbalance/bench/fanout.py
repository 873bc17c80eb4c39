"""How fast commands go out: the durable path against a loop that keeps nothing.

Both sides send the same number of commands to the same simulator with the same HTTP
client and the same number in flight. The durable side starts from queued rows and ends
when every outcome is written, with `synchronous_commit` on.
"""

from __future__ import annotations

import asyncio
import resource
import time
from dataclasses import asdict, dataclass
from datetime import timedelta

from django.conf import settings

from dispatch import control, fanout, grid_events
from dispatch.lifecycle import CommandStatus, EventKind
from dispatch.models import Command, Envelope
from fleets import clock, enrolment
from fleets.enrolment import Wishes
from fleets.models import Bucket, Program, Vehicle, VehicleBucket
from fleets.providers import smartcar
from fleets.providers.base import ProviderError, VehicleKey
from gridbalance.demo.truth import Truth

ENDLESS = 1_000_000_000.0
CARS_AT_ONCE = 1000
MEGABYTE = 1024


@dataclass(frozen=True)
class Result:
    """Rates per second, seconds, and the process's peak memory."""

    vehicles: int
    decide_seconds: float  # one turn of the loop: snapshot, decision, rows
    commands_per_s: float
    bare_http_per_s: float
    ratio_bare: float
    peak_mb: float

    def as_dict(self) -> dict[str, float]:
        """Return it for JSON."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


def measure(truth: Truth, *, vehicles: int) -> Result:
    """Stop a fleet of charging cars by rows, then start it by the bare loop."""
    now = clock.now()
    _fill(truth, vehicles)
    program = _enrol()
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
    began = time.perf_counter()
    control.turn(now=clock.now())
    decide_seconds = time.perf_counter() - began
    queued = Command.objects.filter(status=CommandStatus.QUEUED).count()
    assert queued == vehicles, f"{queued} of {vehicles} stops were queued"

    loop = fanout.loop_of_this_process()
    began = time.perf_counter()
    fanout.run(smartcar.shared(), loop=loop)
    durable = vehicles / (time.perf_counter() - began)
    sent = Command.objects.filter(status=CommandStatus.ACCEPTED).count()
    assert sent == vehicles, f"{sent} of {vehicles} stops were accepted"

    bare = vehicles / loop.run_until_complete(_bare(_keys()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE
    return Result(vehicles, decide_seconds, durable, bare, durable / bare, peak)


def _fill(truth: Truth, vehicles: int) -> None:
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


def _enrol() -> Program:
    """Bring the fleet in, as known and charging, with calls for all of it."""
    now = clock.now()
    enrolment.import_connections(smartcar.shared(), region="US", now=now)
    program = Program.objects.create(code="bench", name="Bench")
    Vehicle.objects.update(
        is_plugged_in=True,
        is_charging=True,
        is_home=True,
        soc_percent=40.0,
        limit_percent=90.0,
        power_kw=7.0,
        battery_kwh=20.0,  # needs little: nobody is spared for a departure
        plugged_in_at=now - timedelta(hours=1),
        observed_at=now - timedelta(minutes=1),
    )
    wishes = dict.fromkeys(Vehicle.objects.values_list("pk", flat=True), Wishes())
    enrolment.enrol_all(
        wishes, program=program, consent_wording="bench", consent_source="bench",
        now=now,
    )  # fmt: skip
    Envelope.objects.create(
        program=program, max_kw=ENDLESS, max_cars=2_000_000_000,
        max_kw_per_minute=ENDLESS,
    )  # fmt: skip
    settings.PROVIDER_BUCKET_CALLS = settings.PROVIDER_REFILL_PER_MINUTE = ENDLESS
    Bucket.objects.create(
        name="application", capacity=ENDLESS, refill_per_minute=ENDLESS,
        tokens=ENDLESS, refilled_at=now,
    )  # fmt: skip
    VehicleBucket.objects.update(tokens=6, refilled_at=now)
    return program


def _keys() -> list[VehicleKey]:
    return [
        VehicleKey(vehicle, user)
        for vehicle, user in Vehicle.objects.values_list(
            "external_id", "account__external_id"
        )
    ]


async def _bare(keys: list[VehicleKey]) -> float:
    """Send a command to each car and forget it; return the seconds it took."""
    provider = smartcar.shared()
    waiting = iter(keys)

    async def lane() -> None:
        for key in waiting:
            try:
                await provider.start_charging(key)
            except ProviderError:
                continue

    began = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(settings.FANOUT_IN_FLIGHT)))
    return time.perf_counter() - began
