"""What is old goes; what led to something that is still open stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from pytest_django import Settings

from dispatch import retention
from dispatch.models import Change, Command, GridEvent, Hold
from fleets.models import Reading
from tests.factories import NOW

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
LONG_AGO = NOW - 100 * DAY


@pytest.fixture(autouse=True)
def _kept(settings: Settings) -> None:
    settings.READINGS_KEPT_DAYS = 10
    settings.CHANGES_KEPT_DAYS = 10


@pytest.fixture
def story() -> Callable[[], tuple[int, int]]:
    """Write a reading and a change of long ago; return how many there are left."""
    Reading.objects.create(
        received_at=LONG_AGO, observed_at=LONG_AGO, vehicle_id=1, source="read"
    )
    Change.objects.create(at=LONG_AGO, subject="hold", subject_id=1, after="held")
    retention.make_ahead(LONG_AGO)
    retention.make_ahead(NOW)
    return lambda: (Reading.objects.count(), Change.objects.count())


def test_what_is_old_goes_and_the_pieces_with_it(
    story: Callable[[], tuple[int, int]],
) -> None:
    dropped = retention.drop_old(NOW)

    assert f"fleets_reading_{LONG_AGO:%Y%m%d}" in dropped
    assert f"dispatch_change_{LONG_AGO:%Y%m}01" in dropped
    assert story() == (0, 0)


def test_what_led_to_an_open_hold_stays(
    story: Callable[[], tuple[int, int]],
    make_event: Callable[..., GridEvent],
    make_stop: Callable[..., Command],
) -> None:
    make_stop(make_event(status="completed"))
    Hold.objects.update(opened_at=LONG_AGO + timedelta(hours=1))

    assert retention.drop_old(NOW) == []
    assert story() == (1, 1)

    Hold.objects.update(status="restored", closed_at=NOW)
    retention.drop_old(NOW)
    assert story() == (0, 0)


def test_what_led_to_a_running_event_stays(
    story: Callable[[], tuple[int, int]], make_event: Callable[..., GridEvent]
) -> None:
    make_event(status="active", starts_at=LONG_AGO + DAY, ends_at=NOW + DAY)

    assert retention.drop_old(NOW) == []
    assert story() == (1, 1)
