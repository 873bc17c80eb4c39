"""A car that plugs in while an event runs is judged at once, and how late is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from dispatch import live, receivers, results
from dispatch.lifecycle import EventStatus
from dispatch.models import Catch, GridEvent, Hold, Participation
from fleets.models import Program, Vehicle
from tests.dispatch.conftest import House
from tests.factories import NOW

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]
COMES_HOME = {"is_plugged_in": True, "is_charging": True, "is_home": True}


@pytest.fixture
def event(program: Program, ada: Vehicle, make_event: Make, give_calls: Make) -> Any:
    """Return an event that began before Ada came home."""
    give_calls(ada)
    Vehicle.objects.update(
        is_plugged_in=False, is_charging=False, is_home=None, plugged_in_at=None,
        power_kw=0.0,
    )  # fmt: skip
    return make_event(
        program, status=EventStatus.ACTIVE, ends_at=NOW + timedelta(hours=2)
    )


def test_its_report_wakes_a_turn(
    event: GridEvent,
    ada: Vehicle,
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Make,
) -> None:
    woken: list[object] = []
    monkeypatch.setattr(receivers, "wake", lambda task, *args: woken.append(task.name))

    with django_capture_on_commit_callbacks(execute=True):
        house.report(ada, **COMES_HOME)

    assert woken == ["dispatch.tasks.tick"]


def test_a_tick_finds_it_though_its_wake_got_lost(
    event: GridEvent, ada: Vehicle, house: House
) -> None:
    house.turn()
    house.report(ada, **COMES_HOME)
    house.wait(seconds=4)
    house.turn()

    assert Hold.objects.get().vehicle == ada
    caught = Catch.objects.get()
    assert caught.judged_at - caught.plugged_in_at == timedelta(seconds=4)
    assert not caught.was_read


def test_a_plug_in_is_caught_once_however_often_it_is_judged(
    event: GridEvent, ada: Vehicle, house: House
) -> None:
    house.turn()
    house.report(ada, is_plugged_in=True, is_home=True)
    house.turn()
    assert Participation.objects.get().reason == "not charging"
    house.report(ada, is_charging=True)
    house.turn()
    assert Participation.objects.get().status == "claimed"

    assert Catch.objects.count() == 1


def test_who_plugs_in_again_is_caught_again(
    event: GridEvent, ada: Vehicle, house: House
) -> None:
    for _ in range(2):
        house.report(ada, **COMES_HOME)
        house.turn()
        house.report(ada, is_plugged_in=False)
        house.turn()

    assert Catch.objects.count() == 2


def test_who_stood_there_before_is_not_caught(
    event: GridEvent, ada: Vehicle, house: House
) -> None:
    Vehicle.objects.update(
        **COMES_HOME, power_kw=7.0, plugged_in_at=NOW - timedelta(hours=1)
    )
    house.turn()

    assert Hold.objects.exists()
    assert not Catch.objects.exists()


def test_its_delay_is_told_by_make(
    event: GridEvent,
    ada: Vehicle,
    make_enrolment: Make,
    give_calls: Make,
    house: House,
    client: Client,
) -> None:
    ford = make_enrolment(event.program).vehicle
    Vehicle.objects.filter(pk=ford.pk).update(
        make="FORD", is_plugged_in=False, is_charging=False, plugged_in_at=None
    )
    give_calls(ford)
    house.turn()
    house.report(ford, **COMES_HOME)
    house.wait(minutes=10)
    house.report(ada, **COMES_HOME)
    house.wait(seconds=59)
    house.turn()

    caught = results.caught([event.pk])[event.pk]
    assert [(one.make, one.cars, one.half_within_seconds) for one in caught] == [
        ("FORD", 1, 660.0), ("TESLA", 1, 59.0),
    ]  # fmt: skip
    (running,) = live.picture(house.now).running
    assert (
        running.caught[1]
        == "Tesla: 1 plug-in, half judged within 59 s, all within 59 s"
    )
    told = client.get("/metrics").content.decode()
    assert 'gridbalance_catch_seconds_bucket{le="30.0",make="TESLA"} 0.0' in told
    assert 'gridbalance_catch_seconds_bucket{le="60.0",make="TESLA"} 1.0' in told
    assert 'gridbalance_catch_seconds_bucket{le="600.0",make="FORD"} 0.0' in told
    assert 'gridbalance_catch_seconds_bucket{le="+Inf",make="FORD"} 1.0' in told
    assert 'gridbalance_catch_seconds_sum{make="FORD"} 660.0' in told
