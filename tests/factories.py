"""Makers of records, as fixtures that return functions, and the cast.

Ada enrolled with one car, Ben withdrew, Chloé's car sleeps, Olga operates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from django.contrib.auth.models import Permission

from dispatch import grid_events
from dispatch.lifecycle import EventKind, EventStatus, ParticipationStatus
from dispatch.models import (
    Command,
    Envelope,
    GridClient,
    GridEvent,
    Hold,
    Participation,
)
from fleets import clock
from fleets.models import (
    Customer,
    CustomerGroup,
    Enrolment,
    EnrolmentStatus,
    Feeder,
    Program,
    ProviderAccount,
    Substation,
    SystemClock,
    User,
    Vehicle,
)

# A Monday evening in winter.
NOW = datetime(2026, 1, 12, 17, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECRET = "a secret that no grid system would have"

_numbers = count(1)

Make = Callable[..., Any]


@pytest.fixture
def set_clock(db: None) -> Iterator[Callable[[datetime], None]]:
    """Return a function that stops the clock at a moment."""

    def make(moment: datetime) -> None:
        SystemClock.objects.update_or_create(
            id=1,
            defaults={
                "real": clock.real_now(),
                "simulated": moment,
                "speed": 1.0,
                "paused": True,
            },
        )
        clock.follow(clock.read())

    yield make
    clock.follow(clock.REAL_TIME)
    clock._cache.read_at = float("-inf")


@pytest.fixture
def make_program(db: None) -> Callable[..., Program]:
    def make(code: str = "", **values: Any) -> Program:
        code = code or f"program-{next(_numbers)}"
        return Program.objects.create(code=code, **{"name": code.title(), **values})

    return make


@pytest.fixture
def make_feeder(db: None) -> Callable[..., Feeder]:
    def make(code: str = "", **values: Any) -> Feeder:
        code = code or f"F{next(_numbers)}"
        station, _ = Substation.objects.get_or_create(
            code="north", defaults={"name": "North"}
        )
        return Feeder.objects.create(
            code=code, **{"name": code, "substation": station, **values}
        )

    return make


@pytest.fixture
def make_customer(db: None) -> Callable[..., Customer]:
    def make(name: str = "", **values: Any) -> Customer:
        name = name or f"Customer {next(_numbers)}"
        return Customer.objects.create(**{"name": name, "created_at": NOW, **values})

    return make


@pytest.fixture
def make_group(db: None) -> Callable[..., CustomerGroup]:
    def make(*customers: Customer, code: str = "") -> CustomerGroup:
        code = code or f"group-{next(_numbers)}"
        group = CustomerGroup.objects.create(code=code, name=code.title())
        group.customers.set(customers)
        return group

    return make


@pytest.fixture
def make_vehicle(make_customer: Callable[..., Customer]) -> Callable[..., Vehicle]:
    """Return a maker of cars that charge at home, as read a minute ago."""

    def make(customer: Customer | None = None, **values: Any) -> Vehicle:
        number = next(_numbers)
        account = ProviderAccount.objects.create(
            customer=customer or make_customer(),
            external_id=f"user-{number}",
            connected_at=NOW,
        )
        state = {
            "external_id": f"vehicle-{number}",
            "make": "TESLA",
            "model": "Model 3",
            "is_plugged_in": True,
            "is_charging": True,
            "is_home": True,
            "soc_percent": 50.0,
            "limit_percent": 80.0,
            "power_kw": 7.0,
            "plugged_in_at": NOW - HOUR,
            "observed_at": NOW - timedelta(minutes=1),
            "received_at": NOW - timedelta(minutes=1),
        }
        return Vehicle.objects.create(account=account, **{**state, **values})

    return make


@pytest.fixture
def make_enrolment(
    make_vehicle: Callable[..., Vehicle],
) -> Callable[..., Enrolment]:
    """Return a maker of enrolments; `vehicle` values are passed to the car's maker."""

    def make(
        program: Program, vehicle: Vehicle | None = None, **values: Any
    ) -> Enrolment:
        consent = {
            "consented_at": NOW - 30 * 24 * HOUR,
            "consent_wording": "2026-01",
            "consent_source": "web",
        }
        if values.get("status") == EnrolmentStatus.WITHDRAWN:
            consent["withdrawn_at"] = NOW - HOUR
        return Enrolment.objects.create(
            vehicle=vehicle or make_vehicle(),
            program=program,
            **{**consent, **values},
        )

    return make


@pytest.fixture
def make_event(make_program: Callable[..., Program]) -> Callable[..., GridEvent]:
    """Return a maker of event rows as they are found in the middle of their life."""

    def make(
        program: Program | None = None,
        *,
        feeders: Sequence[Feeder] = (),
        substations: Sequence[Substation] = (),
        groups: Sequence[CustomerGroup] = (),
        vehicles: Sequence[Vehicle] = (),
        **values: Any,
    ) -> GridEvent:
        status = values.get("status", EventStatus.SCHEDULED)
        begun = status not in {
            EventStatus.DRAFT, EventStatus.PENDING, EventStatus.SCHEDULED,
        }  # fmt: skip
        event = GridEvent.objects.create(
            program=program or make_program(),
            **{
                "starts_at": NOW,
                "ends_at": NOW + 2 * HOUR,
                "created_at": NOW - HOUR,
                "created_by": "olga",
                "started_at": NOW if begun else None,
                **values,
            },
        )
        event.feeders.set(feeders)
        event.substations.set(substations)
        event.groups.set(groups)
        event.vehicles.set(vehicles)
        return event

    return make


@pytest.fixture
def make_client(db: None) -> Callable[..., GridClient]:
    """Return a maker of grid systems; all know the same `SECRET`."""

    def make(name: str = "", **values: Any) -> GridClient:
        client: GridClient = GridClient.objects.create(
            **{
                "name": name or f"grid-{next(_numbers)}",
                "client_secret": SECRET,
                "client_type": GridClient.CLIENT_CONFIDENTIAL,
                "authorization_grant_type": GridClient.GRANT_CLIENT_CREDENTIALS,
                **values,
            }
        )
        return client

    return make


@pytest.fixture
def make_user(db: None) -> Callable[..., User]:
    def make(username: str, *permissions: str, **values: Any) -> User:
        user = User.objects.create(username=username, **values)
        for name in permissions:
            app, codename = name.split(".")
            user.user_permissions.add(
                Permission.objects.get(content_type__app_label=app, codename=codename)
            )
        return user

    return make


def plan(program: Program, **values: Any) -> GridEvent:
    """Schedule an event of two hours from NOW on, as Olga."""
    wanted: dict[str, Any] = {
        "kind": EventKind.ECONOMIC,
        "starts_at": NOW,
        "ends_at": NOW + 2 * HOUR,
        "target_kw": None,
        "feeders": [],
        "vehicles": [],
        "priority": 0,
        "reason": "",
        "signal": None,
        "actor": "olga",
        "now": NOW,
    }
    return grid_events.schedule(program, **{**wanted, **values})


def bound(program: Program, **bounds: float) -> None:
    """Give a program's envelope other bounds."""
    envelope = Envelope.objects.of(program)
    Envelope.objects.filter(pk=envelope.pk).update(**bounds)


@pytest.fixture
def make_stop(ada: Vehicle) -> Callable[..., Command]:
    """Return a maker of a stop of Ada's car, with its hold and participation."""

    def make(event: GridEvent, **values: Any) -> Command:
        hold = Hold.objects.create(
            vehicle=ada,
            event=event,
            tactic="stop",
            was_charging=True,
            power_kw=7.0,
            state_observed_at=NOW,
            reason="target",
            opened_at=NOW,
        )
        Participation.objects.create(
            event=event,
            vehicle=ada,
            hold=hold,
            status=ParticipationStatus.CLAIMED,
            reason="target",
            judged_at=NOW,
        )
        command: dict[str, Any] = {
            "kind": "stop",
            "is_restore": False,
            "event_version": event.version,
            "created_at": NOW,
            "due_at": NOW,
            "deadline_at": NOW + HOUR,
        }
        return Command.objects.create(
            vehicle=ada, hold=hold, event=event, **{**command, **values}
        )

    return make


# --- The cast ---


@pytest.fixture
def program(make_program: Callable[..., Program]) -> Program:
    return make_program("evening-peak", name="Evening peak")


@pytest.fixture
def ada(
    program: Program,
    make_customer: Make,
    make_vehicle: Callable[..., Vehicle],
    make_enrolment: Make,
) -> Vehicle:
    """Return the car of Ada, who enrolled."""
    vehicle = make_vehicle(make_customer("Ada"))
    make_enrolment(program, vehicle)
    return vehicle


@pytest.fixture
def ben(
    program: Program,
    make_customer: Make,
    make_vehicle: Callable[..., Vehicle],
    make_enrolment: Make,
) -> Vehicle:
    """Return the car of Ben, who withdrew."""
    vehicle = make_vehicle(make_customer("Ben"))
    make_enrolment(program, vehicle, status=EnrolmentStatus.WITHDRAWN)
    return vehicle


@pytest.fixture
def chloe(
    program: Program,
    make_customer: Make,
    make_vehicle: Callable[..., Vehicle],
    make_enrolment: Make,
) -> Vehicle:
    """Return the car of Chloé: it sleeps, so its last reading is old."""
    vehicle = make_vehicle(
        make_customer("Chloé"),
        is_charging=False,
        power_kw=0.0,
        observed_at=NOW - 9 * HOUR,
        received_at=NOW - 9 * HOUR,
    )
    make_enrolment(program, vehicle)
    return vehicle


@pytest.fixture
def olga(make_user: Callable[..., User]) -> User:
    """Return Olga, who operates and may approve."""
    return make_user("olga", "dispatch.view_gridevent", "dispatch.approve_gridevent")
