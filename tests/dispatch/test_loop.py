"""One car through a whole event: observe, decide, act, confirm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from dispatch import claims, control, grid_events
from dispatch.jobs import Job
from dispatch.lifecycle import CommandStatus, EventStatus, HoldStatus
from dispatch.models import Alarm, Change, Command, GridEvent, Hold, Participation
from fleets.models import Enrolment, Vehicle
from fleets.providers.base import (
    Asleep,
    CarState,
    NothingToDo,
    OutcomeUnknown,
    Report,
    Unsupported,
)
from tests.dispatch.conftest import House

Make = Callable[..., Any]


@pytest.fixture
def ada(
    make_program: Make, make_enrolment: Make, make_event: Make, give_calls: Make
) -> Vehicle:
    """Return Ada's car, that charges at home, with an event about to begin."""
    enrolment: Enrolment = make_enrolment(make_program("evening"))
    make_event(enrolment.program, status=EventStatus.SCHEDULED)
    give_calls(enrolment.vehicle)
    return enrolment.vehicle


def statuses(kind: type[Hold] | type[Command]) -> list[str]:
    return list(kind.objects.order_by("id").values_list("status", flat=True))


def hold(house: House, car: Vehicle) -> None:
    """Let the event begin and stop the car."""
    event = GridEvent.objects.get()
    house.wait(seconds=max(0.0, (event.starts_at - house.now).total_seconds()))
    house.turn()
    assert house.send() == [("stop", car.external_id)]
    house.report(car, is_plugged_in=True, is_charging=False, soc_percent=50.0)
    house.turn()
    assert statuses(Hold) == [HoldStatus.HELD]


def end(house: House) -> None:
    """Let the event's time pass."""
    event = GridEvent.objects.get()
    house.wait(seconds=(event.ends_at - house.now).total_seconds())
    house.turn()


def test_it_takes_and_gives_back(house: House, ada: Vehicle) -> None:
    hold(house, ada)
    end(house)
    assert house.send() == [("start", ada.external_id)]
    house.report(ada, is_plugged_in=True, is_charging=True)
    house.turn()

    assert statuses(Hold) == [HoldStatus.RESTORED]
    assert statuses(Command) == [CommandStatus.CONFIRMED, CommandStatus.CONFIRMED]
    assert GridEvent.objects.get().status == EventStatus.COMPLETED
    assert list(
        Change.objects.filter(subject="hold")
        .order_by("id")
        .values_list("after", flat=True)
    ) == ["taking", "held", "restoring", "restored"]


def test_a_reading_from_before_the_answer_confirms_nothing(
    house: House, ada: Vehicle
) -> None:
    house.wait(seconds=(GridEvent.objects.get().starts_at - house.now).total_seconds())
    house.turn()
    house.report(ada, is_plugged_in=True, is_charging=False)
    house.wait(seconds=30)
    house.send()
    house.turn()

    assert statuses(Hold) == [HoldStatus.TAKING]


def test_a_turn_that_waited_confirms_nothing_before_it_was_heard(
    house: House, ada: Vehicle
) -> None:
    hold(house, ada)
    before = house.now
    end(house)
    house.send()
    house.report(ada, is_plugged_in=True, is_charging=True)

    control.turn(now=before)

    start = Command.objects.get(kind="start")
    assert start.status == CommandStatus.CONFIRMED
    assert start.confirmed_at == house.now


def test_an_opt_out_between_claim_and_send_wins(
    house: House, ada: Vehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = GridEvent.objects.get()
    house.wait(seconds=(event.starts_at - house.now).total_seconds())
    house.turn()

    def opt_out() -> None:
        grid_events.opt_out(ada, event=event, actor="Ada", now=house.now)

    look_again = claims.still_wanted

    def opt_out_first(jobs: Sequence[Job], *, now: datetime) -> list[Job]:
        opt_out()
        return look_again(jobs, now=now)

    monkeypatch.setattr(claims, "still_wanted", opt_out_first)

    assert house.send() == []
    house.turn()
    assert statuses(Command) == [CommandStatus.SUPERSEDED]
    assert statuses(Hold) == [HoldStatus.RELEASED]


def test_an_unknown_stop_is_read_before_anything_else(
    house: House, ada: Vehicle
) -> None:
    house.provider.answers[ada.external_id] = [OutcomeUnknown("UPSTREAM:NO_RESPONSE")]
    house.wait(seconds=(GridEvent.objects.get().starts_at - house.now).total_seconds())
    house.turn()
    house.send()
    assert statuses(Command) == [CommandStatus.UNKNOWN]

    house.wait(minutes=2)
    house.provider.reports[ada.external_id] = Report(
        ada.external_id, house.now, is_plugged_in=True, is_charging=False
    )
    assert house.send() == [("read", ada.external_id)]
    house.turn()

    assert statuses(Hold) == [HoldStatus.HELD]
    assert statuses(Command) == [CommandStatus.CONFIRMED]


def test_an_unknown_stop_needs_no_read_before_its_start(
    house: House, ada: Vehicle
) -> None:
    house.provider.answers[ada.external_id] = [OutcomeUnknown("LINE:TIMEOUT")]
    house.wait(seconds=(GridEvent.objects.get().starts_at - house.now).total_seconds())
    house.turn()
    house.send()
    grid_events.cancel(GridEvent.objects.get(), actor="Olga", now=house.now)
    house.turn()

    assert house.send() == [("start", ada.external_id)]


def test_a_stop_that_may_land_late_stays_owed(house: House, ada: Vehicle) -> None:
    house.provider.answers[ada.external_id] = [OutcomeUnknown("LINE:TIMEOUT")]
    house.wait(seconds=(GridEvent.objects.get().starts_at - house.now).total_seconds())
    house.turn()
    house.send()
    grid_events.cancel(GridEvent.objects.get(), actor="Olga", now=house.now)
    house.turn()
    house.send()
    house.report(ada, is_plugged_in=True, is_charging=True)
    house.turn()
    assert statuses(Hold) == [HoldStatus.RESTORING], "the stop may still land"

    house.wait(minutes=11)
    house.report(ada, is_plugged_in=True, is_charging=True)
    house.turn()
    assert statuses(Hold) == [HoldStatus.RESTORED]


def test_a_stop_that_found_nothing_to_stop_has_taken_nothing(
    house: House, ada: Vehicle
) -> None:
    house.provider.answers[ada.external_id] = [
        NothingToDo("VEHICLE_STATE:NOT_CHARGING", CarState.NOT_CHARGING)
    ]
    house.wait(seconds=(GridEvent.objects.get().starts_at - house.now).total_seconds())
    house.turn()
    house.send()
    house.turn()

    assert statuses(Hold) == [HoldStatus.RELEASED]
    assert Participation.objects.get().reason == "could not be held"
    assert house.send() == []


def test_a_sleeping_car_is_left_alone_for_a_while(house: House, ada: Vehicle) -> None:
    house.provider.answers[ada.external_id] = [Asleep("VEHICLE_STATE:ASLEEP")]
    house.wait(seconds=(GridEvent.objects.get().starts_at - house.now).total_seconds())
    house.turn()
    assert len(house.send()) == 1

    house.wait(seconds=119)
    assert house.send() == []
    house.wait(seconds=1)
    assert len(house.send()) == 1


def test_a_car_that_ignores_its_start_is_asked_three_times_more(
    house: House, ada: Vehicle
) -> None:
    hold(house, ada)
    end(house)
    starts = 0
    for _ in range(6):
        starts += len(house.send())
        house.wait(minutes=20)
        house.report(ada, is_plugged_in=True, is_charging=False)
        house.turn()
        house.wait(minutes=20)

    assert starts == 4
    assert statuses(Hold) == [HoldStatus.UNRESOLVED]
    assert Alarm.objects.filter(cleared_at=None).exists()

    house.report(ada, is_plugged_in=True, is_charging=True)
    house.turn()
    assert statuses(Hold) == [HoldStatus.RESTORED]
    assert not Alarm.objects.filter(cleared_at=None).exists()


def test_starts_that_come_to_nothing_unanswered_leave_no_car_to_a_person(
    house: House, ada: Vehicle
) -> None:
    hold(house, ada)
    house.provider.answers[ada.external_id] = [OutcomeUnknown("LINE:TIMEOUT")] * 8
    end(house)
    starts = 0
    while house.provider.answers[ada.external_id]:
        starts += len(house.send())
        house.wait(minutes=15)
        house.report(ada, is_plugged_in=True, is_charging=False)
        house.turn()
        house.wait(minutes=15)
    house.send()
    house.report(ada, is_plugged_in=True, is_charging=True)
    house.turn()

    assert starts == 8
    assert statuses(Hold) == [HoldStatus.RESTORED]


def test_each_attempt_of_unknown_outcome_is_read_at_the_same_pace(
    house: House, ada: Vehicle
) -> None:
    hold(house, ada)
    house.provider.answers[ada.external_id] = [OutcomeUnknown("LINE:TIMEOUT")]
    end(house)
    house.send()
    Command.objects.filter(kind="start").update(status="queued", reads=9)
    house.provider.answers[ada.external_id] = [OutcomeUnknown("LINE:TIMEOUT")]
    house.send()
    house.provider.reports[ada.external_id] = Report(ada.external_id, house.now)

    for pause in (1, 2, 4):
        house.wait(minutes=pause)
        assert house.send() == [("read", ada.external_id)]


def test_a_car_that_drives_off_is_owed_nothing_and_judged_anew(
    house: House, ada: Vehicle
) -> None:
    hold(house, ada)
    house.report(ada, is_plugged_in=False, is_charging=False)
    house.turn()
    assert statuses(Hold) == [HoldStatus.RELEASED]

    house.report(ada, is_plugged_in=True, is_charging=True, is_home=True)
    house.turn()
    assert statuses(Hold) == [HoldStatus.RELEASED, HoldStatus.TAKING]


def test_a_customer_who_restarts_the_car_is_left_in_peace(
    house: House, ada: Vehicle
) -> None:
    hold(house, ada)
    house.report(ada, is_plugged_in=True, is_charging=True)
    house.turn()
    house.turn()

    assert statuses(Hold) == [HoldStatus.RELEASED]
    assert Participation.objects.get().status == "ended"
    assert house.send() == []


def test_what_a_dead_sender_held_is_unknown(house: House, ada: Vehicle) -> None:
    from dispatch import claims, fanout

    house.wait(seconds=(GridEvent.objects.get().starts_at - house.now).total_seconds())
    house.turn()
    sender = fanout._enlist()
    assert len(claims.claim(sender, claims.due(house.now), room=5, now=house.now)) == 1
    type(sender).objects.update(heartbeat_at=house.now - timedelta(days=400))

    assert fanout.bury_dead_senders(now=house.now) == 1
    assert statuses(Command) == [CommandStatus.UNKNOWN]
    assert Hold.objects.get().owed_until is not None


def test_a_restore_that_can_never_work_is_alarmed(house: House, ada: Vehicle) -> None:
    hold(house, ada)
    house.provider.answers[ada.external_id] = [Unsupported("COMPATIBILITY:X")] * 3
    end(house)
    house.send()

    assert statuses(Command) == [CommandStatus.CONFIRMED, CommandStatus.QUEUED]
    alarm = Alarm.objects.get(cleared_at=None)
    assert alarm.key == f"hold:{Hold.objects.get().pk}:refused"
