"""How many calls a claim may make: of the application, a make, a car."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from dispatch.lifecycle import EventStatus
from dispatch.models import Command, GridEvent, Sender
from fleets.models import Bucket, Program, VehicleBucket
from fleets.providers import throttle
from tests.dispatch.senders import MONTH, application, claim, make_due, make_sender
from tests.dispatch.together import at_once
from tests.factories import HOUR, NOW

__all__ = ["application", "make_due"]  # fixtures

Make = Callable[..., Any]
MINUTE = timedelta(minutes=1)
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("application")]


@pytest.fixture
def event(program: Program, make_event: Make) -> GridEvent:
    running: GridEvent = make_event(program, status=EventStatus.ACTIVE)
    return running


@pytest.mark.parametrize(
    ("tokens", "stops", "restores"),
    [
        # 24 of 120 are for restores alone; a full one holds a little less than that
        (120, 95, 119),
        (26, 2, 26),
        (24.9, 0, 24),
        (0.9, 0, 0),
    ],
)
def test_a_share_of_the_calls_is_kept_for_restores(
    tokens: float, stops: int, restores: int
) -> None:
    Bucket.objects.update(tokens=tokens)

    with transaction.atomic(), throttle.budget(NOW) as budget:
        assert budget.calls(for_restore=False) == stops
        assert budget.calls(for_restore=True) == restores


def test_every_claimed_call_is_taken_out_of_the_bucket(
    event: GridEvent, make_due: Make
) -> None:
    Bucket.objects.update(tokens=100)
    for _ in range(3):
        make_due(event)
        make_due(event, is_restore=True)

    assert len(claim()) == 6
    assert Bucket.objects.get().tokens == 94


LIMIT = {"kind": "set limit", "percent": 60}


@pytest.mark.parametrize("is_restore", [True, False])
def test_a_limit_takes_its_look_out_of_the_buckets_as_well(
    event: GridEvent, make_due: Make, is_restore: bool
) -> None:
    Bucket.objects.update(tokens=100)
    make_due(event, is_restore=is_restore, **LIMIT)

    (job,) = claim()

    assert job.is_look
    assert Bucket.objects.get().tokens == 98
    bucket = VehicleBucket.objects.get()
    assert (bucket.tokens, bucket.calls_this_month) == (4, 2)


def test_a_limit_waits_for_the_calls_of_both(event: GridEvent, make_due: Make) -> None:
    Bucket.objects.update(tokens=3)
    for _ in range(2):
        make_due(event, is_restore=True, **LIMIT)
    poor = make_due(event, is_restore=True, bucket={"tokens": 1}, **LIMIT)

    assert len(claim()) == 1
    assert Bucket.objects.get().tokens == 1
    assert claim() == []
    Bucket.objects.update(tokens=100)
    assert poor.pk not in {job.command_id for job in claim()}


def test_restores_before_it_count_against_a_stop(
    event: GridEvent, make_due: Make
) -> None:
    Bucket.objects.update(tokens=26)
    make_due(event, is_restore=True)
    for _ in range(3):
        make_due(event)

    assert [job.is_restore for job in claim()] == [True, False]


def test_a_claim_takes_no_more_than_it_has_room_for(
    event: GridEvent, make_due: Make
) -> None:
    for _ in range(3):
        make_due(event)

    assert len(claim(room=2)) == 2
    assert VehicleBucket.objects.filter(tokens=5).count() == 2


def test_without_tokens_nothing_is_claimed_until_they_flow_in(
    event: GridEvent, make_due: Make
) -> None:
    Bucket.objects.update(tokens=0)
    make_due(event, is_restore=True)

    assert claim(seconds=29) == []
    assert len(claim(seconds=30)) == 1


def test_a_new_bucket_starts_empty(event: GridEvent, make_due: Make) -> None:
    Bucket.objects.all().delete()
    make_due(event, is_restore=True)

    assert claim() == []
    assert Bucket.objects.get().tokens == 0


def test_a_pause_of_the_application_holds_up_restores_too(
    event: GridEvent, make_due: Make
) -> None:
    Bucket.objects.update(blocked_until=NOW + MINUTE)
    make_due(event, is_restore=True)

    assert claim(seconds=59) == []
    assert len(claim(seconds=90)) == 1


def test_a_make_has_its_own_bucket(event: GridEvent, make_due: Make) -> None:
    Bucket.objects.create(
        name="make:TESLA", capacity=10, refill_per_minute=1, tokens=1, refilled_at=NOW
    )
    for make in ("TESLA", "TESLA", "FORD"):
        make_due(event, vehicle={"make": make})

    assert sorted(job.make for job in claim()) == ["FORD", "TESLA"]
    assert Bucket.objects.get(name="make:TESLA").tokens == 0


def test_a_make_that_is_told_to_wait_holds_up_no_other(
    event: GridEvent, make_due: Make
) -> None:
    Bucket.objects.create(
        name="make:TESLA", capacity=10, refill_per_minute=1, tokens=9,
        refilled_at=NOW, blocked_until=NOW + MINUTE,
    )  # fmt: skip
    for make in ("TESLA", "FORD"):
        make_due(event, vehicle={"make": make})

    assert [job.make for job in claim()] == ["FORD"]


@pytest.mark.parametrize(
    ("bucket", "stop", "restore"),
    [
        ({}, True, True),
        # it has no call left, or not quite one
        ({"tokens": 0}, False, False),
        ({"tokens": 0.99}, False, False),
        # half a call a minute flows in, up to six
        ({"tokens": 0, "refilled_at": NOW - 2 * MINUTE}, True, True),
        ({"tokens": 0, "refilled_at": NOW - 1.9 * MINUTE}, False, False),
        # what a clock that was set back says refills nothing
        ({"tokens": 1, "refilled_at": NOW + HOUR}, True, True),
        ({"tokens": 0.5, "refilled_at": NOW + HOUR}, False, False),
        # the provider said: wait
        ({"blocked_until": NOW + MINUTE}, False, False),
        ({"blocked_until": NOW}, True, True),
        # of 500 a month the last ten are for giving back
        ({"calls_this_month": 489}, True, True),
        ({"calls_this_month": 490}, False, True),
        ({"calls_this_month": 499}, False, True),
        ({"calls_this_month": 500}, False, False),
        # last month's do not count
        ({"calls_this_month": 500, "month": MONTH.replace(year=2025)}, True, True),
    ],
)
def test_a_car_has_its_own_bucket(
    event: GridEvent,
    make_due: Make,
    bucket: dict[str, Any],
    stop: bool,
    restore: bool,
) -> None:
    make_due(event, bucket=bucket)
    make_due(event, is_restore=True, bucket=bucket)

    may = {is_restore for is_restore, yes in ((False, stop), (True, restore)) if yes}
    assert {job.is_restore for job in claim()} == may


def test_a_call_is_taken_out_of_the_cars_bucket(
    event: GridEvent, make_due: Make
) -> None:
    last_month = {"calls_this_month": 400, "month": MONTH.replace(year=2025)}
    make_due(event, bucket={"tokens": 1, "refilled_at": NOW - MINUTE, **last_month})

    claim()

    bucket = VehicleBucket.objects.get()
    assert bucket.tokens == pytest.approx(0.5)
    assert bucket.refilled_at == NOW
    assert (bucket.month, bucket.calls_this_month) == (MONTH, 1)


def test_a_claim_whose_clock_is_behind_refills_nothing_twice(
    event: GridEvent, make_due: Make
) -> None:
    make_due(event, bucket={"tokens": 3, "refilled_at": NOW + MINUTE})

    claim()

    assert VehicleBucket.objects.get().refilled_at == NOW + MINUTE


@pytest.mark.django_db(transaction=True)
def test_two_claims_at_once_take_nothing_twice_and_overdraw_nothing(
    event: GridEvent, make_due: Make, settings: Any
) -> None:
    settings.RESTORE_RESERVE_SHARE = 0
    Bucket.objects.update(tokens=5)
    for _ in range(8):
        make_due(event, bucket={"tokens": 1})
    senders = [make_sender() for _ in range(4)]

    def by(sender: Sender) -> Callable[[], object]:
        return lambda: [job.command_id for job in claim(sender, room=3)]

    taken = [pk for pks in at_once(*map(by, senders)) for pk in pks]  # type: ignore[attr-defined]

    assert len(taken) == len(set(taken)) == 5
    assert Bucket.objects.get(name="application").tokens == 0
    assert VehicleBucket.objects.filter(tokens=0).count() == 5
    assert Command.objects.filter(status="sending", attempt=1).count() == 5
