"""A provider that says no, at whatever length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dispatch.lifecycle import CommandStatus, HoldStatus
from dispatch.models import Command, GridEvent, Hold, Participation
from fleets.models import Program, Vehicle
from fleets.providers.base import AccessRevoked
from tests.dispatch.conftest import House
from tests.factories import NOW

Make = Callable[..., Any]
LONG_CODE = "CONNECTED_SERVICES_ACCOUNT:VEHICLE_MISSING_FROM_THE_OWNERS_ACCOUNT"


@pytest.fixture
def cars(
    program: Program, make_enrolment: Make, make_event: Make, give_calls: Make
) -> list[Vehicle]:
    """Return two cars that charge at home, in an event that begins."""
    cars = [make_enrolment(program).vehicle for _ in range(2)]
    for car in cars:
        give_calls(car)
    event: GridEvent = make_event(program)
    assert event.starts_at == NOW
    return cars


def test_a_long_refusal_of_one_stop_loses_no_other_outcome(
    house: House, cars: list[Vehicle]
) -> None:
    refused, other = cars
    house.provider.answers[refused.external_id] = [AccessRevoked(LONG_CODE)]

    house.turn()
    house.send()

    assert Hold.objects.get(vehicle=refused).status == HoldStatus.RELEASED
    assert Hold.objects.get(vehicle=refused).close_reason == "could not be held"
    assert Command.objects.get(vehicle=refused).code == LONG_CODE
    assert Participation.objects.get(vehicle=refused).reason == "could not be held"
    assert Command.objects.get(vehicle=other).status == CommandStatus.ACCEPTED
