"""One car held by a lower limit: what is owed outlives everything but its customer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, transaction

from dispatch import claims, confirmation, grid_events, holds, switch
from dispatch.jobs import Job
from dispatch.lifecycle import EventStatus, HoldStatus
from dispatch.live import cars
from dispatch.models import Alarm, Command, GridEvent, Hold, Participation
from fleets import enrolment
from fleets.models import Enrolment, Program, ProviderAccount, Tactic, Vehicle
from fleets.providers.base import (
    AccessRevoked,
    Asleep,
    CarState,
    NothingToDo,
    OutcomeUnknown,
    Unsupported,
)
from tests.dispatch.lowered import Adas, ada

__all__ = ["ada"]

Make = Callable[..., Any]

UNPLUGGED = NothingToDo("VEHICLE_STATE:CHARGING_PLUG_NOT_CONNECTED", CarState.UNPLUGGED)


def kinds() -> list[tuple[str, str, int | None]]:
    """Return every command as kind, status and percent."""
    rows = Command.objects.order_by("id")
    return [(one.kind, one.status, one.percent) for one in rows]


def test_it_lowers_the_limit_and_sets_it_back(ada: Adas) -> None:
    ada.begin()

    assert kinds() == [("set limit", "queued", 63)]
    assert (ada.hold.limit_percent, ada.hold.our_limit_percent) == (80.0, 63)

    assert ada.send() == ["read", "set limit"]
    ada.reports(limit_percent=63.0, is_charging=False)
    assert ada.hold.status == HoldStatus.HELD

    ada.end()
    assert ada.send() == ["read", "set limit"]
    assert ada.hold.status == HoldStatus.RESTORING
    ada.reports(limit_percent=80.0, is_charging=True)

    assert (ada.hold.status, ada.hold.close_reason) == ("restored", "limit is back")
    assert kinds() == [("set limit", "confirmed", 63), ("set limit", "confirmed", 80)]
    assert ada.event.status == EventStatus.COMPLETED


def test_a_reading_that_shows_one_of_both_confirms_nothing(ada: Adas) -> None:
    ada.begin()
    ada.send()

    ada.reports(limit_percent=63.0, is_charging=True, soc_percent=63.0)
    assert ada.hold.status == HoldStatus.TAKING
    ada.reports(limit_percent=80.0, is_charging=False)
    assert ada.hold.status == HoldStatus.TAKING


def test_a_reading_that_says_no_limit_confirms_nothing(ada: Adas) -> None:
    ada.begin()
    ada.send()

    ada.reports(limit_percent=None, is_charging=False)

    assert ada.hold.status == HoldStatus.TAKING


def test_a_limit_that_the_customer_just_changed_is_not_lowered(ada: Adas) -> None:
    ada.begin()
    ada.becomes(limit_percent=90.0)

    assert ada.send() == ["read"]
    assert (ada.hold.status, ada.hold.close_reason) == (
        "released", "could not be held",
    )  # fmt: skip
    ada.house.turn()
    ada.reports()
    assert ada.send() == ["read", "set limit"]
    assert Hold.objects.latest("id").limit_percent == 90.0


def test_an_opt_out_between_look_and_write_wins(
    ada: Adas, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada.begin()
    look_again = claims.still_wanted
    asked: list[Sequence[Job]] = []

    def opt_out_after_the_look(jobs: Sequence[Job], *, now: datetime) -> list[Job]:
        if asked:
            grid_events.opt_out(ada.car, event=ada.event, actor="Ada", now=now)
        asked.append(jobs)
        return look_again(jobs, now=now)

    monkeypatch.setattr(claims, "still_wanted", opt_out_after_the_look)

    assert ada.send() == ["read"]
    ada.house.turn()
    assert ada.hold.status == HoldStatus.RELEASED
    assert [len(jobs) for jobs in asked] == [1, 1]  # before the look, and after it


def test_a_sender_that_was_buried_after_its_look_writes_nothing(
    ada: Adas, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada.begin()
    look_again = claims.still_ours

    def be_buried_first(jobs: Sequence[Job], **more: Any) -> list[Job]:
        Command.objects.update(status="unknown", sender=None)
        return look_again(jobs, **more)

    monkeypatch.setattr(claims, "still_ours", be_buried_first)

    assert ada.send() == ["read"]
    assert kinds() == [("set limit", "unknown", 63)]


def test_a_look_that_nobody_answers_has_written_nothing(ada: Adas) -> None:
    ada.begin()
    ada.answers(OutcomeUnknown("UPSTREAM:NO_RESPONSE"))

    assert ada.send() == ["read"]

    assert kinds() == [("set limit", "queued", 63)]
    assert not Command.objects.get().may_have_landed


def test_a_write_that_nobody_answers_is_owed(ada: Adas) -> None:
    ada.begin()
    ada.answers()
    provider = ada.house.provider
    write = provider.set_charge_limit

    async def times_out(*args: Any) -> Any:
        await write(*args)
        raise OutcomeUnknown("UPSTREAM:NO_RESPONSE")

    provider.set_charge_limit = times_out  # type: ignore[method-assign,assignment]
    ada.send()
    del provider.set_charge_limit
    assert ada.hold.owed_until is not None

    grid_events.opt_out(ada.car, event=ada.event, actor="Ada", now=ada.house.now)
    ada.house.turn()
    ada.reports(limit_percent=80.0)
    assert ada.hold.status == HoldStatus.RESTORING  # it may land yet
    ada.house.wait(minutes=5)
    ada.becomes(limit_percent=63.0, is_charging=False)  # so it does
    assert ada.send() == ["read", "set limit"]
    ada.house.wait(minutes=10)
    ada.reports(limit_percent=80.0, is_charging=True)
    assert ada.hold.status == HoldStatus.RESTORED


@pytest.mark.parametrize("later", [90.0, 70.0, 100.0])
def test_a_limit_that_the_customer_changed_is_never_overwritten(
    ada: Adas, later: float
) -> None:
    ada.lower()
    ada.end()
    ada.becomes(limit_percent=later)  # nobody has heard of it

    assert ada.send() == ["read"]
    ada.house.turn()

    assert (ada.hold.status, ada.hold.close_reason) == (
        "released", "customer changed the limit",
    )  # fmt: skip
    assert kinds()[-1] == ("set limit", "superseded", 80)
    assert ada.event.status == EventStatus.COMPLETED


def test_a_customer_who_changes_the_limit_is_left_alone(ada: Adas) -> None:
    ada.lower()

    ada.reports(limit_percent=90.0, is_charging=True)

    assert ada.hold.close_reason == "customer changed the limit"
    assert Participation.objects.get().status == "ended"
    assert ada.send() == []


def test_a_limit_that_came_back_by_itself_is_owed_no_more(ada: Adas) -> None:
    ada.lower()

    ada.reports(limit_percent=80.0, is_charging=True)

    assert ada.hold.close_reason == "limit is back without us"
    assert ada.send() == []


@pytest.mark.parametrize("opts_out", [True, False])
def test_who_leaves_gets_the_limit_back_at_once(ada: Adas, opts_out: bool) -> None:
    ada.lower()
    if opts_out:
        grid_events.opt_out(ada.car, event=ada.event, actor="Ada", now=ada.house.now)
    else:
        enrolment.withdraw(Enrolment.objects.get(), now=ada.house.now)

    ada.house.turn()
    assert ada.send() == ["read", "set limit"]
    assert ada.hold.status == HoldStatus.RESTORING  # until it is shown
    ada.reports(limit_percent=80.0, is_charging=True)

    assert ada.hold.status == HoldStatus.RESTORED


def test_an_opt_out_waits_for_no_confirmation(ada: Adas) -> None:
    ada.begin()
    ada.send()
    ada.becomes(limit_percent=63.0, is_charging=False)

    grid_events.opt_out(ada.car, event=ada.event, actor="Ada", now=ada.house.now)
    ada.house.turn()

    assert ada.send() == ["read", "set limit"]


def test_unplugging_does_not_settle_it(ada: Adas) -> None:
    ada.lower()

    ada.reports(is_plugged_in=False)

    assert (ada.hold.status, ada.hold.restore_reason) == ("restoring", "drove off")
    assert ada.send() == ["read", "set limit"]
    ada.reports(limit_percent=80.0)
    assert ada.hold.status == HoldStatus.RESTORED


def test_a_car_that_comes_home_meanwhile_is_judged_anew(ada: Adas) -> None:
    ada.lower()
    ada.reports(is_plugged_in=False)
    ada.send()
    ada.reports(limit_percent=80.0)

    ada.reports(is_plugged_in=True, is_charging=True, soc_percent=57.0)

    assert Hold.objects.latest("id").our_limit_percent == 57
    assert ada.send() == ["read", "set limit"]


def test_a_limit_refused_without_a_cable_waits_for_the_next_plug_in(ada: Adas) -> None:
    ada.lower()
    ada.reports(is_plugged_in=False)
    ada.answers()
    calls = refuse_limits(ada)

    assert ada.send() == ["read"]
    for _ in range(6):
        ada.house.wait(minutes=90)
        ada.reports()
        assert ada.send() == []
    assert (ada.hold.status, kinds()[-1][1]) == ("restoring", "queued")

    calls.clear()
    ada.reports(is_plugged_in=True, is_charging=False)
    assert ada.send() == ["read", "set limit"]
    ada.reports(limit_percent=80.0, is_charging=True)
    assert ada.hold.status == HoldStatus.RESTORED


def refuse_limits(ada: Adas) -> list[None]:
    """Let the maker refuse limits until the returned list is emptied."""
    provider, refusing = ada.house.provider, [None]
    write = provider.set_charge_limit

    async def refuse(*args: Any) -> Any:
        if refusing:
            raise UNPLUGGED
        return await write(*args)

    provider.set_charge_limit = refuse  # type: ignore[method-assign,assignment]
    return refusing


def test_an_event_does_not_wait_for_a_car_that_is_away(ada: Adas) -> None:
    ada.lower()
    refuse_limits(ada)
    ada.reports(is_plugged_in=False)
    ada.send()

    ada.end()

    assert ada.event.status == EventStatus.COMPLETED
    assert ada.hold.status == HoldStatus.RESTORING


def test_a_car_away_for_a_week_is_no_noise(ada: Adas) -> None:
    ada.lower()
    refusing = refuse_limits(ada)
    ada.reports(is_plugged_in=False)
    calls = 0
    for hours in range(6, 24 * 7 + 1, 6):
        ada.house.wait(hours=6)
        ada.house.turn()
        calls += len(ada.send())
        expected = [f"hold:{ada.hold.pk}:away"] if hours > 24 * 3 else []
        assert list(Alarm.objects.values_list("key", flat=True)) == expected
    assert calls <= 2 * 7  # a look every twelve hours
    assert ada.hold.status == HoldStatus.RESTORING

    refusing.clear()
    ada.reports(is_plugged_in=True, is_charging=False)
    assert ada.send() == ["read", "set limit"]
    ada.reports(limit_percent=80.0)
    assert ada.hold.status == HoldStatus.RESTORED
    assert not Alarm.objects.filter(cleared_at=None).exists()


def test_one_that_took_it_and_sleeps_is_not_asked_for_ever(ada: Adas) -> None:
    ada.lower()
    ada.reports(is_plugged_in=False)
    asleep_since = ada.house.now
    calls = []
    for _ in range(16):
        ada.house.wait(hours=2)
        ada.house.turn()
        calls += ada.send(said_at=asleep_since)

    assert calls.count("set limit") == 1
    assert calls.count("read") <= 1 + confirmation.READS_WHILE_AWAY
    ada.reports(is_plugged_in=True, limit_percent=80.0, is_charging=True)
    assert ada.hold.status == HoldStatus.RESTORED


def test_lost_access_ends_as_unresolved_even_if_it_is_away(ada: Adas) -> None:
    ada.lower()
    ada.reports(is_plugged_in=False)
    ada.answers(*[AccessRevoked("PERMISSION")] * 200)
    for _ in range(14):
        ada.house.wait(hours=1)
        ada.house.turn()
        ada.send()

    assert ProviderAccount.objects.get().reconnect_needed_at is not None
    assert ada.hold.status == HoldStatus.UNRESOLVED
    ada.answers()
    holds.try_again(ada.hold, actor="olga", now=ada.house.now, why="signed in again")
    assert kinds()[-1] == ("set limit", "queued", 80)


def test_a_car_that_ignores_its_limit_is_tried_again_and_then_a_persons(
    ada: Adas,
) -> None:
    ada.lower()
    ada.end()
    writes = 0
    for _ in range(40):
        writes += ada.send().count("set limit")
        ada.house.wait(minutes=10)
        ada.reports()

    assert (writes, ada.hold.status) == (4, HoldStatus.UNRESOLVED)


def test_a_limit_that_lowering_left_as_it_was_took_nothing(ada: Adas) -> None:
    ada.begin()
    for _ in range(40):
        ada.send()
        ada.house.wait(minutes=2)
        ada.reports()

    first = Hold.objects.order_by("id").first()
    assert first is not None
    assert (first.status, first.close_reason) == ("released", "limit ignored")
    assert Hold.objects.count() == 1


@pytest.mark.parametrize("held", [True, False])
def test_a_car_that_charges_above_the_limit_gets_it_back(ada: Adas, held: bool) -> None:
    if held:
        ada.lower()
    else:
        ada.begin()
        ada.send()
    ada.house.wait(minutes=10)

    ada.reports(limit_percent=63.0, is_charging=True, soc_percent=65.0)

    why = "restarted" if held else "charges above the limit"
    assert (ada.hold.status, ada.hold.restore_reason) == ("restoring", why)
    assert Participation.objects.get().status == "ended"


def test_a_car_that_tops_up_to_the_limit_stays_held(ada: Adas) -> None:
    ada.lower()

    ada.reports(is_charging=True, soc_percent=62.8)

    assert ada.hold.status == HoldStatus.HELD


# Shown


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({}, "limit 63 % instead of 80 %"),
        (
            {"is_plugged_in": False},
            "drove off; limit 63 % instead of 80 %, waits for its plug-in",
        ),
    ],
)
def test_the_page_says_by_which_limit_a_car_is_held(
    ada: Adas, state: dict[str, Any], words: str
) -> None:
    ada.lower()
    ada.reports(**state)

    (row,) = cars.table([ada.event.pk], now=ada.house.now, zone=ZoneInfo("UTC"))

    assert words in row.reason


# Going on


def back(ada: Adas, **more: Any) -> None:
    """Let the event end and the limit be back, with the car at rest."""
    ada.lower()
    ada.end()
    ada.send()
    ada.reports(limit_percent=80.0, is_charging=False, **more)


def test_a_car_that_does_not_go_on_by_itself_is_started(ada: Adas) -> None:
    back(ada)
    assert ada.hold.status == HoldStatus.RESTORING  # it has its time
    ada.house.wait(minutes=6)
    ada.reports()

    assert ada.send() == ["start"]
    ada.reports(is_charging=True)

    assert (ada.hold.status, ada.hold.close_reason) == ("restored", "started")
    assert [one[0] for one in kinds()] == ["set limit", "set limit", "start"]


@pytest.mark.parametrize(
    ("car", "state"),
    [
        # plugged in anew: its own timer decides
        ({"plugged_in_at": None}, {}),
        ({}, {"is_plugged_in": False}),
        ({}, {"soc_percent": 80.0}),
        # its start would charge beyond the limit
        ({"make": "FORD"}, {}),
        ({"can_start": False}, {}),
    ],
)
def test_a_car_is_not_started_ahead_of_its_own_timer(
    ada: Adas, car: dict[str, Any], state: dict[str, Any]
) -> None:
    ada.lower()
    if "plugged_in_at" in car:
        Hold.objects.update(plugged_in_at=ada.house.now - timedelta(days=1))
    else:
        Vehicle.objects.update(**car)
    ada.end()
    ada.send()
    ada.house.wait(minutes=12)

    ada.reports(limit_percent=80.0, is_charging=False, **state)

    assert ada.hold.status == HoldStatus.RESTORED
    assert ada.send() == []


# Others


def test_a_car_that_takes_no_limit_after_all_is_held_by_a_stop(ada: Adas) -> None:
    ada.begin()
    ada.answers(Unsupported("COMPATIBILITY:VEHICLE_NOT_CAPABLE"))
    ada.send()
    ada.house.turn()
    ada.house.wait(minutes=1)
    ada.reports()

    assert ada.send() == ["stop"]
    assert [kind for kind, *_ in kinds()] == ["set limit", "stop"]


def test_the_switch_stops_a_limit_on_its_way(ada: Adas) -> None:
    ada.begin()
    switch.stop_new_holds(program=None, actor="olga", now=ada.house.now)

    assert ada.send() == []


def test_a_second_event_joins_and_the_first_limit_stays_owed(
    ada: Adas, make_event: Make
) -> None:
    ada.lower()
    program = Program.objects.get()
    second = make_event(
        program, status=EventStatus.ACTIVE, ends_at=ada.event.ends_at, priority=1
    )
    ada.house.turn()
    GridEvent.objects.exclude(pk=second.pk).update(ends_at=ada.house.now)
    ada.house.turn()

    assert ada.hold.status == HoldStatus.HELD
    assert (ada.hold.limit_percent, Hold.objects.count()) == (80.0, 1)


def test_a_car_that_sleeps_is_asked_again(ada: Adas) -> None:
    ada.lower()
    ada.end()
    ada.answers(Asleep("VEHICLE_STATE:ASLEEP"))

    assert ada.send() == ["read"]
    ada.house.wait(minutes=5)
    assert ada.send() == ["read", "set limit"]


def test_the_database_knows_no_hold_by_a_limit_that_cannot_be_set_back(
    ada: Adas,
) -> None:
    ada.lower()

    for wrong in (
        {"limit_percent": None}, {"limit_percent": 63.0}, {"our_limit_percent": None},
        {"our_limit_percent": 49}, {"tactic": Tactic.STOP},
    ):  # fmt: skip
        with pytest.raises(IntegrityError), transaction.atomic():
            Hold.objects.update(**wrong)
