"""Who left with less than promised is counted once, told per 1,000, and alarmed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from dispatch import control, live, results, shortfalls
from dispatch.lifecycle import EventStatus, HoldStatus
from dispatch.models import Alarm, Command, GridEvent, Hold, Tally
from fleets.models import Departure, Vehicle
from tests.factories import HOUR, NOW
from tests.statements import statements

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]


@pytest.fixture
def event(make_event: Make) -> GridEvent:
    running: GridEvent = make_event(status=EventStatus.RESTORING)
    return running


def stop(event: GridEvent, vehicle: Vehicle, **values: Any) -> Hold:
    """Return a hold whose stop was sent, and that is over."""
    hold = Hold.objects.create(
        vehicle=vehicle,
        event=event,
        **{
            "tactic": "stop", "was_charging": True, "power_kw": 6.0,
            "soc_percent": 50.0, "limit_percent": 80.0, "state_observed_at": NOW,
            "plugged_in_at": NOW - HOUR, "reason": "target", "opened_at": NOW,
            "status": HoldStatus.RELEASED, "closed_at": NOW, **values,
        },
    )  # fmt: skip
    Command.objects.create(
        vehicle=vehicle, hold=hold, event=event, event_version=1, kind="stop",
        is_restore=False, status="confirmed", may_have_landed=True, created_at=NOW,
        due_at=NOW, deadline_at=NOW + HOUR,
    )  # fmt: skip
    return hold


@pytest.fixture
def leave(event: GridEvent, make_vehicle: Make) -> Make:
    """Return a function that lets a car leave that was stopped at 50 %.

    It has 60 kWh and drew 6 kW, so that an hour is ten percent; its limit is 80 %.
    """

    def make(*, after: timedelta = HOUR, soc: float | None = 50.0, **hold: Any) -> Hold:
        car = make_vehicle(battery_kwh=60.0)
        Departure.objects.create(
            vehicle=car, plugged_in_at=NOW - HOUR, left_at=NOW + after, soc_percent=soc
        )
        return stop(event, car, **hold)

    return make


def weigh() -> int:
    return shortfalls.weigh(now=NOW + 12 * HOUR)


@pytest.mark.parametrize(
    ("case", "short_kwh"),
    [
        # an hour of 6 kW is missing
        ({}, 6.0),
        # it got that hour later
        ({"soc": 60.0}, 0.0),
        # or more, by a wall box that gives more
        ({"soc": 65.0}, 0.0),
        # its limit is all that it would have had
        ({"after": 5 * HOUR, "soc": 80.0}, 0.0),
        # a whole percent below is as good: reports round
        ({"after": 5 * HOUR, "soc": 79.0}, 0.0),
        ({"after": 5 * HOUR, "soc": 78.0}, 1.2),
        # above 80 % it would have slowed down: two hours for the last ten percent
        ({"after": 4 * HOUR, "soc": 50.0, "limit_percent": 90.0}, 21.0),
        ({"after": 9 * HOUR, "soc": 50.0, "limit_percent": 90.0}, 24.0),
        # no limit told is none
        ({"after": 9 * HOUR, "soc": 99.0, "limit_percent": None}, 0.0),
        # nobody knows with what it left, or with what it was stopped
        ({"soc": None}, None),
        ({"soc_percent": None}, None),
    ],
)
def test_a_car_is_short_of_what_it_would_have_had(
    leave: Make, case: dict[str, Any], short_kwh: float | None
) -> None:
    hold = leave(**case)

    weigh()

    hold.refresh_from_db()
    assert hold.left_at == NOW + case.get("after", HOUR)
    assert hold.short_kwh == pytest.approx(short_kwh)


@pytest.mark.parametrize(
    ("hold", "counts"),
    [
        ({"held_at": NOW}, True),
        # another plug-in: what it lacked then is over
        ({"plugged_in_at": NOW - 9 * HOUR}, False),
    ],
)
def test_only_the_stay_in_which_it_was_held_counts(
    leave: Make, hold: dict[str, Any], counts: bool
) -> None:
    made = leave(**hold)
    weigh()
    made.refresh_from_db()

    assert (made.left_at is not None) is counts


def test_a_hold_that_took_nothing_owes_nothing(leave: Make) -> None:
    hold = leave()
    hold.commands.update(may_have_landed=False)

    assert weigh() == 0
    hold.refresh_from_db()
    assert hold.left_at is None


def test_a_quarter_of_a_kilowatt_hour_is_no_breach(leave: Make) -> None:
    leave(after=timedelta(minutes=2, seconds=29))
    leave(after=timedelta(minutes=2, seconds=31))

    assert weigh() == 1


def test_each_car_is_weighed_once(leave: Make) -> None:
    leave()

    assert [weigh(), weigh()] == [1, 0]
    assert Tally.objects.get(name="late").number == 1
    assert Alarm.objects.count() == 1


def test_what_a_batch_leaves_the_next_turn_weighs(
    leave: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortfalls, "BATCH", 2)
    for _ in range(3):
        leave()

    assert [weigh(), weigh(), weigh()] == [2, 1, 0]


def test_a_breach_is_alarmed_for_a_day(leave: Make, event: GridEvent) -> None:
    leave()
    weigh()

    alarm = Alarm.objects.get()
    assert alarm.event == event
    assert "6.0 kWh less" in alarm.text
    shortfalls.weigh(now=NOW + 36 * HOUR)
    assert not Alarm.objects.exclude(cleared_at=None).exists()
    shortfalls.weigh(now=NOW + 36 * HOUR + timedelta(seconds=1))
    assert Alarm.objects.get().cleared_at is not None


def test_a_turn_weighs_though_no_event_runs(leave: Make, event: GridEvent) -> None:
    leave()
    GridEvent.objects.update(status=EventStatus.COMPLETED)

    control.turn(now=NOW + 12 * HOUR)

    assert Hold.objects.get().short_kwh == pytest.approx(6.0)


def test_an_event_tells_late_cars_per_1000_of_those_weighed(
    leave: Make, event: GridEvent
) -> None:
    leave()
    leave(soc=None)
    for _ in range(3):
        leave(soc=60.0)
    weigh()

    left = results.left([event.pk])[event.pk]

    assert (left.cars, left.weighed, left.late) == (5, 4, 1)
    assert left.late_per_1000 == 250.0
    assert left.short_kwh_per_1000 == pytest.approx(1500.0)


def test_a_car_that_was_held_twice_in_one_stay_has_left_once(
    leave: Make, event: GridEvent
) -> None:
    first = leave()
    stop(event, first.vehicle, soc_percent=49.0)
    weigh()

    left = results.left([event.pk])[event.pk]

    assert (left.cars, left.late) == (1, 1)
    assert left.short_kwh == pytest.approx(6.0)


def test_the_page_says_it(leave: Make) -> None:
    (before,) = live.picture(NOW).running
    leave()
    leave(soc=60.0)
    weigh()
    (after,) = live.picture(NOW).running

    assert before.gone == ""
    assert (
        after.gone == "2 cars left after a hold, 1 late (500 per 1,000), 6.0 kWh short"
    )
    assert after.gone_tone == "warning"
    assert after.gone in live.render(live.picture(NOW))


def test_weighing_costs_the_same_for_any_number_of_cars(leave: Make) -> None:
    def queries(n: int) -> int:
        for _ in range(n):
            leave(soc=60.0)
        with statements() as asked:
            weigh()
        return len(asked)

    assert queries(1) == queries(10) <= 7
    assert Vehicle.objects.count() == 11
