"""The main system: a copy every minute, and a look before every act."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from dispatch import fanout, switch, tasks
from dispatch.lifecycle import CommandStatus, HoldStatus
from dispatch.models import (
    Alarm,
    AuditEntry,
    Change,
    Command,
    Envelope,
    GridEvent,
    Hold,
    LoopTurn,
    Participation,
    SecondPlace,
)
from dispatch.safekeeping import guard, learn
from dispatch.safekeeping.place import Line, Place
from dispatch.safekeeping.sheet import Give
from fleets import clock
from fleets.models import VehicleBucket
from tests.dispatch.conftest import House
from tests.factories import NOW

Make = Callable[..., Any]
REAL = datetime.fromisoformat("2026-11-23T03:00:00+00:00")
MINUTE = timedelta(minutes=1)


@pytest.fixture
def held(taken: Hold, house: House) -> Hold:
    """Return the hold of Ada's car, stopped and shown to be."""
    house.report(taken.vehicle, is_plugged_in=True, is_charging=False, soc_percent=50.0)
    house.turn()
    taken.refresh_from_db()
    assert taken.status == HoldStatus.HELD
    return taken


def keep(real_now: datetime = REAL) -> bool:
    return guard.keep(now=clock.now(), real_now=real_now)


def look(real_now: datetime = REAL) -> bool:
    return guard.look(now=clock.now(), real_now=real_now)


def given(
    place: Place, *lines: dict[str, Any], ended: bool = True, at: datetime = REAL
) -> int:
    """Let another host give back, as these lines tell; return its takeover."""
    taken = place.begin(name_of_sheet="s", host="other", pid=1, at=at)
    assert taken is not None
    told: list[Line] = [
        {"run": taken.number, "seq": seq, "at": NOW.isoformat(), **line}
        for seq, line in enumerate(lines, 1)
    ]
    if ended:
        told.append(
            {"run": taken.number, "seq": 99, "at": NOW.isoformat(), "did": "ended",
             "recalled": False}
        )  # fmt: skip
    place.write_lines(taken.number, piece=0, lines=told)
    return taken.number


def started(hold: Hold) -> list[dict[str, Any]]:
    """Return the lines of a start that was accepted, and that nothing shows yet."""
    return [
        {"did": "send", "hold": hold.pk},
        {"did": "answer", "hold": hold.pk, "status": "accepted", "code": "",
         "landed": True, "wait": 360.0},
    ]  # fmt: skip


def closed(hold: Hold, end: str) -> list[dict[str, Any]]:
    return [
        *started(hold),
        {"did": "close", "hold": hold.pk, "end": end, "reason": ""},
    ]


# --- The copy --


def test_the_copy_says_all_that_is_needed(second_place: Place, held: Hold) -> None:
    LoopTurn.objects.update(real_at=REAL - MINUTE)

    assert keep()

    newest = second_place.newest()
    assert newest is not None
    (car,) = newest[1].owed
    vehicle = held.vehicle
    assert (car.hold_id, car.vehicle_id, car.user_id) == (
        held.pk, vehicle.external_id, vehicle.account.external_id,
    )  # fmt: skip
    assert (car.give, car.power_kw, car.latest_start_at, car.look_first) == (
        Give.START, 7.0, held.latest_start_at, False,
    )  # fmt: skip
    assert car.stop_answered_at == Command.objects.get().answered_at
    assert car.ramps == (
        "program evening-peak", "envelope evening-peak", "everything",
    )  # fmt: skip
    head = newest[1].head
    assert head.alive_at == REAL - MINUTE
    assert head.ramps == {"program evening-peak": 50.0, "everything": 20_000.0}


def test_a_car_whose_month_is_spent_to_the_last_call_has_none_left(
    second_place: Place, held: Hold, settings: Any
) -> None:
    VehicleBucket.objects.update(
        month=NOW.date().replace(day=1),
        calls_this_month=settings.VEHICLE_CALLS_PER_MONTH,
    )

    assert keep()

    newest = second_place.newest()
    assert newest is not None
    assert newest[1].owed[0].month_calls_left == 0


def test_a_stop_that_is_still_to_leave_may_land_later(
    second_place: Place, make_stop: Make, make_event: Make, set_clock: Make
) -> None:
    set_clock(NOW)
    make_stop(make_event())

    keep()

    newest = second_place.newest()
    assert newest is not None
    (car,) = newest[1].owed
    assert car.look_first
    assert car.owed_until == NOW + timedelta(seconds=310 + 300)


@pytest.mark.parametrize(
    ("status", "given_before", "look_first"),
    [
        (CommandStatus.QUEUED, None, True),
        (CommandStatus.SENDING, "unknown", False),
        (CommandStatus.UNKNOWN, "unknown", False),
        (CommandStatus.ACCEPTED, "accepted", False),
        (CommandStatus.FAILED, None, False),
    ],
)
def test_a_start_of_the_main_system_goes_along(
    second_place: Place,
    held: Hold,
    status: str,
    given_before: str | None,
    look_first: bool,
) -> None:
    Command.objects.create(
        vehicle=held.vehicle, hold=held, event=held.event, event_version=1,
        kind="start", is_restore=True, status=status, created_at=NOW, due_at=NOW,
        sent_at=NOW,
    )  # fmt: skip

    keep()

    newest = second_place.newest()
    assert newest is not None
    (car,) = newest[1].owed
    assert (car.given, car.look_first) == (given_before, look_first)


def test_a_hundred_cars_cost_as_many_queries_as_one(
    second_place: Place,
    held: Hold,
    make_vehicle: Make,
    django_assert_max_num_queries: Make,
) -> None:
    for _ in range(30):
        values = {
            field.attname: getattr(held, field.attname)
            for field in Hold._meta.fields
            if field.attname not in {"id", "vehicle_id"}
        }
        Hold.objects.create(vehicle=make_vehicle(), **values)

    with django_assert_max_num_queries(20):
        keep()

    newest = second_place.newest()
    assert newest is not None
    assert len(newest[1].owed) == 31


def test_only_the_newest_copies_stay(
    second_place: Place, settings: Any, db: None
) -> None:
    settings.SAFEKEEPING_KEPT = 3

    for number in range(5):
        assert keep(REAL + number * MINUTE)

    assert len(second_place.store.names("test/sheets")) == 3
    newest = second_place.newest()
    assert newest is not None
    assert newest[1].head.written_real_at == REAL + 4 * MINUTE


def test_what_was_taken_since_wakes_a_copy(second_place: Place, held: Hold) -> None:
    keep(REAL)
    assert not guard.is_due(real_now=REAL + MINUTE)

    SecondPlace.objects.update(kept_hold=held.pk - 1)

    assert guard.is_due(real_now=REAL + MINUTE)
    assert not guard.is_due(real_now=REAL + timedelta(seconds=1))


def test_a_copy_that_is_too_old_is_alarmed_until_there_is_a_new_one(
    second_place: Place, db: None
) -> None:
    keep(REAL)
    guard.watch(now=NOW, real_now=REAL + 2 * MINUTE)
    assert not Alarm.objects.exists()

    guard.watch(now=NOW, real_now=REAL + 3 * MINUTE)
    assert Alarm.objects.get().key == guard.TOO_OLD_KEY

    keep(REAL + 4 * MINUTE)
    assert not Alarm.objects.filter(cleared_at=None).exists()


# --- A second place that is away --


@pytest.fixture
def away(second_place: Place, settings: Any, db: None) -> None:
    settings.SAFEKEEPING_URL = "file:///proc/nobody-may-write-here"


def test_without_a_second_place_nothing_new_is_taken_and_restores_go_on(
    away: None,
) -> None:
    assert not guard.may_act(real_now=REAL)

    assert look()
    assert not keep()

    assert guard.may_act(real_now=REAL)
    assert Envelope.objects.get().holds_stopped_by == guard.AWAY
    assert Alarm.objects.get().key == guard.TOO_OLD_KEY


def test_it_takes_again_once_copies_are_kept(
    second_place: Place, settings: Any, db: None
) -> None:
    good, settings.SAFEKEEPING_URL = settings.SAFEKEEPING_URL, "file:///proc/nowhere"
    look()
    settings.SAFEKEEPING_URL = good
    look()
    keep()

    assert Envelope.objects.get().holds_stopped_at is None


def test_a_short_absence_stops_nothing(
    second_place: Place, settings: Any, db: None
) -> None:
    keep(REAL)
    settings.SAFEKEEPING_URL = "file:///proc/nowhere"

    assert look(REAL + 2 * MINUTE)
    assert not Envelope.objects.exists()

    assert look(REAL + 6 * MINUTE)
    assert Envelope.objects.get().holds_stopped_by == guard.AWAY


def test_a_stop_that_olga_made_is_hers_to_undo(second_place: Place, db: None) -> None:
    switch.stop_new_holds(program=None, actor="olga", now=NOW)
    keep()

    assert Envelope.objects.get().holds_stopped_by == "olga"


def test_no_second_place_is_no_hindrance(settings: Any, db: None) -> None:
    settings.SAFEKEEPING_URL = ""

    assert guard.may_act(real_now=REAL)
    tasks.keep_safe()

    assert not SecondPlace.objects.exists()


# --- Back again --


def test_a_look_is_good_for_half_of_the_watchdogs_patience(
    second_place: Place, db: None
) -> None:
    assert not guard.may_act(real_now=REAL)
    assert look()

    assert guard.may_act(real_now=REAL + timedelta(minutes=4.9))
    assert not guard.may_act(real_now=REAL + timedelta(minutes=5))


def test_a_process_trusts_no_look_that_is_older_than_itself(
    second_place: Place, db: None
) -> None:
    look()
    assert guard.may_act(real_now=REAL)

    guard._born.clear()  # the system was restarted

    assert not guard.may_act(real_now=REAL + MINUTE)
    look(REAL + MINUTE)
    assert guard.may_act(real_now=REAL + MINUTE)


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("restored", HoldStatus.RESTORED),
        ("finished", HoldStatus.RELEASED),
        ("drove off", HoldStatus.RELEASED),
        ("charges without us", HoldStatus.RELEASED),
    ],
)
def test_what_was_given_back_without_us_is_not_given_again(
    second_place: Place, held: Hold, house: House, end: str, status: str
) -> None:
    number = given(second_place, *closed(held, end))

    assert look()
    held.event.status = "restoring"
    held.event.save(update_fields=["status"])
    house.wait(minutes=30)
    house.turn()

    held.refresh_from_db()
    assert (held.status, held.close_reason) == (status, end)
    assert house.send() == []
    assert Participation.objects.get().reason == "given back without us"
    told = Change.objects.filter(subject="hold", subject_id=held.pk).order_by("id")
    assert told.last().reason == f"given back without us: {end}"  # type: ignore[union-attr]
    entry = AuditEntry.objects.get(act="learn")
    assert (entry.subject, entry.detail["by_end"]) == (f"takeover {number}", {end: 1})
    assert second_place.numbers() == []


def test_a_start_that_nothing_shows_yet_waits_for_a_reading(
    second_place: Place, held: Hold, house: House
) -> None:
    given(second_place, *started(held))

    assert look()
    house.turn()

    held.refresh_from_db()
    command = Command.objects.latest("id")
    assert held.status == HoldStatus.RESTORING
    assert (command.kind, command.status, command.answered_at) == (
        "start", CommandStatus.ACCEPTED, NOW,
    )  # fmt: skip
    house.report(held.vehicle, is_plugged_in=True, is_charging=True)
    house.turn()
    held.refresh_from_db()
    assert held.status == HoldStatus.RESTORED


def test_a_call_that_nobody_saw_answered_is_read_first(
    second_place: Place, held: Hold
) -> None:
    given(second_place, started(held)[0])

    look()

    assert Command.objects.latest("id").status == CommandStatus.UNKNOWN


def test_a_car_that_was_not_reached_is_still_owed(
    second_place: Place, held: Hold
) -> None:
    line = {"did": "close", "hold": held.pk, "end": "not reached", "reason": "asleep"}
    given(second_place, line)

    assert look()

    held.refresh_from_db()
    assert held.status == HoldStatus.HELD


def test_nothing_new_is_held_until_a_person_allows_it(
    second_place: Place, held: Hold
) -> None:
    given(second_place, *closed(held, "restored"))
    look()
    keep()

    assert Envelope.objects.get().holds_stopped_by == "give_back"
    assert Alarm.objects.get(cleared_at=None).key == guard.GIVEN_KEY
    switch.allow_new_holds(program=None, actor="olga", now=NOW)
    keep()
    assert not Alarm.objects.filter(cleared_at=None).exists()


def test_a_giving_that_still_runs_is_recalled_and_waited_for(
    second_place: Place, held: Hold
) -> None:
    number = given(second_place, *started(held), ended=False)

    assert not look()
    assert not guard.may_act(real_now=REAL)
    assert second_place.is_recalled(number)

    # It died without a word: what it wrote is what is known.
    assert look(REAL + 3 * MINUTE)
    held.refresh_from_db()
    assert held.status == HoldStatus.RESTORING


def test_a_command_on_the_wire_comes_to_its_end_first(
    second_place: Place, held: Hold
) -> None:
    given(second_place, *closed(held, "restored"))
    Command.objects.update(status=CommandStatus.SENDING)

    assert not look()
    Command.objects.update(status=CommandStatus.UNKNOWN)
    assert look()

    held.refresh_from_db()
    assert held.status == HoldStatus.RESTORED
    assert Command.objects.get().status == CommandStatus.SUPERSEDED


def test_a_tick_learns_before_it_decides(
    second_place: Place,
    held: Hold,
    house: House,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The event is over: a turn would queue a start at once."""
    GridEvent.objects.update(status="restoring", ends_at=house.now)
    given(second_place, *closed(held, "restored"))
    monkeypatch.setattr(tasks, "wake", lambda task: None)

    tasks.tick()

    held.refresh_from_db()
    assert held.close_reason == "restored"
    assert not Command.objects.filter(is_restore=True).exists()


def test_neither_a_tick_nor_a_sender_acts_while_another_gives(
    second_place: Place,
    held: Hold,
    house: House,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    GridEvent.objects.update(status="restoring", ends_at=house.now)
    given(second_place, *started(held), ended=False, at=clock.real_now())
    monkeypatch.setattr(tasks, "wake", lambda task: None)
    monkeypatch.setattr(fanout, "run", lambda *given, **more: pytest.fail("sent"))

    tasks.tick()
    tasks.send()

    held.refresh_from_db()
    assert held.status == HoldStatus.HELD


def test_learning_twice_changes_nothing(second_place: Place, held: Hold) -> None:
    given(second_place, *closed(held, "restored"))
    lines = list(second_place.lines([1]))

    first = learn.learn(lines, subject="x", now=NOW)
    again = learn.learn(lines, subject="x", now=NOW)

    assert first is not None and again is not None
    assert (first.count, again.count) == (1, 0)
