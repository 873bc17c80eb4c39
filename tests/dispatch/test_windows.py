"""Windows that come again: each day makes its event once, or says why not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from dispatch import grid_events, policies, windows
from dispatch.event_policy import Rules
from dispatch.event_rules import NotAllowed
from dispatch.lifecycle import EventKind, EventStatus
from dispatch.models import (
    Alarm,
    AuditEntry,
    DayOff,
    EventPolicy,
    GridEvent,
    Occurrence,
    RecurringWindow,
)
from dispatch.tasks import make_events
from fleets.models import Program, Vehicle
from tests.dispatch.together import at_once
from tests.factories import HOUR, NOW, bound

Make = Callable[..., Any]
DAY = timedelta(days=1)
MONDAY = date(2026, 1, 12)  # the day of NOW


@pytest.fixture
def oslo(make_program: Make) -> Program:
    program: Program = make_program("oslo", time_zone="Europe/Oslo")
    return program


@pytest.fixture
def make_window(oslo: Program) -> Callable[..., RecurringWindow]:
    """Return a maker of windows of every evening, 19 to 21 h in Oslo."""

    def make(**values: Any) -> RecurringWindow:
        return RecurringWindow.objects.create(
            **{
                "program": oslo,
                "name": "Evening",
                "weekdays": list(range(7)),
                "starts_at": time(19),
                "hours": 2.0,
                "first_on": MONDAY,
                "target_kw": 5.0,
                "written_by": "olga",
                "written_at": NOW,
                **values,
            }
        )

    return make


def days(window: RecurringWindow) -> list[date]:
    return sorted(window.occurrences.values_list("on", flat=True))


@pytest.mark.django_db
def test_the_coming_week_is_made_and_no_day_twice(make_window: Make) -> None:
    window = make_window()

    first = windows.make_events(NOW)
    again = windows.make_events(NOW + timedelta(minutes=1))
    next_day = windows.make_events(NOW + DAY)

    assert [len(made) for made in (first, again, next_day)] == [8, 0, 1]
    assert days(window) == [MONDAY + n * DAY for n in range(9)]
    event = GridEvent.objects.earliest("starts_at")
    assert (event.starts_at, event.ends_at) == (NOW + HOUR, NOW + 3 * HOUR)
    assert (event.created_by, event.target_kw) == ("olga", 5.0)
    assert GridEvent.objects.count() == 9


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("around", "at", "hours"),
    [
        # The clock is put forward on 29 March: 02:30 begins at 03:30.
        (date(2026, 3, 29), time(2, 30), [1.5, 1.5, 0.5]),
        (date(2026, 3, 29), time(19), [18.0, 17.0, 17.0]),
        # It is put back on 25 October: 02:30 comes twice, its window once.
        (date(2026, 10, 25), time(2, 30), [0.5, 0.5, 1.5]),
        (date(2026, 10, 25), time(19), [17.0, 18.0, 18.0]),
    ],
)
def test_a_clock_change_makes_each_day_once_and_keeps_its_length(
    make_window: Make, around: date, at: time, hours: list[float]
) -> None:
    before = datetime.combine(around - 2 * DAY, time(12), UTC)
    window = make_window(
        starts_at=at,
        first_on=around - DAY,
        last_on=around + DAY,
        written_at=before,
    )

    for step in range(0, 73, 6):
        windows.make_events(before + step * HOUR)

    events = list(GridEvent.objects.order_by("starts_at"))
    assert days(window) == [around - DAY, around, around + DAY]
    assert [
        (one.starts_at - datetime.combine(day, time(0), UTC)) / HOUR
        for one, day in zip(events, days(window), strict=True)
    ] == hours
    assert {one.ends_at - one.starts_at for one in events} == {2 * HOUR}


@pytest.mark.django_db
def test_days_that_nobody_decided_say_so_when_the_worker_is_back(
    make_window: Make,
) -> None:
    window = make_window()
    windows.make_events(NOW)

    back = NOW + 14 * DAY
    windows.make_events(back)

    assert days(window) == [MONDAY + n * DAY for n in range(22)]
    missed = window.occurrences.filter(event=None)
    assert [one.on for one in missed.order_by("on")] == [
        MONDAY + n * DAY for n in range(8, 14)
    ]
    assert all("over" in one.skipped for one in missed)
    assert not GridEvent.objects.filter(created_at=back, starts_at__lt=back).exists()


@pytest.mark.django_db
def test_it_passes_the_same_judge_and_keeps_every_reason(
    oslo: Program, make_window: Make
) -> None:
    EventPolicy.objects.create(
        program=oslo,
        kind=EventKind.ECONOMIC,
        **policies.as_columns(
            Rules(
                notice=21 * HOUR,
                on_weekends=False,
                in_blackouts=False,
                max_days_per_season=2,
            )
        ),
    )
    tuesday = MONDAY + DAY
    DayOff.objects.create(
        sort="blackout", name="Fair", first_on=tuesday, last_on=tuesday
    )
    window = make_window()

    windows.make_events(NOW)

    reasons = {one.on.isoformat()[-2:]: one.skipped for one in window.occurrences.all()}
    assert "hours' notice" in reasons["12"]
    assert "Fair" in reasons["13"]
    assert reasons["14"] == reasons["15"] == ""
    assert "event days in the season" in reasons["16"]
    assert "Saturday" in reasons["17"]
    assert "event days in the season" in reasons["17"]
    assert GridEvent.objects.count() == 2


@pytest.mark.django_db
def test_too_large_an_event_waits_for_somebody_else_than_its_writer(
    oslo: Program, ada: Vehicle, make_window: Make
) -> None:
    bound(oslo, max_kw=1.0)
    make_window(last_on=MONDAY)

    (occurrence,) = windows.make_events(NOW)

    assert occurrence.event is not None
    assert occurrence.event.status == EventStatus.PENDING
    with pytest.raises(NotAllowed):
        grid_events.approve(occurrence.event, actor="olga", now=NOW)


@pytest.mark.django_db
def test_a_paused_window_makes_nothing_and_goes_on_from_when_it_is_taken_up(
    make_window: Make,
) -> None:
    window = make_window(weekdays=[0], is_paused=True)
    assert windows.make_events(NOW) == []

    later = NOW + 15 * DAY
    RecurringWindow.objects.update(is_paused=False, written_at=later)
    windows.make_events(later)

    assert days(window) == [MONDAY + 21 * DAY]


@pytest.mark.django_db
def test_it_makes_only_its_weekdays_between_its_first_and_last_day(
    make_window: Make,
) -> None:
    window = make_window(
        weekdays=[0, 2, 4], first_on=MONDAY + DAY, last_on=MONDAY + 4 * DAY
    )

    windows.make_events(NOW)

    assert days(window) == [MONDAY + 2 * DAY, MONDAY + 4 * DAY]


@pytest.mark.django_db(transaction=True)
def test_two_beats_at_once_make_each_day_once(make_window: Make) -> None:
    made = [make_window(), make_window(name="Morning", starts_at=time(7))]

    results = at_once(*(partial(windows.make_events, NOW) for _ in range(4)))

    # Some may have gone home; the next beat finds what they left.
    windows.make_events(NOW)
    assert all(isinstance(result, list) for result in results)
    assert GridEvent.objects.count() == Occurrence.objects.filter(skipped="").count()
    for window in made:
        assert days(window) == [MONDAY + n * DAY for n in range(8)]


@pytest.mark.django_db(transaction=True)
def test_a_failure_in_the_middle_leaves_no_event_without_its_occurrence(
    make_window: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_window()
    schedule, calls = grid_events.schedule, []

    def fail_at_the_third(*args: Any, **values: Any) -> GridEvent:
        calls.append(1)
        event = schedule(*args, **values)
        if len(calls) == 3:
            raise OperationalError("the database went away")
        return event

    monkeypatch.setattr("dispatch.grid_events.schedule", fail_at_the_third)
    with pytest.raises(OperationalError):
        windows.make_events(NOW)
    assert not GridEvent.objects.exists()

    windows.make_events(NOW)

    assert GridEvent.objects.count() == Occurrence.objects.count() == 8


@pytest.mark.django_db
def test_the_back_office_writes_a_window_in_its_writers_name(
    client: Client, oslo: Program, make_user: Make, make_group: Make, set_clock: Make
) -> None:
    set_clock(NOW)
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    group = make_group(code="pilot")
    form = {
        "program": oslo.pk, "name": "Shift", "kind": "economic", "weekdays": "0,1,2",
        "starts_at": "17:00", "hours": "3", "first_on": "2026-01-12", "priority": "0",
        "groups": [group.pk],
    }  # fmt: skip
    add = reverse("admin:dispatch_recurringwindow_add")

    assert client.post(add, {**form, "weekdays": ""}).status_code == 200
    assert client.post(add, form).status_code == 302
    make_events()

    window = RecurringWindow.objects.get()
    assert (window.written_by, window.weekdays) == ("root", [0, 1, 2])
    entry = AuditEntry.objects.get(act="write recurring window")
    assert (entry.actor, entry.detail["groups"]) == ("root", ["pilot"])
    assert [group.code for group in GridEvent.objects.earliest("pk").groups.all()] == [
        "pilot"
    ]


@pytest.mark.django_db
def test_a_window_that_cannot_be_reckoned_with_keeps_no_other_from_its_days(
    make_window: Make,
) -> None:
    absurd = make_window(name="Absurd", hours=1e12)
    good = make_window()

    windows.make_events(NOW)

    assert len(days(good)) >= 7
    assert Alarm.objects.get().key == f"window:{absurd.pk}"

    RecurringWindow.objects.update(hours=2.0)
    windows.make_events(NOW)
    assert Alarm.objects.get().cleared_at == NOW
