"""The cap of a restore: a person's, or the lowest that gives all back in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse

from dispatch import control, restore_caps
from dispatch.event_rules import Invalid, WrongMoment
from dispatch.lifecycle import EventStatus, HoldStatus
from dispatch.live import survey
from dispatch.models import AuditEntry, GridEvent, Hold
from dispatch.rehearsal import frontier
from dispatch.rehearsal.evening import STEP_HOURS
from fleets.models import Program, User, Vehicle
from tests.dispatch.fleet import HOUR as HOUR_SECONDS
from tests.dispatch.fleet import NOW as MOMENT
from tests.dispatch.fleet import cars, held
from tests.factories import HOUR, NOW

Make = Callable[..., Any]
LATER = NOW + restore_caps.LOOKED_AT_EVERY


# --- The search ---


def owed_by(n: int, *, seed: int) -> tuple[Any, frontier.Debts]:
    """Return a fleet that is to be back within four hours, and what it is owed."""
    draw = np.random.default_rng(seed)
    fleet = cars(**{f"car{i}": held() for i in range(n)})
    fleet = replace(
        fleet,
        held_kw=draw.choice([3.7, 7.4, 11.0], n),
        charge_seconds=draw.uniform(600.0, 3 * HOUR_SECONDS, n),
        latest_start=MOMENT + draw.uniform(HOUR_SECONDS, 14 * HOUR_SECONDS, n),
    )
    return fleet, frontier.debts_of(
        fleet,
        np.arange(n),
        kw=fleet.held_kw,
        back_by=np.full(n, MOMENT + 4 * HOUR_SECONDS),
        ahead_kw=np.array([200.0, 0.0]),
        now=MOMENT,
        ends=0,
    )


def test_the_lowest_cap_gives_all_back_in_time_and_a_lower_one_does_not() -> None:
    _, debts = owed_by(300, seed=1)

    found = frontier.lowest_cap(debts)

    starts, load = frontier.restore(debts, found.cap_kw)
    takes = debts.owed_kwh / debts.power_kw
    assert (starts * STEP_HOURS + takes).max() <= 4.0
    assert load.max() <= found.cap_kw * 1.005
    assert frontier.point(debts, found.cap_kw * 0.98).peak_kw > found.cap_kw * 0.98


def test_a_large_fleet_is_reckoned_in_groups_that_owe_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet, each = owed_by(1_500, seed=2)
    monkeypatch.setattr(frontier, "MOST_RECKONED", 300)
    _, groups = owed_by(1_500, seed=2)

    assert len(groups.ready) == 300
    assert groups.power_kw.sum() == pytest.approx(fleet.held_kw.sum())
    assert groups.owed_kwh.sum() == pytest.approx(each.owed_kwh.sum())
    assert frontier.lowest_cap(groups).cap_kw == pytest.approx(
        frontier.lowest_cap(each).cap_kw, rel=0.02
    )


def test_what_comes_after_the_last_car_is_full_sets_no_cap() -> None:
    fleet = cars(ada=held(), ben=held())
    debts = frontier.debts_of(
        fleet,
        np.arange(2),
        kw=fleet.held_kw,
        back_by=np.full(2, MOMENT + 5 * HOUR_SECONDS),
        ahead_kw=np.concatenate([np.zeros(61), np.full(227, 900.0)]),
        now=MOMENT,
        ends=0,
    )

    assert frontier.lowest_cap(debts).cap_kw == pytest.approx(7.0, rel=0.01)


# --- On rows ---


@pytest.fixture
def over(program: Program, make_event: Make, make_enrolment: Make) -> GridEvent:
    """Return an event that is over and holds three cars of 7 kW for an hour each."""
    event: GridEvent = make_event(
        program,
        status=EventStatus.RESTORING,
        starts_at=NOW - 2 * HOUR,
        ends_at=NOW,
    )
    for _ in range(3):
        vehicle = make_enrolment(program).vehicle
        Vehicle.objects.filter(pk=vehicle.pk).update(
            is_charging=False, soc_percent=70.0, battery_kwh=70.0, usual_power_kw=7.0
        )
        hold = Hold.objects.create(
            vehicle=vehicle, event=event, tactic="stop", status=HoldStatus.HELD,
            was_charging=True, power_kw=7.0, state_observed_at=NOW, held_at=NOW,
            reason="target", opened_at=NOW - HOUR,
        )  # fmt: skip
        event.participations.create(
            vehicle=vehicle, hold=hold, status="claimed", reason="x", judged_at=NOW
        )
    return event


def going() -> int:
    return Hold.objects.filter(status=HoldStatus.RESTORING).count()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("hours", "at_once"),
    [
        (1.3, 3),  # an hour each, and the margin: all together
        (2.7, 2),
        (9.0, 1),  # one after the other
    ],
)
def test_without_a_chosen_cap_it_is_the_lowest_that_gives_all_back_in_time(
    program: Program, over: GridEvent, hours: float, at_once: int
) -> None:
    Program.objects.update(restore_within_hours=hours)

    control.turn(now=NOW)

    over.refresh_from_db()
    assert going() == at_once
    assert over.cap_kw == pytest.approx(7.0 * at_once * 1.03, rel=0.01)
    assert (over.cap_by, over.cap_at) == ("", NOW)


@pytest.mark.django_db
def test_what_a_person_chose_wins(program: Program, over: GridEvent) -> None:
    Program.objects.update(restore_within_hours=9.0)
    control.turn(now=NOW)

    restore_caps.choose(over, 15.0, actor="olga", now=NOW, why="the line is old")
    control.turn(now=NOW + timedelta(minutes=1))

    over.refresh_from_db()
    assert (going(), over.cap_kw, over.cap_by) == (2, 15.0, "olga")
    entry = AuditEntry.objects.get(act="choose restore cap")
    assert (entry.actor, entry.why) == ("olga", "the line is old")


@pytest.mark.django_db
def test_nobody_chooses_more_than_two_people_did(
    program: Program, over: GridEvent
) -> None:
    Program.objects.update(restore_cap_kw=15.0)
    restore_caps.choose(over, 900.0, actor="olga", now=NOW, why="soon")

    control.turn(now=NOW)

    assert going() == 2


@pytest.mark.django_db
def test_a_choice_can_be_left_to_the_engine_again(
    program: Program, over: GridEvent
) -> None:
    Program.objects.update(restore_within_hours=9.0)
    restore_caps.choose(over, 900.0, actor="olga", now=NOW, why="soon")
    restore_caps.choose(over, None, actor="olga", now=NOW, why="no hurry")

    control.turn(now=NOW)

    assert going() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("cap_kw", [0.0, -1.0, 1e12])
def test_an_impossible_cap_is_refused(over: GridEvent, cap_kw: float) -> None:
    with pytest.raises(Invalid):
        restore_caps.choose(over, cap_kw, actor="olga", now=NOW, why="x")


@pytest.mark.django_db
def test_nothing_is_chosen_for_what_is_completed(over: GridEvent) -> None:
    GridEvent.objects.update(status=EventStatus.COMPLETED)

    with pytest.raises(WrongMoment):
        restore_caps.choose(over, 9.0, actor="olga", now=NOW, why="x")


@pytest.mark.django_db
def test_a_cap_that_does_not_do_any_more_is_raised_and_never_lowered(
    program: Program, over: GridEvent, make_enrolment: Make
) -> None:
    Program.objects.update(restore_within_hours=9.0)
    control.turn(now=NOW)
    others = [make_enrolment(program).vehicle for _ in range(3)]

    def cap_kw(minutes: int) -> float:
        control.turn(now=NOW + timedelta(minutes=minutes))
        over.refresh_from_db()
        assert over.cap_kw is not None
        return over.cap_kw

    found = cap_kw(5)
    raised = cap_kw(15)
    Vehicle.objects.filter(pk__in=[car.pk for car in others]).update(is_charging=False)

    assert found == pytest.approx(7.2, rel=0.02)
    assert raised > 3 * 7.0
    assert cap_kw(30) == raised
    assert going() > 1


@pytest.mark.django_db
def test_another_event_that_ends_finds_one_cap_for_both(
    program: Program, over: GridEvent, make_event: Make
) -> None:
    Program.objects.update(restore_within_hours=9.0)
    control.turn(now=NOW)
    held_now = Hold.objects.filter(status=HoldStatus.HELD)
    second = make_event(
        program, status=EventStatus.RESTORING, starts_at=NOW - HOUR, ends_at=NOW + HOUR
    )
    hold = held_now.get(pk=held_now.order_by("pk")[0].pk)
    second.participations.create(
        vehicle=hold.vehicle, hold=hold, status="claimed", reason="x", judged_at=NOW
    )

    control.turn(now=NOW + timedelta(minutes=1))

    caps = set(GridEvent.objects.values_list("cap_kw", "cap_at"))
    assert len(caps) == 1 and caps.pop()[1] == NOW + timedelta(minutes=1)


@pytest.mark.django_db
def test_the_page_says_which_cap_is_in_force_and_why(
    program: Program, over: GridEvent, set_clock: Make
) -> None:
    set_clock(NOW)
    Program.objects.update(restore_within_hours=9.0)
    control.turn(now=NOW)

    (shown,) = survey.picture(NOW).running
    restore_caps.choose(over, 15.0, actor="olga", now=NOW, why="x")
    (later,) = survey.picture(NOW).running

    assert shown.cap == f"given back under 7.2 kW: {restore_caps.BY_ITSELF}"
    assert later.cap == "given back under 15.0 kW: chosen by olga"


@pytest.mark.django_db
def test_a_cap_is_chosen_on_the_preview(
    program: Program,
    ada: Vehicle,
    make_event: Make,
    make_user: Make,
    client: Client,
    set_clock: Make,
) -> None:
    set_clock(NOW)
    event = make_event(program)
    olga: User = make_user(
        "olga", "dispatch.view_gridevent", "dispatch.operate_gridevent"
    )
    vera: User = make_user("vera", "dispatch.view_gridevent")
    wanted = {"cap_kw": "12.5", "why": "spares the peak"}
    page, door = (
        reverse(name, args=[event.pk])
        for name in ("preview-event", "choose-restore-cap")
    )

    client.force_login(vera)
    assert client.post(door, wanted).status_code == 403
    client.force_login(olga)
    client.post(door, {**wanted, "why": ""})
    assert not GridEvent.objects.exclude(cap_kw=None).exists()
    client.post(door, wanted)

    event.refresh_from_db()
    assert (event.cap_kw, event.cap_by) == (12.5, "olga")
    assert "chosen by olga" in client.get(page).content.decode()
