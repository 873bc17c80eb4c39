"""Cars whose webhooks are silent are asked: when they may have come, and sparingly."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from dispatch import claims, results
from dispatch.lifecycle import EventStatus
from dispatch.models import Catch, GridEvent, Hold, Poll
from fleets.models import Bucket, Departure, Program, Vehicle, VehicleBucket
from fleets.providers.base import Report
from tests.dispatch.conftest import House
from tests.dispatch.senders import make_due, make_sender
from tests.factories import HOUR, NOW
from tests.statements import statements

__all__ = ["make_due"]

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def event(program: Program, ada: Vehicle, make_event: Make, give_calls: Make) -> Any:
    """Return an event; Ada comes home around its begin, and was heard of at noon."""
    give_calls(ada)
    come_home(ada)
    Vehicle.objects.update(
        is_plugged_in=False, is_charging=False, is_home=None, plugged_in_at=None,
        power_kw=0.0, observed_at=NOW - 5 * HOUR, received_at=NOW - 5 * HOUR,
    )  # fmt: skip
    return make_event(
        program, status=EventStatus.ACTIVE, ends_at=NOW + timedelta(hours=4)
    )


def come_home(vehicle: Vehicle, *, hours: float = 0.0) -> None:
    """Let a car have come home every day for weeks, so long after the event's begin."""
    came = [NOW + timedelta(hours=hours) - n * DAY for n in range(1, 40)]
    Departure.objects.bulk_create(
        Departure(vehicle=vehicle, plugged_in_at=at, left_at=at + 12 * HOUR)
        for at in came
    )


def stands_at_home(house: House, vehicle: Vehicle) -> None:
    """Let a car tell, when it is asked, that it charges at home."""
    house.provider.reports[vehicle.external_id] = Report(
        vehicle.external_id, observed_at=house.now, is_plugged_in=True,
        is_charging=True, is_home=True, soc_percent=50.0, power_kw=7.0,
    )  # fmt: skip


def polls(house: House) -> list[str]:
    house.turn()
    return [car for kind, car in house.send() if kind == "read"]


def test_a_car_that_came_home_unheard_is_asked_and_caught(
    event: GridEvent, ada: Vehicle, house: House
) -> None:
    house.wait(minutes=20)
    stands_at_home(house, ada)

    assert polls(house) == [ada.external_id]
    house.turn()

    assert Hold.objects.get().vehicle == ada
    assert Catch.objects.get().was_read
    assert results.caught([event.pk])[event.pk][0].was_read == 1


@pytest.mark.parametrize(
    ("make_spoke", "car_spoke", "asked"),
    [
        # nobody of its make speaks
        (None, None, True),
        (NOW - HOUR, NOW - HOUR, True),
        # its make speaks, and it has done so within two days
        (NOW - 10 * MINUTE, NOW - 5 * HOUR, False),
        # its make speaks, but not for this account
        (NOW - 10 * MINUTE, NOW - 3 * DAY, True),
    ],
)
def test_only_where_webhooks_are_silent(
    event: GridEvent,
    ada: Vehicle,
    house: House,
    make_vehicle: Make,
    make_spoke: Any,
    car_spoke: Any,
    asked: bool,
) -> None:
    make_vehicle(webhook_at=make_spoke)  # of no program, of the same make
    Vehicle.objects.filter(pk=ada.pk).update(webhook_at=car_spoke)
    house.wait(minutes=20)
    stands_at_home(house, ada)

    assert bool(polls(house)) is asked


def test_a_webhook_is_told_from_a_read(ada: Vehicle, house: House) -> None:
    house.report(ada, is_charging=False)

    ada.refresh_from_db()
    assert ada.webhook_at == house.now


@pytest.mark.parametrize(
    "state",
    [
        # it charges: the event knows all it needs
        {"is_plugged_in": True, "is_charging": True, "is_home": True,
         "observed_at": NOW},
        # it was heard of a few minutes ago
        {"received_at": NOW + 15 * MINUTE},
    ],
)  # fmt: skip
def test_who_need_not_be_asked_is_not(
    event: GridEvent, ada: Vehicle, house: House, state: dict[str, Any]
) -> None:
    Vehicle.objects.filter(pk=ada.pk).update(**state)
    house.wait(minutes=20)

    assert not polls(house)


def test_nobody_is_asked_before_it_usually_comes(
    event: GridEvent, ada: Vehicle, house: House
) -> None:
    Departure.objects.all().delete()
    come_home(ada, hours=2)
    Vehicle.objects.update(received_at=NOW)
    stands_at_home(house, ada)

    asked_at = []
    for _ in range(24):
        house.wait(minutes=10)
        if polls(house):
            asked_at.append((house.now - NOW) / HOUR)
            break

    assert asked_at == [2.0]


def test_nobody_is_asked_without_an_event(
    event: GridEvent, ada: Vehicle, house: House
) -> None:
    GridEvent.objects.update(status=EventStatus.RESTORING)
    house.wait(minutes=20)

    assert not polls(house)


def test_a_car_is_not_asked_again_before_its_data_can_be_new(
    event: GridEvent, ada: Vehicle, house: House
) -> None:
    house.wait(minutes=20)
    house.provider.reports[ada.external_id] = Report(
        ada.external_id, observed_at=NOW - 5 * HOUR
    )
    asked = 0
    for _ in range(60):
        asked += len(polls(house))
        house.wait(minutes=1)

    assert 1 <= asked <= 6


def test_polls_leave_half_of_the_calls_to_others(
    event: GridEvent, ada: Vehicle, house: House
) -> None:
    # refilled by two a minute
    Bucket.objects.update(tokens=60.0, refilled_at=NOW + 20 * MINUTE)
    house.wait(minutes=20)
    stands_at_home(house, ada)

    assert not polls(house)
    Bucket.objects.update(tokens=61.0)
    assert polls(house) == [ada.external_id]


def test_half_of_a_cars_month_is_left_to_commands(
    event: GridEvent, ada: Vehicle, house: House
) -> None:
    VehicleBucket.objects.update(calls_this_month=250)
    house.wait(minutes=20)

    assert not polls(house)


def test_commands_and_their_reads_go_first(
    event: GridEvent, ada: Vehicle, house: House, make_due: Make, make_vehicle: Make
) -> None:
    make_due(event, is_restore=True)
    make_due(event, status="accepted", read_due_at=NOW)
    Poll.objects.create(vehicle=ada, due_at=NOW, expires_at=NOW + HOUR, expected_kw=7.0)
    Bucket.objects.update(tokens=62.0)

    jobs = claims.claim(make_sender(), claims.due(NOW), room=10, now=NOW)
    assert [job.kind for job in jobs] == ["start", "stop"]

    Bucket.objects.update(tokens=61.0, refilled_at=NOW)
    (job,) = claims.claim(make_sender(), claims.due(NOW), room=10, now=NOW)
    assert (job.kind, job.is_read, job.command_id) == ("poll", True, -ada.pk)
    assert Bucket.objects.get().tokens == 60.0
    assert VehicleBucket.objects.get(vehicle=ada).calls_this_month == 1


def test_the_likeliest_kilowatts_are_asked_first(
    event: GridEvent, ada: Vehicle, house: House, make_enrolment: Make, give_calls: Make
) -> None:
    strong = make_enrolment(event.program).vehicle
    give_calls(strong)
    come_home(strong)
    Vehicle.objects.filter(pk=strong.pk).update(
        is_plugged_in=False, is_charging=False, usual_power_kw=11.0,
        received_at=NOW - 5 * HOUR,
    )  # fmt: skip
    Bucket.objects.update(tokens=61.0, refilled_at=NOW + 20 * MINUTE)
    house.wait(minutes=20)
    stands_at_home(house, strong)

    assert polls(house) == [strong.external_id]


def test_a_turn_asks_the_same_for_any_number_of_silent_cars(
    event: GridEvent, house: House, make_enrolment: Make, give_calls: Make
) -> None:
    house.wait(minutes=20)

    def queries(n: int) -> int:
        for _ in range(n):
            car = make_enrolment(event.program).vehicle
            give_calls(car)
            come_home(car)
        Vehicle.objects.update(
            is_plugged_in=False, is_charging=False, received_at=NOW - 5 * HOUR
        )
        Poll.objects.all().delete()
        house.turn()  # judged once
        with statements() as asked:
            house.turn()
        return len(asked)

    assert queries(1) == queries(10)
    assert Poll.objects.count() == 12


def test_before_the_first_claim_there_are_no_calls_for_polls(
    event: GridEvent, house: House
) -> None:
    Bucket.objects.all().delete()
    house.wait(minutes=20)

    house.turn()

    assert not Poll.objects.exists()
