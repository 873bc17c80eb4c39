"""What events are aimed at: feeders, substations, customer groups, single cars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dispatch import envelope, event_rules, grid_events, snapshot
from dispatch.event_rules import Invalid
from dispatch.lifecycle import EventStatus
from dispatch.models import GridEvent
from fleets.models import CustomerGroup, Feeder, Program, Substation, Vehicle
from tests.factories import HOUR, NOW, bound, plan

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]


@pytest.fixture
def north(make_feeder: Make) -> Feeder:
    feeder: Feeder = make_feeder("N1")
    return feeder


@pytest.fixture
def south(make_feeder: Make) -> Feeder:
    station = Substation.objects.create(code="south", name="South")
    feeder: Feeder = make_feeder("S1", substation=station)
    return feeder


@pytest.fixture
def cars(
    program: Program, north: Feeder, south: Feeder, make_vehicle: Make,
    make_enrolment: Make,
) -> dict[str, Vehicle]:  # fmt: skip
    """Return enrolled cars by name: two in the north, one south, one unplaced."""
    places = {"ada": north, "bo": north, "cy": south, "di": None}
    made = {name: make_vehicle(feeder=feeder) for name, feeder in places.items()}
    for vehicle in made.values():
        make_enrolment(program, vehicle)
    return made


@pytest.fixture
def pilot(cars: dict[str, Vehicle], make_group: Make) -> CustomerGroup:
    """Return the group of Ada and Cy."""
    group: CustomerGroup = make_group(
        cars["ada"].account.customer, cars["cy"].account.customer, code="pilot"
    )
    return group


def decided_for(event: GridEvent, cars: dict[str, Vehicle]) -> set[str]:
    """Return the cars that the planner sees as aimed at."""
    seen = snapshot.take(event.program, [event], now=NOW)
    names = {vehicle.pk: name for name, vehicle in cars.items()}
    return {
        names[int(pk)]
        for pk, aimed in zip(seen.cars.vehicle_id, seen.events[0].aimed, strict=True)
        if aimed
    }


@pytest.mark.parametrize(
    ("aim", "expected"),
    [
        # Nothing is everything, cars without a feeder too.
        ({}, {"ada", "bo", "cy", "di"}),
        ({"feeders": ["N1"]}, {"ada", "bo"}),
        ({"substations": ["north"]}, {"ada", "bo"}),
        # Feeders and substations add up.
        ({"feeders": ["S1"], "substations": ["north"]}, {"ada", "bo", "cy"}),
        ({"groups": ["pilot"]}, {"ada", "cy"}),
        # A group narrows a place, and single cars narrow both.
        ({"groups": ["pilot"], "substations": ["south"]}, {"cy"}),
        ({"groups": ["pilot"], "vehicles": ["ada", "bo"]}, {"ada"}),
        # Nothing hangs on it: that is nobody, not everybody.
        ({"substations": ["empty"]}, set()),
    ],
)
def test_what_is_aimed_at_is_what_is_decided_for_and_measured(
    program: Program,
    cars: dict[str, Vehicle],
    pilot: CustomerGroup,
    aim: dict[str, list[str]],
    expected: set[str],
) -> None:
    Substation.objects.create(code="empty", name="Empty")
    event = plan(program, **named(aim, cars))

    assert decided_for(event, cars) == expected
    step = envelope.step(program, event_rules.shape_of(event))
    assert step.cars == len(expected)


def named(aim: dict[str, list[str]], cars: dict[str, Vehicle]) -> dict[str, list[Any]]:
    """Return the rows of an aim."""
    rows: dict[str, Any] = {
        "feeders": Feeder, "substations": Substation, "groups": CustomerGroup,
    }  # fmt: skip
    return {
        name: [cars[one] for one in wanted]
        if name == "vehicles"
        else [rows[name].objects.get(code=one) for one in wanted]
        for name, wanted in aim.items()
    }


def test_a_customer_in_two_groups_is_counted_once(
    program: Program, cars: dict[str, Vehicle], pilot: CustomerGroup, make_group: Make
) -> None:
    tariff = make_group(cars["ada"].account.customer)

    shape = event_rules.Shape(NOW, NOW + HOUR, groups=[pilot, tariff])

    assert envelope.step(program, shape).cars == 2


def test_an_amendment_aims_anew(
    program: Program, cars: dict[str, Vehicle], pilot: CustomerGroup, north: Feeder
) -> None:
    event = plan(program, groups=[pilot])

    event = grid_events.amend(
        event, {"groups": [], "substations": [north.substation]}, actor="olga", now=NOW
    )

    assert decided_for(event, cars) == {"ada", "bo"}


def test_leaving_a_group_counts_at_the_next_turn(
    program: Program, cars: dict[str, Vehicle], pilot: CustomerGroup
) -> None:
    event = plan(program, groups=[pilot])

    pilot.customers.remove(cars["ada"].account.customer)

    assert decided_for(event, cars) == {"cy"}


def test_a_wider_aim_is_held_against_the_envelope_and_a_narrower_one_is_not(
    program: Program, cars: dict[str, Vehicle], pilot: CustomerGroup, north: Feeder
) -> None:
    event = plan(program, substations=[north.substation])
    bound(program, max_cars=1)

    narrower = grid_events.amend(
        event, {"substations": [], "feeders": [north]}, actor="olga", now=NOW
    )
    assert narrower.status == EventStatus.SCHEDULED

    wider = grid_events.amend(narrower, {"feeders": []}, actor="olga", now=NOW)
    assert wider.status == EventStatus.PENDING


def test_what_is_named_twice_is_refused(
    program: Program, cars: dict[str, Vehicle], pilot: CustomerGroup, north: Feeder
) -> None:
    station = north.substation

    with pytest.raises(Invalid) as error:
        plan(program, groups=[pilot, pilot], substations=[station, station])

    assert {(one.field, one.code) for one in error.value.findings} == {
        ("groups", "duplicate"), ("substations", "duplicate"),
    }  # fmt: skip
