"""Overnight: a car that plugs in after an event joins those that wait, if it may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dispatch import grid_events, switch
from dispatch.lifecycle import EventStatus
from dispatch.models import Command, GridEvent, Hold
from dispatch.planner import Reason
from fleets import enrolment
from fleets.models import Departure, Enrolment, Program, RestoreStyle, Vehicle
from fleets.providers.base import Report
from tests.dispatch.conftest import House
from tests.factories import HOUR, NOW

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]
CHARGES: dict[str, Any] = {
    "is_plugged_in": True,
    "is_charging": True,
    "is_home": True,
    "power_kw": 7.0,
}
CONSENT = {
    "overnight_consented_at": NOW - 24 * HOUR,
    "overnight_consent_wording": "2026-01 overnight",
}


@pytest.fixture
def night(make_program: Make) -> Program:
    """Return a program in which one car may charge at a time, after an event."""
    program: Program = make_program(
        restore_style=RestoreStyle.OVERNIGHT, restore_cap_kw=8.0
    )
    return program


@pytest.fixture
def waiting(night: Program, make_enrolment: Make, give_calls: Make) -> Vehicle:
    """Return a car that the event holds."""
    vehicle: Vehicle = make_enrolment(night, **CONSENT).vehicle
    give_calls(vehicle)
    return vehicle


@pytest.fixture
def late(night: Program, make_enrolment: Make, give_calls: Make) -> Vehicle:
    """Return a car that comes home after the event; its charge can wait for longer."""
    vehicle: Vehicle = make_enrolment(night, **CONSENT).vehicle
    Vehicle.objects.filter(pk=vehicle.pk).update(
        is_plugged_in=False, is_charging=False, plugged_in_at=None, power_kw=0.0,
        soc_percent=70.0,
    )  # fmt: skip
    give_calls(vehicle)
    return vehicle


@pytest.fixture
def event(
    night: Program,
    waiting: Vehicle,
    late: Vehicle,
    make_event: Make,
    make_enrolment: Make,
    house: House,
) -> GridEvent:
    """Return an event that is over; another car charges, so that one has to wait."""
    event: GridEvent = make_event(night, status=EventStatus.ACTIVE, ends_at=NOW + HOUR)
    house.turn()
    assert [kind for kind, _ in house.send()] == ["stop"]
    house.report(waiting, is_plugged_in=True, is_charging=False, is_home=True)
    house.turn()
    house.wait(minutes=61)
    other = make_enrolment(night).vehicle
    house.report(other, **CHARGES)
    house.report(late, is_plugged_in=False, is_charging=False)
    house.report(waiting, is_plugged_in=True, is_charging=False, is_home=True)
    house.turn()
    event.refresh_from_db()
    assert event.status == EventStatus.RESTORING
    assert house.send() == []
    return event


def arrive(house: House, vehicle: Vehicle) -> None:
    """Let a car come home and be judged."""
    house.report(vehicle, **CHARGES)
    house.turn()


def stop(vehicle: Vehicle) -> tuple[str, str]:
    """Return the call that stops a car."""
    return ("stop", vehicle.external_id)


def test_it_is_stopped_and_given_back_in_its_turn(
    event: GridEvent, waiting: Vehicle, late: Vehicle, house: House
) -> None:
    arrive(house, late)

    assert house.send() == [stop(late)]
    assert Hold.objects.get(vehicle=late).reason == Reason.QUEUED
    house.report(late, is_plugged_in=True, is_charging=False, is_home=True)
    house.turn()
    assert Hold.objects.get(vehicle=late).status == "held"

    # Room for one: whoever has less slack.
    Vehicle.objects.exclude(pk__in=[waiting.pk, late.pk]).update(is_charging=False)
    house.turn()
    assert house.send() == [("start", waiting.external_id)]
    house.report(waiting, **CHARGES)
    house.turn()
    assert house.send() == []
    house.wait(hours=1)
    house.report(waiting, is_plugged_in=True, is_charging=False, is_home=True)
    house.turn()
    assert house.send() == [("start", late.external_id)]
    house.report(late, **CHARGES)
    house.turn()
    event.refresh_from_db()
    assert event.status == EventStatus.COMPLETED


def test_a_car_that_was_given_back_charges_on(
    event: GridEvent, waiting: Vehicle, late: Vehicle, house: House
) -> None:
    """It starts once, though others wait by then who have less slack."""
    arrive(house, late)
    house.send()
    house.report(late, is_plugged_in=True, is_charging=False, is_home=True)
    Vehicle.objects.exclude(pk__in=[waiting.pk, late.pk]).update(is_charging=False)
    house.turn()
    house.send()
    house.report(waiting, **CHARGES)
    Vehicle.objects.filter(pk=waiting.pk).update(soc_percent=79.0)

    for _ in range(3):
        house.wait(minutes=1)
        house.turn()

    assert house.send() == []
    assert Hold.objects.get(vehicle=waiting).status == "restored"


def test_without_its_own_consent_it_is_left_alone(
    event: GridEvent, late: Vehicle, house: House
) -> None:
    Enrolment.objects.filter(vehicle=late).update(
        overnight_consented_at=None, overnight_consent_wording=""
    )
    arrive(house, late)

    assert house.send() == []
    assert not Hold.objects.filter(vehicle=late).exists()


def test_where_webhooks_are_silent_it_is_asked(
    event: GridEvent, late: Vehicle, house: House
) -> None:
    came = [NOW + 2 * HOUR - n * 24 * HOUR for n in range(1, 40)]
    Departure.objects.bulk_create(
        Departure(vehicle=late, plugged_in_at=at, left_at=at + 12 * HOUR) for at in came
    )
    Vehicle.objects.filter(pk=late.pk).update(received_at=NOW, webhook_at=None)
    house.provider.reports[late.external_id] = Report(
        late.external_id, observed_at=NOW + 2 * HOUR, soc_percent=70.0, **CHARGES
    )
    house.wait(minutes=70)
    house.turn()

    assert ("read", late.external_id) in house.send()
    house.turn()
    assert house.send() == [stop(late)]


def test_after_a_cancelled_event_nobody_joins(
    event: GridEvent, late: Vehicle, house: House
) -> None:
    GridEvent.objects.update(cancelled_at=NOW + HOUR)
    arrive(house, late)

    assert house.send() == []


@pytest.mark.parametrize("how", ["consent", "withdrawal", "switch", "unplugged"])
def test_whatever_comes_between_its_turn_and_its_stop_wins(
    event: GridEvent, late: Vehicle, house: House, how: str
) -> None:
    arrive(house, late)
    assert Command.objects.filter(vehicle=late, status="queued").exists()

    if how == "consent":
        Enrolment.objects.filter(vehicle=late).update(
            overnight_consented_at=None, overnight_consent_wording=""
        )
    elif how == "withdrawal":
        enrolment.withdraw(Enrolment.objects.get(vehicle=late), now=house.now)
    elif how == "switch":
        switch.stop_new_holds(program=None, actor="olga", now=house.now)
    else:
        house.report(late, is_plugged_in=False, is_charging=False)
        house.turn()

    assert house.send() == []
    house.turn()
    house.turn()
    assert not Hold.objects.open().filter(vehicle=late).exists()


def test_an_opt_out_ends_its_waiting(
    event: GridEvent, late: Vehicle, house: House
) -> None:
    arrive(house, late)
    grid_events.opt_out(late, event=event, actor="late", now=house.now)

    assert house.send() == []
    house.turn()
    assert not Hold.objects.open().filter(vehicle=late).exists()


def test_its_stop_stays_queued_from_turn_to_turn(
    event: GridEvent, late: Vehicle, house: House
) -> None:
    """A busy provider is no reason to let go of it and to take it anew."""
    arrive(house, late)
    house.wait(minutes=5)
    house.turn()

    assert Hold.objects.filter(vehicle=late).count() == 1
    assert house.send() == [stop(late)]


def test_a_stop_that_did_not_leave_in_time_is_decided_anew(
    event: GridEvent, late: Vehicle, house: House
) -> None:
    arrive(house, late)
    house.wait(minutes=16)

    assert house.send() == []
    house.turn()
    assert Command.objects.filter(vehicle=late, status="expired").count() == 1
    assert house.send() == [stop(late)]
    statuses = Hold.objects.filter(vehicle=late).values_list("status", flat=True)
    assert sorted(statuses) == ["released", "taking"]
