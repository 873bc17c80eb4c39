"""Areas on hold-off: who is in one, what leaves, what waits, who may lift it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from dispatch import area_hold_offs, grid_events, switch
from dispatch.event_rules import Invalid, WrongMoment
from dispatch.lifecycle import AreaKind, CommandStatus, EventStatus, HoldStatus
from dispatch.models import (
    Alarm,
    AreaHoldOff,
    AuditEntry,
    Command,
    Hold,
    Participation,
)
from dispatch.planner import Reason
from fleets.models import Feeder, Program, Vehicle
from tests.dispatch.conftest import House
from tests.factories import HOUR, NOW

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]


def declare(kind: AreaKind = AreaKind.STORM, **values: Any) -> AreaHoldOff:
    wanted: dict[str, Any] = {
        "program": None,
        "feeders": [],
        "substations": [],
        "starts_at": None,
        "ends_at": None,
        "reason": "gusts of 40 m/s",
        "actor": "olga",
        "now": NOW,
    }
    return area_hold_offs.declare(kind=kind, **{**wanted, **values})


@pytest.fixture
def feeder(make_feeder: Make, ada: Vehicle) -> Feeder:
    """Return the feeder of Ada's home."""
    made: Feeder = make_feeder()
    Vehicle.objects.filter(pk=ada.pk).update(feeder=made)
    return made


@pytest.fixture
def held(house: House, ada: Vehicle, make_event: Make, give_calls: Make) -> Vehicle:
    """Return Ada's car, that an event holds."""
    give_calls(ada)
    make_event(ada.enrolments.get().program, status=EventStatus.ACTIVE)
    house.turn()
    assert house.send() == [("stop", ada.external_id)]
    house.report(ada, is_plugged_in=True, is_charging=False, soc_percent=50.0)
    house.turn()
    assert Hold.objects.get().status == HoldStatus.HELD
    return ada


def area_of(car: Vehicle, *, minutes: float = 0) -> str:
    """Return what the hold-offs mean for a car without a hold."""
    areas = area_hold_offs.standing(
        car.enrolments.get().program,
        feeder_ids=np.array([Vehicle.objects.get(pk=car.pk).feeder_id or 0]),
        opened_at=np.array([-np.inf]),
        now=NOW + timedelta(minutes=minutes),
    )
    return str(areas[0])


def test_nothing_named_is_everywhere(ada: Vehicle) -> None:
    declare()

    assert area_of(ada) == "off"


def test_a_feeder_or_its_substation_is_its_cars(
    ada: Vehicle, feeder: Feeder, make_feeder: Make, make_program: Make
) -> None:
    elsewhere = make_feeder()
    declare(feeders=[elsewhere])
    declare(program=make_program())
    assert area_of(ada) == ""

    by_feeder = declare(feeders=[feeder])
    assert area_of(ada) == "off"
    area_hold_offs.lift(by_feeder, actor="olga", now=NOW)

    declare(substations=[feeder.substation], program=ada.enrolments.get().program)
    assert area_of(ada) == "off"


def test_it_lasts_from_its_start_to_its_end(ada: Vehicle) -> None:
    declare(starts_at=NOW + HOUR, ends_at=NOW + 2 * HOUR)

    lasts = [area_of(ada, minutes=m) for m in (59, 60, 119, 120)]

    assert lasts == ["", "off", "off", ""]


def test_it_is_in_the_trail_and_among_the_alarms(ada: Vehicle) -> None:
    hold_off = declare(AreaKind.EVACUATION)

    area_hold_offs.lift(hold_off, actor="pia", now=NOW + HOUR, why="all are out")

    acts = list(AuditEntry.objects.order_by("id").values_list("actor", "act", "why"))
    assert acts == [
        ("olga", "declare area hold-off", "gusts of 40 m/s"),
        ("pia", "lift area hold-off", "all are out"),
    ]
    alarm = Alarm.objects.get()
    assert "evacuation everywhere" in alarm.text
    assert alarm.cleared_at == NOW + HOUR


def test_an_end_clears_the_alarm(ada: Vehicle, house: House) -> None:
    declare(ends_at=NOW + HOUR)

    house.wait(hours=1)
    house.turn()

    assert Alarm.objects.get().cleared_at == house.now


@pytest.mark.parametrize(
    "wrong",
    [
        {"ends_at": NOW},  # it would end before it begins
        {"starts_at": NOW + 2 * HOUR, "ends_at": NOW + HOUR},
        {"starts_at": NOW + 61 * 24 * HOUR},  # a typing error
    ],
)
def test_it_refuses_what_cannot_be_meant(ada: Vehicle, wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        declare(**wrong)

    assert not AreaHoldOff.objects.exists()


def test_lifting_twice_changes_nothing_and_after_its_end_is_too_late(
    ada: Vehicle,
) -> None:
    once = declare()
    area_hold_offs.lift(once, actor="olga", now=NOW + HOUR)
    short = declare(ends_at=NOW + HOUR)

    again = area_hold_offs.lift(once, actor="pia", now=NOW + 2 * HOUR)

    assert again.lifted_by == "olga"
    with pytest.raises(WrongMoment):
        area_hold_offs.lift(short, actor="pia", now=NOW + 2 * HOUR)


def test_a_storm_gives_back_and_holds_again_when_it_is_lifted(
    held: Vehicle, feeder: Feeder, house: House
) -> None:
    storm = declare(feeders=[feeder], now=house.now)
    house.turn()
    assert house.send() == [("start", held.external_id)]
    house.report(held, is_plugged_in=True, is_charging=True, soc_percent=50.0)
    house.turn()
    assert Hold.objects.get().status == HoldStatus.RESTORED
    assert Participation.objects.get().reason == Reason.AREA_OFF

    area_hold_offs.lift(storm, actor="olga", now=house.now)
    house.wait(minutes=5)
    house.turn()

    assert house.send() == [("stop", held.external_id)]


def test_a_car_is_held_twice_a_day_at_most(
    held: Vehicle, feeder: Feeder, house: House
) -> None:
    for _ in range(2):
        storm = declare(feeders=[feeder], now=house.now)
        house.turn()
        house.send()
        house.report(held, is_plugged_in=True, is_charging=True, soc_percent=50.0)
        house.turn()
        area_hold_offs.lift(storm, actor="olga", now=house.now)
        house.turn()
        house.send()
        house.report(held, is_plugged_in=True, is_charging=False, soc_percent=50.0)
        house.turn()

    house.report(held, is_plugged_in=True, is_charging=True, soc_percent=50.0)
    house.turn()

    assert Hold.objects.count() == 2
    assert Participation.objects.get().reason == Reason.CYCLES


def test_a_stop_that_waits_in_an_area_is_never_sent(
    house: House, ada: Vehicle, make_event: Make, give_calls: Make
) -> None:
    give_calls(ada)
    make_event(ada.enrolments.get().program, status=EventStatus.ACTIVE)
    house.turn()
    assert Command.objects.get().status == CommandStatus.QUEUED

    declare()

    assert house.send() == []
    house.turn()
    assert Hold.objects.get().close_reason == Reason.AREA_OFF


def test_an_outage_commands_nothing_and_picks_up_after_it(
    held: Vehicle, feeder: Feeder, house: House
) -> None:
    outage = declare(AreaKind.OUTAGE, feeders=[feeder], now=house.now)
    house.wait(hours=3)  # the event is over, its latest start is near
    house.turn()
    assert house.send() == []

    area_hold_offs.lift(outage, actor="olga", now=house.now)
    house.wait(seconds=1)
    house.turn()

    assert house.send() == [("start", held.external_id)]
    assert Hold.objects.get().restore_reason == Reason.PICK_UP


def test_a_restore_that_was_queued_waits_for_the_power(
    held: Vehicle, house: House
) -> None:
    grid_events.end_early(Hold.objects.get().event, actor="olga", now=house.now)
    house.turn()
    outage = declare(AreaKind.OUTAGE, now=house.now)
    assert house.send() == []

    area_hold_offs.lift(outage, actor="olga", now=house.wait(minutes=30))

    assert house.send() == [("start", held.external_id)]


def test_restores_held_up_by_an_outage_leave_by_the_ramp(
    program: Program, make_event: Make, make_enrolment: Make
) -> None:
    Program.objects.update(pick_up_ramp_kw_per_minute=14.0)
    event = make_event(program, status=EventStatus.RESTORING)
    for hours in (3, 1, 2):
        car = make_enrolment(program).vehicle
        hold = Hold.objects.create(
            vehicle=car, event=event, status=HoldStatus.RESTORING, tactic="stop",
            was_charging=True, power_kw=7.0, state_observed_at=NOW, reason="all",
            opened_at=NOW, latest_start_at=NOW + hours * HOUR,
        )  # fmt: skip
        Command.objects.create(
            vehicle=car, hold=hold, event=event, event_version=1, kind="start",
            is_restore=True, created_at=NOW, due_at=NOW,
        )  # fmt: skip
    outage = declare(AreaKind.OUTAGE)

    area_hold_offs.lift(outage, actor="olga", now=NOW + HOUR)

    waits = [
        (due_at - NOW - HOUR).total_seconds()
        for due_at in Command.objects.order_by("id").values_list("due_at", flat=True)
    ]
    assert waits == [60.0, 0.0, 30.0]


def test_a_stopped_feeder_calls_off_its_stops_alone(
    house: House,
    ada: Vehicle,
    feeder: Feeder,
    make_event: Make,
    make_enrolment: Make,
    give_calls: Make,
) -> None:
    program = ada.enrolments.get().program
    other = make_enrolment(program).vehicle
    give_calls(ada)
    give_calls(other)
    make_event(program, status=EventStatus.ACTIVE)
    house.turn()

    switch.stop_new_holds(
        program=None, feeder=feeder, actor="olga", now=house.now, why="repair"
    )
    assert house.send() == [("stop", other.external_id)]
    house.turn()
    assert ada.participations.get().reason == Reason.STOPPED

    switch.allow_new_holds(program=None, feeder=feeder, actor="olga", now=house.now)
    house.turn()
    assert house.send() == [("stop", ada.external_id)]
    subjects = set(AuditEntry.objects.values_list("subject", flat=True))
    assert subjects == {f"feeder {feeder.code}"}
