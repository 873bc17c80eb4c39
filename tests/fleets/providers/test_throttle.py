"""Shared buckets: locked, refilled, spent, and told to wait."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from pytest import approx

from fleets import clock
from fleets.clock import Timeline
from fleets.models import Bucket, Vehicle, VehicleBucket
from fleets.providers import throttle
from fleets.providers.base import Scope
from tests.dispatch.together import at_once
from tests.factories import HOUR, NOW

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


@pytest.fixture
def make_bucket(db: None) -> Callable[..., Bucket]:
    def make(name: str = "application", **values: Any) -> Bucket:
        return Bucket.objects.create(
            name=name,
            **{
                "capacity": 120, "refill_per_minute": 2, "tokens": 60,
                "refilled_at": NOW, **values,
            },
        )  # fmt: skip

    return make


def left(now: datetime) -> float:
    """Return what the application's bucket holds after a look at it."""
    with transaction.atomic(), throttle.budget(now):
        pass
    return Bucket.objects.get(name="application").tokens


def test_a_new_bucket_starts_empty_and_fills_by_the_contract() -> None:
    assert left(NOW) == 0
    assert left(NOW + 3 * MINUTE) == approx(6)


@pytest.mark.parametrize(
    ("values", "after", "tokens"),
    [
        ({}, timedelta(), 60),
        ({}, MINUTE, 62),
        ({}, timedelta(seconds=15), 60.5),
        # no more than it can hold, less what flows in while a call is underway
        ({}, 24 * HOUR, 120 - 2 / 60 / 2),
        # a clock that was set back refills nothing, now or later
        ({"refilled_at": NOW + HOUR}, timedelta(), 60),
        # told to wait: nothing until then, and only from then on
        ({"blocked_until": NOW + 5 * MINUTE}, 3 * MINUTE, 60),
        ({"blocked_until": NOW + 5 * MINUTE}, 6 * MINUTE, 62),
        # a wait that was over before the last look changes nothing
        ({"blocked_until": NOW - MINUTE}, MINUTE, 62),
    ],
)
def test_a_bucket_is_refilled_up_to_now(
    make_bucket: Callable[..., Bucket],
    values: dict[str, Any],
    after: timedelta,
    tokens: float,
) -> None:
    make_bucket(**values)

    assert left(NOW + after) == approx(tokens)
    assert left(NOW + after) == approx(tokens), "a second look adds nothing"


@pytest.mark.parametrize(
    ("speed", "tokens"),
    [
        (0.0, 120),
        (1.0, 120 - 1 / 60),
        # half a real second is a minute here, in which 2 calls flow in
        (120.0, 118),
        # whatever the speed, half of it is left
        (100_000.0, 60),
    ],
)
def test_a_full_bucket_leaves_out_what_flows_in_while_a_call_is_underway(
    make_bucket: Callable[..., Bucket],
    monkeypatch: pytest.MonkeyPatch,
    speed: float,
    tokens: float,
) -> None:
    make_bucket(tokens=120)
    timeline = Timeline(real=NOW, simulated=NOW, speed=speed)
    monkeypatch.setattr(clock, "timeline", lambda: timeline)

    assert left(NOW) == approx(tokens)


def test_a_clock_that_was_set_back_refills_nothing_twice(
    make_bucket: Callable[..., Bucket],
) -> None:
    make_bucket(refilled_at=NOW + HOUR)

    left(NOW)

    assert left(NOW + HOUR) == 60


def test_looks_during_a_wait_do_not_fill_it(
    make_bucket: Callable[..., Bucket],
) -> None:
    make_bucket(tokens=0, blocked_until=NOW + 5 * MINUTE)

    seen = [left(NOW + minute * MINUTE) for minute in range(8)]

    assert seen == approx([0, 0, 0, 0, 0, 0, 2, 4])


def test_a_changed_contract_is_followed(
    make_bucket: Callable[..., Bucket], settings: Any
) -> None:
    make_bucket(tokens=120)
    settings.PROVIDER_BUCKET_CALLS, settings.PROVIDER_REFILL_PER_MINUTE = 50, 10

    assert left(NOW) == approx(50, abs=0.1)
    bucket = Bucket.objects.get()
    assert (bucket.capacity, bucket.refill_per_minute) == (50, 10)


def test_what_is_spent_is_gone_from_the_application_and_the_make(
    make_bucket: Callable[..., Bucket],
) -> None:
    make_bucket()
    make_bucket("make:TESLA", tokens=30)

    with transaction.atomic(), throttle.budget(NOW) as budget:
        for make in ("TESLA", "TESLA", "TESLA", "FORD", "FORD"):
            budget.spend(make)

    tokens = dict(Bucket.objects.values_list("name", "tokens"))
    assert tokens == {"application": 55, "make:TESLA": 27}


def test_a_claim_that_fails_spends_nothing(make_bucket: Callable[..., Bucket]) -> None:
    make_bucket()

    with (
        pytest.raises(ValueError, match="broke"),
        transaction.atomic(),
        throttle.budget(NOW) as budget,
    ):
        budget.spend("TESLA")
        raise ValueError("broke")

    assert Bucket.objects.get().tokens == 60


def test_more_than_there_is_cannot_be_spent(
    make_bucket: Callable[..., Bucket],
) -> None:
    make_bucket(tokens=1)

    with (
        pytest.raises(IntegrityError, match="never_overdrawn"),
        transaction.atomic(),
        throttle.budget(NOW) as budget,
    ):
        for _ in range(2):
            budget.spend("TESLA")


@pytest.mark.parametrize(
    ("tokens", "stops", "restores"), [(60, 36, 60), (24, 0, 24), (10.9, 0, 10)]
)
def test_a_share_is_kept_for_restores(
    make_bucket: Callable[..., Bucket], tokens: float, stops: int, restores: int
) -> None:
    make_bucket(tokens=tokens)

    with transaction.atomic(), throttle.budget(NOW) as budget:
        assert budget.calls(for_restore=False) == stops
        assert budget.calls(for_restore=True) == restores


@pytest.mark.parametrize(("until", "calls"), [(NOW, 60), (NOW + MINUTE, 0)])
def test_nobody_calls_while_told_to_wait(
    make_bucket: Callable[..., Bucket], until: datetime, calls: int
) -> None:
    make_bucket(blocked_until=until)
    make_bucket("make:TESLA", blocked_until=until)

    with transaction.atomic(), throttle.budget(NOW) as budget:
        assert budget.calls(for_restore=True) == calls
        assert budget.has_room_for("TESLA") == bool(calls)


def test_a_pause_empties_what_we_thought_was_left(
    make_bucket: Callable[..., Bucket],
) -> None:
    make_bucket()
    make_bucket("make:TESLA")

    throttle.pause(Scope.MAKE, make="TESLA", until=NOW + MINUTE, now=NOW)

    application, tesla = Bucket.objects.order_by("name")
    assert (tesla.tokens, tesla.blocked_until) == (0, NOW + MINUTE)
    assert (application.tokens, application.blocked_until) == (60, None)


def test_a_make_gets_its_bucket_when_it_first_says_wait(settings: Any) -> None:
    settings.MAKE_BUCKET_CALLS, settings.MAKE_REFILL_PER_MINUTE = 20, 4

    throttle.pause(Scope.MAKE, make="TESLA", until=NOW + MINUTE, now=NOW)

    bucket = Bucket.objects.get()
    assert bucket.name == "make:TESLA"
    assert (bucket.capacity, bucket.refill_per_minute, bucket.tokens) == (20, 4, 0)


def test_single_cars_are_told_to_wait(make_vehicle: Callable[..., Vehicle]) -> None:
    cars = [make_vehicle() for _ in range(3)]
    for car in cars:
        VehicleBucket.objects.create(vehicle=car, refilled_at=NOW, month=NOW.date())

    throttle.pause_vehicles({cars[0].pk: NOW + MINUTE, cars[1].pk: NOW + HOUR})

    pauses = VehicleBucket.objects.order_by("pk").values_list(
        "blocked_until", flat=True
    )
    assert list(pauses) == [NOW + MINUTE, NOW + HOUR, None]


@pytest.mark.parametrize(
    ("values", "calls", "minutes"),
    [
        # they are there already
        ({}, 60, 0.0),
        # two a minute for what is beyond
        ({}, 100, 20.0),
        # what flowed in since counts
        ({"refilled_at": NOW - 10 * MINUTE}, 100, 10.0),
        # first the wait, then the calls
        ({"tokens": 0, "blocked_until": NOW + 5 * MINUTE}, 10, 10.0),
        # one that is over
        ({"tokens": 0, "blocked_until": NOW - 5 * MINUTE}, 10, 5.0),
    ],
)
def test_calls_take_as_long_as_the_bucket_needs(
    make_bucket: Callable[..., Bucket],
    values: dict[str, Any],
    calls: int,
    minutes: float,
) -> None:
    make_bucket(**values)

    assert throttle.duration_of(calls, now=NOW) == minutes * MINUTE


def test_without_a_bucket_every_call_takes_its_time() -> None:
    assert throttle.duration_of(10, now=NOW) == 5 * MINUTE


def test_a_month_begins_on_its_first_day() -> None:
    assert throttle.month_of(NOW).isoformat() == "2026-01-01"


@pytest.mark.django_db(transaction=True)
def test_two_budgets_at_once_spend_one_after_the_other(
    make_bucket: Callable[..., Bucket],
) -> None:
    make_bucket(tokens=5)

    def spend() -> object:
        with transaction.atomic(), throttle.budget(NOW) as budget:
            calls = min(2, budget.calls(for_restore=True))
            for _ in range(calls):
                budget.spend("TESLA")
        return calls

    assert sorted(map(str, at_once(*[spend] * 4))) == ["0", "1", "2", "2"]
    assert Bucket.objects.get().tokens == 0


@pytest.mark.django_db(transaction=True)
def test_a_budget_needs_a_transaction() -> None:
    with pytest.raises(AssertionError, match="outlives"), throttle.budget(NOW):
        pass
