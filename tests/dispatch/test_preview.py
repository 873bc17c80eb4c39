"""A preview decides as the event would, and leaves no trace."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from dispatch.lifecycle import EventStatus
from dispatch.models import Change, Command, Envelope, GridEvent, Hold, Participation
from dispatch.preview import Preview, preview
from fleets.models import Bucket, Program, Vehicle, VehicleBucket
from tests.dispatch.senders import MONTH
from tests.factories import NOW

Make = Callable[..., Any]
pytestmark = pytest.mark.django_db


@pytest.fixture
def coming(
    program: Program, make_event: Make, set_clock: Callable[..., None]
) -> GridEvent:
    set_clock(NOW)
    Bucket.objects.create(
        name="application", capacity=100, refill_per_minute=2, tokens=100,
        refilled_at=NOW,
    )  # fmt: skip
    event: GridEvent = make_event(program, status=EventStatus.PENDING)
    return event


@pytest.fixture
def charging(program: Program, make_enrolment: Make) -> Callable[..., None]:
    """Return a maker of cars that charge with 7 kW."""

    def make(count: int, **state: Any) -> None:
        for _ in range(count):
            car = make_enrolment(program).vehicle
            Vehicle.objects.filter(pk=car.pk).update(**state)
            VehicleBucket.objects.create(
                vehicle=car, tokens=6, refilled_at=NOW, month=MONTH
            )

    return make


def kw_after(found: Preview) -> dict[int, float]:
    """Return what is expected by the minutes since the begin."""
    return {one.minutes: one.kw for one in found.course}


def test_it_says_whom_it_would_call_and_why_others_are_left_alone(
    coming: GridEvent, charging: Callable[..., None]
) -> None:
    charging(4)
    charging(2, soc_percent=10.0)
    charging(1, is_charging=False)

    found = preview(coming, now=NOW)

    assert (found.cars, found.called, found.called_kw) == (7, 4, 28.0)
    assert found.spared == (("below minimum charge", 2), ("not charging", 1))
    assert 0.0 <= found.low_kw < found.expected_kw < found.high_kw <= 28.0


def test_an_event_of_tomorrow_is_previewed_as_if_it_began_now(
    coming: GridEvent, charging: Callable[..., None]
) -> None:
    """By its own end everybody would be late, for the cars of now have left by then."""
    charging(6)
    now = preview(coming, now=NOW)
    GridEvent.objects.update(
        starts_at=NOW + timedelta(hours=21), ends_at=NOW + timedelta(hours=23)
    )
    coming.refresh_from_db()

    assert preview(coming, now=NOW) == now
    assert now.called == 6


def test_nothing_is_written(coming: GridEvent, charging: Callable[..., None]) -> None:
    charging(3)

    preview(coming, now=NOW)

    for table in (Hold, Participation, Command, Change):
        assert not table.objects.exists()


def test_the_fan_out_takes_as_long_as_the_provider_lets(
    coming: GridEvent, charging: Callable[..., None], settings: Any
) -> None:
    settings.PROVIDER_BUCKET_CALLS = 10
    settings.PROVIDER_REFILL_PER_MINUTE = 2
    settings.RESTORE_RESERVE_SHARE = 0.2
    Bucket.objects.update(capacity=10, tokens=10)
    charging(18)

    found = preview(coming, now=NOW)

    # Eight at once, two a minute after that.
    assert found.calls == 18
    assert found.takes == timedelta(minutes=5)
    each = found.expected_kw / 18
    assert kw_after(found) == pytest.approx(
        {5: 18 * each, 15: 18 * each, 30: 18 * each, 60: 18 * each, 120: 18 * each},
        rel=0.03,  # some may be full by then
    )


def test_the_fan_out_takes_as_long_as_the_envelope_lets(
    coming: GridEvent, charging: Callable[..., None]
) -> None:
    Envelope.objects.create(
        program=coming.program, max_kw=1e4, max_cars=1000, max_kw_per_minute=7.0
    )
    charging(20)

    found = preview(coming, now=NOW)

    assert found.takes == timedelta(minutes=19)
    assert kw_after(found)[5] == pytest.approx(found.expected_kw * 6 / 20, rel=0.01)


def test_over_time_cars_would_have_filled(
    coming: GridEvent, charging: Callable[..., None]
) -> None:
    """Half of them are full half an hour after the begin."""
    charging(10, soc_percent=50.0, battery_kwh=60.0)
    charging(10, soc_percent=70.0, battery_kwh=35.0)

    course = preview(coming, now=NOW).course

    assert [one.minutes for one in course] == [5, 15, 30, 60, 120]
    assert course[-1].kw == pytest.approx(course[0].kw / 2, rel=0.05)
    assert all(one.low_kw <= one.kw <= one.high_kw for one in course)
    widths = [one.high_kw - one.low_kw for one in course]
    assert widths[-1] > widths[0]


def test_a_lower_cap_spares_the_peak_and_takes_longer(
    coming: GridEvent, charging: Callable[..., None]
) -> None:
    charging(10, soc_percent=50.0, battery_kwh=20.0)

    found = preview(coming, now=NOW).restore

    assert len(found) == 5
    peaks = [one.peak_kw for one in found]
    waits = [one.hours_to_restore_max for one in found]
    assert peaks == sorted(peaks) and peaks[-1] == pytest.approx(70.0)
    assert waits == sorted(waits, reverse=True) and waits[0] > waits[-1] == 0.0
    assert {one.late for one in found} == {0.0}


def test_where_all_could_start_at_once_there_is_nothing_to_choose(
    coming: GridEvent, charging: Callable[..., None]
) -> None:
    """They charge for most of the hours within which they must be full."""
    charging(10, soc_percent=50.0, battery_kwh=60.0)

    (only,) = preview(coming, now=NOW).restore

    assert only.cap_kw == pytest.approx(70.0)
    assert only.hours_to_restore_max == 0.0


def test_nobody_called_leaves_nothing_to_give_back(coming: GridEvent) -> None:
    assert preview(coming, now=NOW).restore == ()


def test_the_page_shows_it_to_who_may_look(
    coming: GridEvent, charging: Callable[..., None], client: Client, make_user: Make
) -> None:
    charging(2)
    url = reverse("preview-event", args=[coming.pk])

    assert client.get(url).status_code == 302
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    page = client.get(url)

    assert page.status_code == 200
    assert "2 of 2 cars" in page.content.decode()
    assert client.get(reverse("preview-event", args=[999])).status_code == 404
