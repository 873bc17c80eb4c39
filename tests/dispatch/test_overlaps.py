"""Events that overlap, amended and called off at every moment, on rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from dispatch import claims, fanout, grid_events
from dispatch.event_rules import Invalid, WrongMoment
from dispatch.lifecycle import (
    CommandStatus,
    EventStatus,
    HoldStatus,
    ParticipationStatus,
)
from dispatch.models import Command, GridEvent, Hold, Participation
from dispatch.planner import Reason
from fleets.models import Program, Vehicle
from fleets.providers.base import OutcomeUnknown
from tests.dispatch.conftest import House
from tests.factories import HOUR, NOW, plan

Make = Callable[..., Any]

CHARGING = {"is_plugged_in": True, "is_charging": True, "power_kw": 7.0}
STOPPED = {"is_plugged_in": True, "is_charging": False, "power_kw": 0.0}
FIRST_STATE = (
    "pk", "was_charging", "soc_percent", "limit_percent", "power_kw",
    "state_observed_at", "plugged_in_at", "event_id",
)  # fmt: skip


@pytest.fixture
def car(program: Program, make_enrolment: Make, give_calls: Make) -> Vehicle:
    Program.objects.update(restore_ramp_kw_per_minute=1000.0, max_event_hours=24.0)
    program.refresh_from_db()
    vehicle: Vehicle = make_enrolment(program).vehicle
    give_calls(vehicle)
    return vehicle


def hold_it(house: House, car: Vehicle, event: GridEvent) -> Hold:
    """Let an event take the car, and a reading show it."""
    house.turn()
    assert house.send() == [("stop", car.external_id)]
    house.report(car, **STOPPED)
    house.turn()
    hold = Hold.objects.get()
    assert (hold.status, hold.event_id) == (HoldStatus.HELD, event.pk)
    return hold


def end(event: GridEvent, how: str, house: House) -> None:
    """Let an event end in one of the ways it can."""
    if how == "cancelled":
        grid_events.cancel(event, actor="olga", now=house.now)
    elif how == "ended early":
        grid_events.end_early(event, actor="olga", now=house.now)
    elif how == "aimed elsewhere":
        event.refresh_from_db()
        grid_events.amend(event, ELSEWHERE, actor="olga", now=house.now)
    else:
        assert how == "over"
        house.wait(seconds=(event.ends_at - house.now).total_seconds())


ELSEWHERE: Any = {}
WAYS = ["cancelled", "ended early", "aimed elsewhere", "over"]


@pytest.fixture(autouse=True)
def elsewhere(make_feeder: Make) -> None:
    """Make a feeder that no car hangs on, for events to aim at."""
    ELSEWHERE["feeders"] = [make_feeder()]


def first_state() -> tuple[Any, ...]:
    """Return what the one hold says of the time before us."""
    return tuple(Hold.objects.values_list(*FIRST_STATE).get())


def starts() -> int:
    return Command.objects.filter(is_restore=True).count()


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("urgent_ends", [True, False])
def test_a_car_stays_held_for_the_event_that_still_wants_it(
    house: House, car: Vehicle, program: Program, how: str, urgent_ends: bool
) -> None:
    one = plan(program, priority=0 if urgent_ends else 1, ends_at=NOW + HOUR)
    other = plan(program, priority=1 if urgent_ends else 0, ends_at=NOW + 3 * HOUR)
    hold_it(house, car, one if urgent_ends else other)
    before = first_state()

    end(one, how, house)
    for _ in range(3):
        house.turn()
        assert house.send() == []
        house.report(car, **STOPPED)

    assert first_state() == before
    assert Hold.objects.get().status == HoldStatus.HELD
    end(other, "over", house)
    house.turn()
    assert house.send() == [("start", car.external_id)]
    house.report(car, **CHARGING)
    house.turn()
    assert first_state() == before
    assert Hold.objects.get().status == HoldStatus.RESTORED
    statuses = GridEvent.objects.values_list("status", flat=True)
    assert set(statuses) <= {EventStatus.COMPLETED, EventStatus.ACTIVE}


@pytest.mark.parametrize("how", WAYS)
def test_an_event_that_begins_as_another_ends_keeps_its_car(
    house: House, car: Vehicle, program: Program, how: str
) -> None:
    one = plan(program, ends_at=NOW + HOUR)
    hold_it(house, car, one)
    before = first_state()
    begins_at = NOW + HOUR if how == "over" else house.now
    other = plan(program, starts_at=begins_at, ends_at=NOW + 3 * HOUR, now=house.now)

    end(one, how, house)
    house.turn()

    assert (house.send(), starts()) == ([], 0)
    assert first_state() == before
    part = Participation.objects.get(event=other)
    assert (part.status, part.hold_id) == (ParticipationStatus.CLAIMED, before[0])


def test_a_start_that_has_not_left_is_called_back(
    house: House, car: Vehicle, program: Program
) -> None:
    one = plan(program)
    hold_it(house, car, one)
    before = first_state()
    end(one, "cancelled", house)
    house.turn()
    assert Hold.objects.get().status == HoldStatus.RESTORING

    other = plan(program, ends_at=NOW + 3 * HOUR, now=house.now)
    house.turn()
    house.turn()

    assert house.send() == []
    hold = Hold.objects.get()
    assert (hold.status, hold.restoring_at, hold.restore_reason) == (
        HoldStatus.HELD, None, "",
    )  # fmt: skip
    assert first_state() == before
    end(other, "cancelled", house)
    house.turn()
    assert house.send() == [("start", car.external_id)]
    house.report(car, **CHARGING)
    house.turn()
    assert Hold.objects.get().status == HoldStatus.RESTORED
    assert [call for call, _ in house.provider.calls] == ["stop", "start"]


@pytest.mark.parametrize("answer", ["accepted", "unknown"])
def test_a_start_that_has_left_is_finished_before_the_car_is_taken_anew(
    house: House, car: Vehicle, program: Program, answer: str
) -> None:
    one = plan(program)
    first = hold_it(house, car, one)
    end(one, "cancelled", house)
    house.turn()
    if answer == "unknown":
        house.provider.answers[car.external_id] = [OutcomeUnknown("LINE:TIMEOUT")]
    fanout.run(house.line)

    other = plan(program, ends_at=NOW + 5 * HOUR, now=house.now)
    house.turn()

    part = Participation.objects.get(event=other)
    assert (part.status, part.reason) == ("spared", Reason.GOING_BACK)
    assert Hold.objects.get().status == HoldStatus.RESTORING
    house.report(car, **CHARGING, soc_percent=51.0)
    house.turn()
    assert house.send() == [("stop", car.external_id)]
    again = Hold.objects.exclude(pk=first.pk).get()
    first.refresh_from_db()
    assert first.status == HoldStatus.RESTORED
    assert (again.event_id, again.soc_percent) == (other.pk, 51.0)
    assert again.opened_at >= first.closed_at  # type: ignore[operator]


def test_a_start_on_the_wire_is_left_to_its_outcome(
    house: House, car: Vehicle, program: Program
) -> None:
    one = plan(program)
    hold_it(house, car, one)
    end(one, "cancelled", house)
    house.turn()
    other = plan(program, ends_at=NOW + 3 * HOUR, now=house.now)
    sender = fanout._enlist()
    (job,) = claims.claim(sender, claims.due(house.now), room=5, now=house.now)

    house.turn()

    assert job.is_restore
    assert Hold.objects.get().status == HoldStatus.RESTORING
    assert Command.objects.get(pk=job.command_id).status == CommandStatus.SENDING
    assert Participation.objects.get(event=other).reason == Reason.GOING_BACK


def test_a_claim_between_look_and_act_keeps_a_start_from_being_called_back(
    house: House, car: Vehicle, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = plan(program)
    hold_it(house, car, one)
    end(one, "cancelled", house)
    house.turn()
    other = plan(program, ends_at=NOW + 3 * HOUR, now=house.now)
    start = Command.objects.filter(is_restore=True)

    from dispatch import holds

    act = holds.act

    def act_late(*args: Any, **kwargs: Any) -> None:
        start.update(status=CommandStatus.SENDING)
        act(*args, **kwargs)

    monkeypatch.setattr(holds, "act", act_late)
    house.turn()

    assert start.get().status == CommandStatus.SENDING
    assert Hold.objects.get().status == HoldStatus.RESTORING
    assert not Participation.objects.filter(event=other, status="claimed").exists()


def test_a_car_whose_stop_nothing_has_shown_is_not_called_back(
    house: House, car: Vehicle, program: Program
) -> None:
    one = plan(program)
    house.turn()
    assert house.send() == [("stop", car.external_id)]
    end(one, "cancelled", house)
    house.turn()

    plan(program, ends_at=NOW + 3 * HOUR, now=house.now)
    house.turn()

    assert house.send() == [("start", car.external_id)]


@pytest.mark.parametrize("stop_is", ["queued", "accepted", "held"])
@pytest.mark.parametrize(
    "changes",
    [
        {"ends_at": NOW + 4 * HOUR},
        {"ends_at": NOW + HOUR},
        {"priority": 9},
        {"target_kw": 7.0},
        {"target_kw": 0.1},
    ],
)
def test_an_amendment_at_any_moment_costs_no_second_stop(
    house: House, car: Vehicle, program: Program, stop_is: str, changes: Any
) -> None:
    event = plan(program)
    house.turn()
    if stop_is != "queued":
        house.send()
    if stop_is == "held":
        house.report(car, **STOPPED)
        house.turn()

    grid_events.amend(event, changes, actor="olga", now=house.now)
    house.turn()
    house.send()
    house.report(car, **STOPPED)
    house.turn()

    assert house.provider.calls == [("stop", car.external_id)]
    assert Hold.objects.get(status=HoldStatus.HELD).vehicle_id == car.pk
    event.refresh_from_db()
    end(event, "over", house)
    house.turn()
    assert house.send() == [("start", car.external_id)]


def test_a_car_that_is_aimed_at_once_more_stays_held(
    house: House, car: Vehicle, program: Program
) -> None:
    event = plan(program)
    hold_it(house, car, event)
    before = first_state()
    end(event, "aimed elsewhere", house)
    house.turn()
    assert Hold.objects.get().status == HoldStatus.RESTORING
    event.refresh_from_db()

    grid_events.amend(event, {"feeders": []}, actor="olga", now=house.now)
    house.turn()

    assert house.send() == []
    assert first_state() == before
    assert Hold.objects.get().status == HoldStatus.HELD


def test_an_event_is_extended_until_its_end_and_not_after_it(
    house: House, car: Vehicle, program: Program
) -> None:
    event = plan(program, ends_at=NOW + HOUR)
    hold_it(house, car, event)
    house.wait(hours=1)  # it is over, and no turn has seen it yet

    event = grid_events.amend(
        event, {"ends_at": NOW + 2 * HOUR}, actor="olga", now=house.now
    )
    house.turn()
    assert (house.send(), starts()) == ([], 0)

    house.wait(hours=1)
    house.turn()
    event.refresh_from_db()
    with pytest.raises(WrongMoment):
        grid_events.amend(
            event, {"ends_at": NOW + 5 * HOUR}, actor="olga", now=house.now
        )
    assert house.send() == [("start", car.external_id)]


def test_no_event_is_shortened_into_the_past(
    house: House, car: Vehicle, program: Program
) -> None:
    event = plan(program)
    hold_it(house, car, event)
    house.wait(minutes=30)

    with pytest.raises(Invalid):
        grid_events.amend(
            event, {"ends_at": house.now - timedelta(minutes=1)}, actor="olga",
            now=house.now,
        )  # fmt: skip

    event.refresh_from_db()
    assert event.version == 1


def test_an_event_called_off_as_it_starts_takes_nobody(
    house: House, car: Vehicle, program: Program
) -> None:
    event = plan(program)
    house.turn()  # it starts, and its stop is queued

    grid_events.cancel(event, actor="olga", now=house.now)

    assert house.send() == []
    house.turn()
    assert house.send() == []
    assert Hold.objects.get().status == HoldStatus.RELEASED
    event.refresh_from_db()
    assert event.status == EventStatus.COMPLETED


def test_the_stop_of_a_cancelled_event_is_taken_over_by_the_other(
    house: House, car: Vehicle, program: Program
) -> None:
    one = plan(program)
    other = plan(program, priority=1, ends_at=NOW + 3 * HOUR)
    house.turn()

    grid_events.cancel(one, actor="olga", now=house.now)
    house.turn()

    assert house.send() == [("stop", car.external_id)]
    hold = Hold.objects.open().get()
    assert hold.event_id == other.pk


def test_who_leaves_one_event_is_held_by_the_other_alone(
    house: House, car: Vehicle, program: Program
) -> None:
    one = plan(program)
    other = plan(program, priority=1, ends_at=NOW + 3 * HOUR)
    hold_it(house, car, one)

    grid_events.opt_out(car, event=one, actor="Ada", now=house.now)
    house.turn()
    assert house.send() == []
    grid_events.opt_out(car, event=other, actor="Ada", now=house.now)
    house.turn()

    assert house.send() == [("start", car.external_id)]
    assert Hold.objects.get().restore_reason == Reason.OPTED_OUT
