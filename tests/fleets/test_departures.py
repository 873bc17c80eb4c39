"""Cars that leave home are written down, and learnt from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError

from fleets import departures, habits, telemetry
from fleets.models import Departure, Enrolment, Program, Vehicle
from fleets.providers.base import Report
from tests.factories import HOUR, NOW
from tests.statements import statements

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]
DAY = timedelta(days=1)


def report(vehicle: Vehicle, *, at: datetime = NOW, **state: Any) -> None:
    one = Report(vehicle.external_id, observed_at=at, **state)
    telemetry.record([one], source="webhook", now=at)


def leave(vehicle: Vehicle, *moments: datetime) -> None:
    """Let a car have left at these moments, each after a night at home."""
    Departure.objects.bulk_create(
        Departure(vehicle=vehicle, plugged_in_at=at - 10 * HOUR, left_at=at)
        for at in moments
    )


def mornings(hour: int, *, minute: int = 0, weeks: int = 7) -> list[datetime]:
    """Return the newest Mondays before the cast's, in UTC."""
    monday = NOW.replace(hour=hour, minute=minute)
    return [monday - week * 7 * DAY for week in range(1, weeks + 1)]


def learnt(program: Program, vehicle: Vehicle, at: datetime) -> int | None:
    """Return the slot learnt for a moment, in slots of a quarter of an hour."""
    Enrolment.objects.update(learnt_at=None)
    departures.learn(NOW, batches=100)
    week = Enrolment.objects.get(vehicle=vehicle).learnt_departures
    local = at.astimezone(ZoneInfo(program.time_zone))
    return week[habits.blocks_at(local)[0]] if week else None


def test_a_car_that_unplugs_at_home_has_left(make_vehicle: Make) -> None:
    ada = make_vehicle(plugged_in_at=NOW - HOUR)

    report(ada, is_plugged_in=False, soc_percent=71.0)

    left = Departure.objects.get()
    assert (left.vehicle, left.plugged_in_at) == (ada, NOW - HOUR)
    assert (left.left_at, left.soc_percent) == (NOW, 71.0)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        # elsewhere, or nobody knows where
        ({"is_home": False}, {"is_plugged_in": False}),
        ({"is_home": None}, {"is_plugged_in": False}),
        # it was not plugged in
        ({"is_plugged_in": False, "plugged_in_at": None}, {"is_plugged_in": False}),
        # it stays, or does not say
        ({}, {"is_plugged_in": True}),
        ({}, {"is_charging": False}),
        # an old report comes late
        ({"observed_at": NOW + HOUR}, {"is_plugged_in": False}),
    ],
)
def test_others_have_not(
    make_vehicle: Make, state: dict[str, Any], said: dict[str, Any]
) -> None:
    report(make_vehicle(**state), **said)

    assert not Departure.objects.exists()


def test_what_is_told_twice_has_happened_once(make_vehicle: Make) -> None:
    ada = make_vehicle()
    report(ada, is_plugged_in=False)
    Vehicle.objects.update(is_plugged_in=True, plugged_in_at=NOW - HOUR, is_home=True)
    report(ada, at=NOW + HOUR, is_plugged_in=False)

    assert Departure.objects.get().left_at == NOW


def test_a_car_that_comes_and_goes_within_a_batch_has_left_each_time(
    make_vehicle: Make,
) -> None:
    ada = make_vehicle()
    said = [
        Report(
            ada.external_id,
            observed_at=NOW + n * HOUR,
            is_plugged_in=plugged,
            is_home=plugged or None,
        )
        for n, plugged in enumerate([False, True, False])
    ]

    telemetry.record(said, source="webhook", now=NOW + 3 * HOUR)

    assert list(
        Departure.objects.order_by("left_at").values_list("left_at", flat=True)
    ) == [NOW, NOW + 2 * HOUR]


def test_taking_in_costs_one_statement_more_for_any_number_that_left(
    make_vehicle: Make,
) -> None:
    def queries(*vehicles: Vehicle, **state: Any) -> int:
        reports = [Report(v.external_id, observed_at=NOW, **state) for v in vehicles]
        with statements() as asked:
            telemetry.record(reports, source="webhook", now=NOW)
        return len(asked)

    nobody = queries(make_vehicle(), soc_percent=60.0)
    one = queries(make_vehicle(), is_plugged_in=False)
    ten = queries(*(make_vehicle() for _ in range(10)), is_plugged_in=False)

    # bulk statements bypass Django's log; what it sees must not grow
    assert nobody == one == ten
    assert Departure.objects.count() == 11


def test_a_stay_is_learnt_for_each_block_that_it_touches(
    make_program: Make, make_enrolment: Make
) -> None:
    program = make_program(time_zone="Europe/Oslo")
    car = make_enrolment(program).vehicle
    # from Sunday 23:20 to Monday 09:20 on the wall; rounded down to a quarter
    leave(car, *mornings(8, minute=20))
    sunday = NOW - DAY

    assert learnt(program, car, sunday.replace(hour=22, minute=30)) == 96 + 37
    assert learnt(program, car, NOW.replace(hour=1)) == 37
    assert learnt(program, car, NOW.replace(hour=8)) == 37
    # it has never stood there then: the program's
    assert learnt(program, car, NOW.replace(hour=11)) == 96 + 28


def test_a_clock_change_does_not_move_a_habit(
    make_program: Make, make_enrolment: Make
) -> None:
    program = make_program(time_zone="Europe/Oslo", departure_quantile=0.3)
    car = make_enrolment(program).vehicle
    # Mondays at eight on the wall, around the last Sunday of March
    before = [datetime(2026, 3, day, 7, tzinfo=UTC) for day in (9, 16, 23)]
    after = [datetime(2026, 3, 30, 6, tzinfo=UTC), datetime(2026, 4, 6, 6, tzinfo=UTC)]
    leave(car, *before, *after)

    departures.learn(datetime(2026, 4, 7, tzinfo=UTC), batches=1)

    week = Enrolment.objects.get().learnt_departures
    assert week is not None
    assert week[2] == 32


def test_who_comes_and_goes_in_the_evening_is_known_to(
    program: Program, make_enrolment: Make
) -> None:
    car = make_enrolment(program).vehicle
    for at in mornings(19):
        Departure.objects.create(vehicle=car, plugged_in_at=at - 2 * HOUR, left_at=at)
        Departure.objects.create(
            vehicle=car, plugged_in_at=at + 2 * HOUR, left_at=at + 12 * HOUR
        )

    assert learnt(program, car, NOW) == 76
    assert learnt(program, car, NOW.replace(hour=21)) == 96 + 28


def test_who_never_left_keeps_the_programs(
    program: Program, make_enrolment: Make
) -> None:
    leave(make_enrolment(program).vehicle, *mornings(8))
    still = make_enrolment(program).vehicle

    assert learnt(program, still, NOW) is None


def test_what_is_too_old_is_forgotten(program: Program, make_enrolment: Make) -> None:
    car = make_enrolment(program).vehicle
    leave(car, *mornings(8))
    assert learnt(program, car, NOW) is not None

    departures.prune(NOW + departures.KEPT)
    assert not Departure.objects.exists()
    assert learnt(program, car, NOW) is None


def test_a_car_is_learnt_once_a_day(program: Program, make_enrolment: Make) -> None:
    make_enrolment(program)
    learnt_at = []
    for hours in range(0, 30, 6):
        departures.learn(NOW + hours * HOUR, batches=10)
        learnt_at.append(Enrolment.objects.get().learnt_at)

    assert learnt_at == [NOW] * 4 + [NOW + 24 * HOUR]


def test_learning_goes_by_batches_and_says_whether_others_wait(
    program: Program, make_enrolment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(departures, "BATCH", 2)
    for _ in range(5):
        make_enrolment(program)

    assert departures.learn(NOW, batches=2)
    assert Enrolment.objects.filter(learnt_at=NOW).count() == 4
    assert not departures.learn(NOW, batches=2)
    assert Enrolment.objects.filter(learnt_at=NOW).count() == 5


def test_learning_costs_the_same_for_any_number_of_cars(
    program: Program, make_enrolment: Make
) -> None:
    def queries(n: int) -> int:
        for _ in range(n):
            leave(make_enrolment(program).vehicle, *mornings(8))
        Enrolment.objects.update(learnt_at=None)
        with statements() as asked:
            departures.learn(NOW, batches=10)
        return len(asked)

    assert queries(1) == queries(10) == 7


@pytest.mark.parametrize("quantile", [0.0, 0.51])
def test_a_quantile_is_low(program: Program, quantile: float) -> None:
    with pytest.raises(IntegrityError):
        Program.objects.update(departure_quantile=quantile)
