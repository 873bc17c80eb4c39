"""What is seen of a fleet as a quarter hour begins, and what is not taken for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from dispatch.forecast import samples
from dispatch.models import Command, GridEvent, Hold, QuarterSample
from fleets.models import Enrolment, Feeder, Program, Vehicle
from tests.factories import HOUR, NOW

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


def of(program: Program) -> QuarterSample:
    return QuarterSample.objects.get(program=program)


def test_it_counts_and_adds_up_the_cars_of_a_program_and_of_a_feeder(
    program: Program,
    ada: Vehicle,
    ben: Vehicle,
    chloe: Vehicle,
    make_program: Callable[..., Program],
    make_feeder: Callable[..., Feeder],
    make_vehicle: Callable[..., Vehicle],
    make_enrolment: Callable[..., Enrolment],
) -> None:
    feeder = make_feeder("N1")
    Vehicle.objects.filter(pk=ada.pk).update(feeder=feeder)
    other = make_program()
    make_enrolment(other, make_vehicle(feeder=feeder, power_kw=3.0, is_home=None))

    samples.look(now=NOW + MINUTE)

    seen = of(program)
    assert seen.at == NOW
    assert (seen.cars, seen.known_cars) == (2, 2)
    assert (seen.plugged_in, seen.charging) == (2, 1)
    assert (seen.load_kw, seen.sheddable_kw) == (7.0, 7.0)
    on_feeder = QuarterSample.objects.get(feeder=feeder)
    assert (on_feeder.cars, on_feeder.load_kw) == (2, 10.0)
    # It is not known to be at home, so it could not be held.
    assert on_feeder.sheddable_kw == 7.0
    assert not seen.is_managed


def test_a_quarter_hour_is_looked_at_once(program: Program, ada: Vehicle) -> None:
    samples.look(now=NOW)
    Vehicle.objects.update(is_charging=False)
    again = samples.look(now=NOW + MINUTE)

    assert again == 0
    assert of(program).charging == 1


def test_a_look_that_comes_late_is_not_taken(program: Program, ada: Vehicle) -> None:
    assert samples.look(now=NOW + samples.LATEST + MINUTE) == 0

    assert not QuarterSample.objects.exists()


def test_a_car_that_said_to_charge_and_fell_silent_is_not_known(
    program: Program, ada: Vehicle
) -> None:
    Vehicle.objects.update(observed_at=NOW - 4 * HOUR)

    samples.look(now=NOW)

    seen = of(program)
    assert (seen.cars, seen.known_cars, seen.charging) == (1, 0, 0)


@pytest.mark.parametrize(
    ("plugged_in", "managed"),
    [
        (True, True),
        (None, True),
        # its limit waits for the next plug-in, which may be days away
        (False, False),
    ],
)
def test_held_load_is_not_taken_for_the_unmanaged_load(
    program: Program,
    ada: Vehicle,
    make_event: Callable[..., GridEvent],
    make_stop: Callable[..., Command],
    plugged_in: bool | None,
    managed: bool,
) -> None:
    make_stop(make_event(program, status="active"))
    Vehicle.objects.update(is_charging=False, is_plugged_in=plugged_in)

    samples.look(now=NOW)

    assert of(program).is_managed is managed


@pytest.mark.parametrize(
    ("charging", "replugged", "managed"),
    [
        # charges what it was held for: the load is later than it would have been
        (True, False, True),
        # has it back
        (False, False, False),
        # drove off since, and charges for another trip
        (True, True, False),
    ],
)
def test_what_a_car_makes_up_for_is_not_unmanaged_either(
    program: Program,
    ada: Vehicle,
    make_event: Callable[..., GridEvent],
    make_stop: Callable[..., Command],
    charging: bool,
    replugged: bool,
    managed: bool,
) -> None:
    make_stop(make_event(program, status="completed"))
    Hold.objects.update(status="restored", closed_at=NOW - HOUR)
    Vehicle.objects.update(
        is_charging=charging,
        plugged_in_at=NOW - (MINUTE if replugged else 3 * HOUR),
    )

    samples.look(now=NOW)

    assert of(program).is_managed is managed
