"""How fast commands go out: the durable path against two others, in one run.

- *durable*: queued rows, tokens, claims, calls, outcomes and history, with
  `synchronous_commit` on, in as many worker processes as `--workers` says;
- *bare*: a loop of the same HTTP client with as many calls at once, which keeps
  nothing, in as many processes;
- *naive*: one Celery task a car with a synchronous client, over some of the cars.

All call the same simulator process, each from processes of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from time import perf_counter

from dispatch import control, grid_events
from dispatch.lifecycle import CommandStatus, EventKind
from dispatch.models import Command, Envelope
from fleets import clock, enrolment
from fleets.enrolment import Wishes
from fleets.models import Bucket, Program, Vehicle, VehicleBucket
from fleets.providers import smartcar
from gridbalance.bench import naive
from gridbalance.bench.sides import Done, Side, Work, bare, durable
from gridbalance.demo.truth import Truth

ENDLESS = 1_000_000_000  # calls and kW: what is measured is the path, not the limits
CARS_AT_ONCE = 1000
# One task a car takes its time; its rate does not depend on how many there are.
NAIVE_CARS = 2000


@dataclass(frozen=True)
class Result:
    """Rates per second, processor time per command, and a worker's peak memory."""

    vehicles: int
    workers: int
    decide_seconds: float  # one turn of the loop: snapshot, decision, rows
    commands_per_s: float
    bare_http_per_s: float
    naive_per_s: float
    ratio_bare: float
    ratio_naive: float
    worker_cpu_us: float  # per command, in the workers themselves
    bare_cpu_us: float
    worker_peak_mb: float

    def as_dict(self) -> dict[str, float]:
        """Return it for JSON."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


def measure(truth: Truth, *, vehicles: int, workers: int) -> Result:
    """Stop a fleet of charging cars by rows, and call it again by the other ways."""
    _fill(truth, vehicles)
    program = _enrol()
    decide_seconds = _decide(program, vehicles)

    sent = _together(durable, workers)
    accepted = Command.objects.filter(status=CommandStatus.ACCEPTED).count()
    assert accepted == vehicles, f"{accepted} of {vehicles} stops were accepted"
    asked = _together(bare, 1)

    some = list(Command.objects.order_by("id").values_list("pk", flat=True))
    some = some[:NAIVE_CARS]
    Command.objects.filter(pk__in=some).update(status=CommandStatus.QUEUED)
    naive_per_s = len(some) / naive.run(some)
    return Result(
        vehicles=vehicles,
        workers=workers,
        decide_seconds=decide_seconds,
        commands_per_s=vehicles / sent.seconds,
        bare_http_per_s=vehicles / asked.seconds,
        naive_per_s=naive_per_s,
        ratio_bare=asked.seconds / sent.seconds,
        ratio_naive=vehicles / sent.seconds / naive_per_s,
        worker_cpu_us=sent.cpu_seconds / vehicles * 1e6,
        bare_cpu_us=asked.cpu_seconds / vehicles * 1e6,
        worker_peak_mb=sent.peak_mb,
    )


def _together(prepare: Callable[[], Work], processes: int) -> Done:
    """Let several processes work at once; return the whole as if it were one."""
    sides = [Side(prepare) for _ in range(processes)]
    began = perf_counter()
    for side in sides:
        side.begin()
    done = [side.end() for side in sides]
    return Done(
        calls=sum(one.calls for one in done),
        seconds=perf_counter() - began,
        cpu_seconds=sum(one.cpu_seconds for one in done),
        peak_mb=max(one.peak_mb for one in done),
    )


def _decide(program: Program, vehicles: int) -> float:
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
