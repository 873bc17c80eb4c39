"""A cap, a ramp or a target that gives way is counted, and somebody hears of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dispatch import live, planner, results
from dispatch.lifecycle import EventStatus
from dispatch.models import Alarm, GridEvent, Hold
from dispatch.planner import Cars, Feeder
from fleets import enrolment
from fleets.models import Enrolment, Program, Vehicle
from tests.dispatch.conftest import House
from tests.dispatch.fleet import HOUR as HOUR_SECONDS
from tests.dispatch.fleet import NOW as NOW_SECONDS
from tests.dispatch.fleet import PROGRAM, PROVIDER, cars, held, over
from tests.factories import HOUR, NOW

Make = Callable[..., Any]
FULL = replace(PROGRAM, restore_cap_kw=10.0, ahead_kw=np.array([10.0]))


def broken(fleet: Cars, program: planner.Program) -> tuple[list[int], list[int]]:
    """Return the places that go back over a cap, and over a ramp."""
    intents = planner.decide(program, fleet, [over(fleet.n)], PROVIDER, now=NOW_SECONDS)
    found = planner.breaches(program, fleet, intents)
    return found.cap.tolist(), found.ramp.tolist()


def test_who_must_start_breaks_a_full_cap() -> None:
    fleet = cars(ada=held(latest_start=NOW_SECONDS), ben=held())

    assert broken(fleet, FULL) == ([0], [])


def test_who_must_start_breaks_no_cap_with_room() -> None:
    fleet = cars(ada=held(latest_start=NOW_SECONDS))

    assert broken(fleet, replace(FULL, restore_cap_kw=17.0)) == ([], [])


def test_a_cap_that_is_broken_after_a_car_is_full_is_not_broken_by_it() -> None:
    """The others draw more from an hour on; this car charges for half of one."""
    ahead = np.array([0.0] * 12 + [20.0])
    fleet = cars(ada=held(latest_start=NOW_SECONDS, charge_seconds=HOUR_SECONDS / 2))

    assert broken(fleet, replace(FULL, ahead_kw=ahead)) == ([], [])


def test_beyond_the_ramp_go_those_who_cannot_wait() -> None:
    fleet = cars(**{name: held(latest_start=NOW_SECONDS) for name in "abc"})
    program = replace(PROGRAM, restore_ramp_kw_per_minute=14.0)

    assert broken(fleet, program) == ([], [2])


def test_a_feeders_bound_counts_as_well() -> None:
    fleet = cars(
        ada=held(latest_start=NOW_SECONDS, feeder=0), ben=held(latest_start=NOW_SECONDS)
    )
    feeder = Feeder(
        restore_cap_kw=5.0,
        restore_ramp_kw_per_minute=5.0,
        ahead_kw=np.zeros(1),
        restored_kw_last_minute=0.0,
    )

    assert broken(fleet, replace(PROGRAM, feeders=[feeder])) == ([0], [0])


@pytest.fixture
def event(
    program: Program, ada: Vehicle, make_event: Make, give_calls: Make, house: House
) -> GridEvent:
    """Return an event that holds one car, of a program whose cap is full."""
    Program.objects.update(restore_cap_kw=1.0, restore_ramp_kw_per_minute=1.0)
    give_calls(ada)
    running: GridEvent = make_event(program, status=EventStatus.ACTIVE)
    house.turn()
    house.send()
    house.report(ada, is_plugged_in=True, is_charging=False, is_home=True)
    house.turn()
    return running


@pytest.mark.django_db
def test_each_is_counted_alarmed_and_said_until_the_event_is_over(
    event: GridEvent, ada: Vehicle, house: House
) -> None:
    enrolment.withdraw(Enrolment.objects.get(vehicle=ada), now=house.now)
    house.turn()

    hold = Hold.objects.get()
    assert (hold.over_cap, hold.over_ramp) == (True, True)
    keys = Alarm.objects.filter(cleared_at=None).values_list("key", flat=True)
    assert set(keys) == {f"event:{event.pk}:cap", f"event:{event.pk}:ramp"}
    assert results.broken([event.pk])[event.pk] == results.Broken(1, 1, 0)
    (running,) = live.picture(house.now).running
    assert (
        running.broken == "1 car went back over the restore cap, 1 car beyond the ramp"
    )

    house.send()
    house.report(ada, is_plugged_in=True, is_charging=True, is_home=True)
    house.wait(hours=3)
    house.turn()
    event.refresh_from_db()
    assert event.status == EventStatus.COMPLETED
    assert not Alarm.objects.filter(cleared_at=None).exists()
    assert results.broken([event.pk])[event.pk].over_cap == 1


@pytest.mark.django_db
def test_who_goes_back_in_turn_breaks_nothing(
    event: GridEvent, ada: Vehicle, house: House
) -> None:
    """It draws more than the cap alone: one always may."""
    house.wait(hours=2, minutes=1)
    house.turn()

    hold = Hold.objects.get()
    assert hold.restore_reason == "event over"
    assert not hold.over_cap
    assert not hold.over_ramp


@pytest.mark.django_db
def test_a_target_out_of_reach_is_alarmed_for_as_long_as_it_is(
    program: Program, ada: Vehicle, make_event: Make, house: House
) -> None:
    event = make_event(program, status=EventStatus.ACTIVE, target_kw=500.0)
    house.turn()
    house.wait(minutes=1)
    house.turn()

    alarm = Alarm.objects.get(key=f"event:{event.pk}:target")
    assert alarm.cleared_at is None
    assert results.broken([event.pk])[event.pk].minutes_out_of_reach == 2

    GridEvent.objects.update(target_kw=0.1)
    house.turn()
    alarm.refresh_from_db()
    assert alarm.cleared_at == house.now
    assert event.ends_at == NOW + 2 * HOUR
