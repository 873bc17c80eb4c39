"""What an event is worth whose input is bad: safe, and said on its page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dispatch import control, live
from dispatch.lifecycle import EventStatus, HoldStatus
from dispatch.models import Command, GridEvent, Hold, LoadSample, Response
from dispatch.planner import Caution
from fleets.models import Program, Vehicle
from tests.dispatch.conftest import House
from tests.factories import HOUR, NOW

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]


@pytest.fixture
def event(program: Program, make_event: Make) -> GridEvent:
    program.target_confidence_percent = 50.0  # one car is enough
    program.save(update_fields=["target_confidence_percent"])
    running: GridEvent = make_event(program, status=EventStatus.ACTIVE, target_kw=5.0)
    return running


def said(now: datetime = NOW) -> list[str]:
    """Take a turn; return what the page says of the event."""
    control.turn(now=now)
    (running,) = live.picture(now).running
    page = live.render(live.picture(now))
    assert all(line in page for line in running.cautions)
    newest = LoadSample.objects.order_by("-at").first()
    assert newest is not None
    return newest.cautions


def test_all_is_well(event: GridEvent, ada: Vehicle) -> None:
    assert said() == []
    assert Hold.objects.count() == 1


def test_without_readings_nothing_is_held(event: GridEvent, ada: Vehicle) -> None:
    Vehicle.objects.update(observed_at=None, is_plugged_in=None, is_charging=None)

    assert said() == [Caution.NO_READINGS]
    assert not Hold.objects.exists()


def test_when_all_readings_are_stale_nothing_is_held(
    event: GridEvent, ada: Vehicle
) -> None:
    Vehicle.objects.update(observed_at=NOW - 4 * HOUR)

    assert said() == [Caution.BLIND]
    assert not Hold.objects.exists()


def test_silence_of_the_whole_fleet_holds_nothing_more(
    event: GridEvent, ada: Vehicle, program: Program, make_enrolment: Make
) -> None:
    make_enrolment(program)
    control.turn(now=NOW)
    GridEvent.objects.update(target_kw=12.0)
    later = NOW + timedelta(minutes=91)
    GridEvent.objects.update(ends_at=later + HOUR)

    assert said(later) == [Caution.BLIND]
    assert Hold.objects.count() == 1


@pytest.mark.parametrize("power_kw", [None, -50.0, 0.0, float("nan"), 1e6])
def test_a_power_that_cannot_be_is_the_usual_one(
    event: GridEvent, ada: Vehicle, power_kw: float | None
) -> None:
    Vehicle.objects.update(power_kw=power_kw, usual_power_kw=7.0)

    assert said() == [Caution.BAD_POWER]
    assert Hold.objects.get().power_kw == 7.0
    assert LoadSample.objects.get().charging_kw == 7.0


def test_a_target_above_what_exists_takes_all_and_says_so(
    event: GridEvent, ada: Vehicle
) -> None:
    GridEvent.objects.update(target_kw=500.0)

    assert said() == [Caution.OUT_OF_REACH]
    assert Hold.objects.count() == 1


def test_a_cap_below_what_flows_starts_nobody_and_says_so(
    event: GridEvent, ada: Vehicle, program: Program, make_enrolment: Make
) -> None:
    control.turn(now=NOW)
    Command.objects.update(status="accepted", may_have_landed=True, answered_at=NOW)
    Hold.objects.update(status=HoldStatus.HELD, held_at=NOW)
    Vehicle.objects.update(is_charging=False)
    for _ in range(3):
        make_enrolment(program)
    Program.objects.update(restore_cap_kw=5.0)
    later = NOW + timedelta(minutes=5)
    GridEvent.objects.update(ends_at=later)

    assert said(later) == [Caution.CAP_BELOW]
    assert Hold.objects.get().status == HoldStatus.HELD


def test_a_clock_change_inside_is_said_and_the_hours_are_as_posted(
    event: GridEvent, ada: Vehicle
) -> None:
    Program.objects.update(time_zone="Europe/Oslo")
    # At 01:00 UTC on 29 March 2026 the clocks of Oslo go from two to three.
    starts_at = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)
    now = starts_at + timedelta(minutes=30)
    Vehicle.objects.update(observed_at=now - timedelta(minutes=1))
    GridEvent.objects.update(starts_at=starts_at, ends_at=starts_at + 2 * HOUR)

    assert Caution.CLOCK_CHANGE in said(now)
    assert Command.objects.get().deadline_at == starts_at + 2 * HOUR


def test_what_cars_did_is_counted_once(
    house: House, event: GridEvent, ada: Vehicle, give_calls: Make
) -> None:
    give_calls(ada)
    house.turn()
    house.send()
    house.report(ada, is_plugged_in=True, is_charging=False, soc_percent=50.0)
    for _ in range(3):
        house.turn()

    counted = Response.objects.get()
    assert (counted.vehicle, counted.obeyed, counted.missed) == (ada, 1.0, 0.0)


def test_a_stop_that_was_ignored_is_counted(
    house: House, event: GridEvent, ada: Vehicle, give_calls: Make
) -> None:
    give_calls(ada)
    house.turn()
    house.send()
    house.wait(minutes=20)
    house.report(ada, is_plugged_in=True, is_charging=True, soc_percent=51.0)
    house.turn()

    assert Response.objects.get().missed == 1.0
