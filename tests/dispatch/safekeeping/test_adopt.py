"""A database that went back in time learns from the newest sheet what it owes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command

from dispatch import fanout, outcomes, tasks
from dispatch.lifecycle import CommandStatus, EventStatus, HoldStatus
from dispatch.models import (
    Alarm,
    AuditEntry,
    Command,
    Envelope,
    Hold,
    LoopTurn,
    Participation,
    SecondPlace,
)
from dispatch.safekeeping import adopt, guard
from dispatch.safekeeping.place import Place
from fleets import clock
from fleets.models import Bucket, Customer, ProviderAccount, Vehicle, VehicleBucket
from tests.dispatch.conftest import House

Make = Callable[..., Any]
REAL = datetime.fromisoformat("2026-11-23T03:00:00+00:00")
MINUTE = timedelta(minutes=1)


def keep(real_now: datetime = REAL) -> None:
    LoopTurn.objects.update(real_at=real_now - timedelta(seconds=1))
    assert guard.keep(now=clock.now(), real_now=real_now)


def look(real_now: datetime = REAL + MINUTE) -> bool:
    return guard.look(now=clock.now(), real_now=real_now)


def go_back() -> None:
    """Forget the last minute, as a backup does that was made before it."""
    LoopTurn.objects.update(real_at=REAL - MINUTE)
    SecondPlace.objects.update(kept_at=REAL - MINUTE, kept_hold=0)


def forget_holds() -> None:
    go_back()
    Participation.objects.all().delete()
    Command.objects.all().delete()
    Hold.objects.all().delete()


def test_a_hold_that_the_backup_lacks_is_adopted_and_given_back(
    second_place: Place, taken: Hold, house: House
) -> None:
    keep()
    forget_holds()
    vehicle = taken.vehicle

    assert look()

    hold = Hold.objects.get()
    assert (hold.pk, hold.vehicle, hold.status) == (taken.pk, vehicle, HoldStatus.HELD)
    assert hold.state_observed_at == taken.state_observed_at
    assert AuditEntry.objects.filter(act="adopt").count() == 1

    Bucket.objects.update(tokens=10)
    house.turn()
    assert house.send() == [("start", vehicle.external_id)]
    house.report(vehicle, is_plugged_in=True, is_charging=True, soc_percent=50.0)
    house.turn()
    hold.refresh_from_db()
    assert hold.status == HoldStatus.RESTORED
    assert hold.event.status == EventStatus.COMPLETED


def test_its_event_does_not_take_it_again_while_it_runs(
    second_place: Place, taken: Hold, house: House
) -> None:
    keep()
    forget_holds()
    look()
    Envelope.objects.update(holds_stopped_at=None, holds_stopped_by="")
    Bucket.objects.update(tokens=100)

    house.turn()
    house.send()
    house.report(taken.vehicle, is_plugged_in=True, is_charging=True, soc_percent=50.0)
    house.turn()

    taken.event.refresh_from_db()
    assert taken.event.status == EventStatus.ACTIVE
    assert house.send() == []
    assert not Hold.objects.open().exists()


def test_an_adopted_car_that_charges_is_left_alone(
    second_place: Place, taken: Hold, house: House
) -> None:
    """The owner restarted it meanwhile: an older reading proves nothing of that."""
    keep()
    forget_holds()
    look()
    hold = Hold.objects.get()
    stop = Command.objects.get(is_restore=False)
    assert stop.answered_at is not None

    house.report(taken.vehicle, is_plugged_in=True, is_charging=True, soc_percent=50.0)
    house.turn()

    hold.refresh_from_db()
    assert (hold.status, hold.close_reason) == (HoldStatus.RELEASED, "restarted")


def test_a_stop_that_left_after_the_backup_is_not_taken_for_untaken(
    second_place: Place, taken: Hold, house: House
) -> None:
    keep()
    go_back()
    Command.objects.update(
        status=CommandStatus.QUEUED, answered_at=None, may_have_landed=False, attempt=0
    )

    look()
    Bucket.objects.update(tokens=10)
    house.turn()  # the switch called its stop off: without the sheet, it is let go

    taken.refresh_from_db()
    assert taken.status == HoldStatus.TAKING
    assert Command.objects.get().may_have_landed

    house.wait(hours=9)
    house.turn()
    assert house.send() == [("start", taken.vehicle.external_id)]


def test_what_ended_after_the_backup_is_not_started_again(
    second_place: Place, taken: Hold, house: House
) -> None:
    Hold.objects.update(status=HoldStatus.RELEASED)
    keep()
    go_back()
    Hold.objects.update(status=HoldStatus.HELD)

    look()
    house.wait(hours=9)
    house.turn()

    assert house.send() == []
    taken.refresh_from_db()
    assert taken.status == HoldStatus.RELEASED


def test_nothing_new_is_taken_until_a_person_has_looked(
    second_place: Place, taken: Hold
) -> None:
    keep()
    forget_holds()
    look()

    assert Envelope.objects.get(program=None).holds_stopped_by == adopt.ACTOR
    alarm = Alarm.objects.get(cleared_at=None)
    assert (alarm.key, alarm.text[:24]) == (
        guard.ADOPTED_KEY, "The database is older th",
    )  # fmt: skip

    keep(REAL + MINUTE)
    assert Alarm.objects.filter(cleared_at=None).exists()

    Envelope.objects.update(holds_stopped_at=None, holds_stopped_by="")
    keep(REAL + 2 * MINUTE)
    assert not Alarm.objects.filter(cleared_at=None).exists()


def test_the_newest_sheet_is_compared_before_another_takes_its_place(
    second_place: Place, taken: Hold
) -> None:
    keep()
    forget_holds()

    keep(REAL + MINUTE)  # nobody has looked

    newest = second_place.newest()
    assert newest is not None
    assert [car.vehicle_id for car in newest[1].owed] == [taken.vehicle.external_id]


def test_a_car_that_the_backup_never_knew_is_brought_in(
    second_place: Place, taken: Hold, house: House
) -> None:
    keep()
    forget_holds()
    external_id = taken.vehicle.external_id
    VehicleBucket.objects.all().delete()
    Vehicle.objects.all().delete()
    ProviderAccount.objects.all().delete()
    Customer.objects.all().delete()

    look()

    hold = Hold.objects.get()
    assert hold.vehicle.external_id == external_id
    Bucket.objects.update(tokens=10)
    VehicleBucket.objects.update(tokens=6)
    house.turn()
    assert house.send() == [("start", external_id)]


def test_buckets_begin_empty_for_nobody_knows_what_was_spent(
    second_place: Place, taken: Hold
) -> None:
    keep()
    forget_holds()
    Bucket.objects.update(tokens=100)

    look()

    assert Bucket.objects.get().tokens == 0


def test_it_waits_for_a_sender_of_ours(
    second_place: Place, taken: Hold, house: House
) -> None:
    keep()
    go_back()
    Command.objects.update(status=CommandStatus.SENDING)

    assert not look()
    assert not AuditEntry.objects.filter(act="adopt").exists()

    outcomes.bury([], now=house.now)
    assert look()


def test_a_sheet_that_another_process_wrote_a_moment_ago_changes_nothing(
    second_place: Place, taken: Hold
) -> None:
    keep()
    SecondPlace.objects.update(kept_at=REAL - MINUTE)  # its row is not written yet
    Bucket.objects.update(tokens=100)

    assert look()

    assert not AuditEntry.objects.exists()
    assert Bucket.objects.get().tokens == 100
    assert not Alarm.objects.exists()


def test_new_holds_get_numbers_behind_the_adopted(
    second_place: Place, taken: Hold, make_event: Make, make_stop: Make
) -> None:
    keep()
    forget_holds()
    look()

    # Without it the next number would be given twice, and a journal tell of another.
    newest = make_stop(make_event(taken.event.program))

    assert newest.hold_id > taken.pk


def test_it_is_adopted_before_anything_is_sent(
    second_place: Place, taken: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(clock.real_now())
    forget_holds()
    guard._born.clear()
    monkeypatch.setattr(
        fanout, "run", lambda _: pytest.fail("sent before it was compared")
    )
    monkeypatch.setattr(
        adopt,
        "adopt",
        lambda *_, **__: None,  # must wait
    )

    tasks.send()


def test_a_person_may_compare_without_changing_anything(
    second_place: Place, taken: Hold, capsys: pytest.CaptureFixture[str]
) -> None:
    keep()
    forget_holds()

    call_command("safekeep", "compare")

    assert "1 of its 1 cars no row knows" in capsys.readouterr().out
    assert not Hold.objects.exists()
