"""The stage: clock, feeders, program, consents, an operator and a grid system."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from random import Random

from django.conf import settings
from django.db import transaction

from dispatch.models import Envelope, GridClient
from fleets import clock, enrolment
from fleets.clock import Timeline
from fleets.enrolment import Wishes
from fleets.models import (
    Bucket,
    Feeder,
    Program,
    Substation,
    SystemClock,
    User,
    Vehicle,
    VehicleBucket,
)
from fleets.providers import smartcar

# A Tuesday in January: dark, cold, and everybody comes home.
STARTS_AT = datetime(2027, 1, 12, 17, 30, tzinfo=UTC)
PROGRAM = "evening-peak"
OPERATOR = "operator"
GRID_CLIENT = "Demo grid system"
FEEDERS = {
    "north": ("F-11 Harbour", "F-12 Mill Road", "F-13 Station"),
    "south": ("F-21 Campus", "F-22 Airport", "F-23 Lakeside"),
}
# What the program's cars may draw together while they are given back, per enrolled car.
# The simulator's evening reaches 2.3 kW a car at ten by itself: a cap below that makes
# everybody wait for the small hours.
RESTORE_CAP_KW_PER_CAR = 2.5
# Wishes of customers differ: most leave by seven, some at six, some have a late shift.
READY_BY = (time(6, 0), time(6, 30), time(7, 0), time(7, 30), time(9, 0))


@dataclass(frozen=True)
class Login:
    """How the demo's own people and machines get in."""

    operator: str
    password: str
    client_id: str
    client_secret: str


def is_foreign() -> bool:
    """Say whether the database holds anything that a demo did not make."""
    others = Program.objects.exclude(code=PROGRAM).exists()
    cars = Vehicle.objects.exclude(enrolments__consent_source="demo").exists()
    return others or cars


def set_clock(timeline: Timeline) -> None:
    """Bend time for every process."""
    SystemClock.objects.update_or_create(
        pk=1,
        defaults={
            "real": timeline.real,
            "simulated": timeline.simulated,
            "speed": timeline.speed or 1.0,
            "paused": timeline.speed == 0,
        },
    )
    clock.follow(timeline)


def pause_clock() -> datetime:
    """Let time stand still; return when."""
    now = clock.read().at(clock.real_now())
    SystemClock.objects.filter(pk=1).update(
        real=clock.real_now(), simulated=now, paused=True
    )
    return now


def enrol_fleet(*, seed: int, now: datetime) -> int:
    """Bring the connected cars in and record their customers' consent."""
    enrolment.import_connections(smartcar.shared(), region="US", now=now)
    program, _ = Program.objects.get_or_create(
        code=PROGRAM, defaults={"name": "Evening peak", "time_zone": "UTC"}
    )
    draw = Random(seed)  # noqa: S311  (a demo's dice)
    feeders = _feeders()
    vehicles = list(Vehicle.objects.order_by("external_id"))
    for vehicle in vehicles:
        vehicle.feeder = draw.choice(feeders)
    Vehicle.objects.bulk_update(vehicles, ["feeder"], batch_size=1000)
    wishes = {
        vehicle.pk: Wishes(
            ready_by=(draw.choice(READY_BY),) * 5 + (time(10, 0),) * 2,
            minimum_charge_percent=draw.choice((20.0, 30.0, 40.0)),
        )
        for vehicle in vehicles
    }
    enrolment.enrol_all(
        wishes,
        program=program,
        consent_wording="demo-1",
        consent_source="demo",
        now=now,
    )
    fill_buckets(now=now)
    return len(vehicles)


def fill_buckets(*, now: datetime) -> None:
    """Let an evening begin with the calls that a quiet afternoon saves up."""
    Bucket.objects.update_or_create(
        name="application",
        defaults={
            "capacity": settings.PROVIDER_BUCKET_CALLS,
            "refill_per_minute": settings.PROVIDER_REFILL_PER_MINUTE,
            "tokens": settings.PROVIDER_BUCKET_CALLS,
            "refilled_at": now,
        },
    )
    VehicleBucket.objects.update(tokens=settings.VEHICLE_BUCKET_CALLS, refilled_at=now)


def set_rules(*, fleet_kw: float, tactic: str) -> None:
    """Give the program its tactic, and bounds in proportion to the fleet."""
    program = Program.objects.get(code=PROGRAM)
    cap_kw = max(RESTORE_CAP_KW_PER_CAR * Vehicle.objects.count(), 25.0)
    Program.objects.filter(pk=program.pk).update(
        tactic=tactic,
        restore_cap_kw=cap_kw,
        restore_ramp_kw_per_minute=max(cap_kw / 10.0, 10.0),
    )
    Envelope.objects.update_or_create(
        program=program,
        defaults={
            "max_kw": fleet_kw,
            "max_cars": 1_000_000,
            "max_kw_per_minute": fleet_kw,
        },
    )


@transaction.atomic
def make_login() -> Login:
    """Make the operator and the grid system, each with a fresh secret."""
    password, secret = secrets.token_urlsafe(9), secrets.token_urlsafe(32)
    user, _ = User.objects.get_or_create(
        username=OPERATOR, defaults={"is_staff": True, "is_superuser": True}
    )
    user.set_password(password)
    user.save(update_fields=["password"])
    client, _ = GridClient.objects.get_or_create(
        name=GRID_CLIENT,
        defaults={
            "client_type": GridClient.CLIENT_CONFIDENTIAL,
            "authorization_grant_type": GridClient.GRANT_CLIENT_CREDENTIALS,
        },
    )
    client.client_secret = secret
    client.save(update_fields=["client_secret"])
    return Login(OPERATOR, password, client.client_id, secret)


def _feeders() -> list[Feeder]:
    feeders = []
    for station, names in FEEDERS.items():
        substation, _ = Substation.objects.get_or_create(
            code=station, defaults={"name": f"Substation {station.title()}"}
        )
        for name in names:
            code, _, place = name.partition(" ")
            feeder, _ = Feeder.objects.get_or_create(
                code=code.lower(), defaults={"name": place, "substation": substation}
            )
            feeders.append(feeder)
    return feeders


def minutes(count: float) -> timedelta:
    """Return a span of simulated minutes."""
    return timedelta(minutes=count)
