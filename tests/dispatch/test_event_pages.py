"""The operator's doors to events that are to come."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from dispatch import policies
from dispatch.lifecycle import EventKind, EventStatus
from dispatch.models import AuditEntry, DayOff, GridEvent, Occurrence, RecurringWindow
from fleets.models import Program, Vehicle
from tests.factories import HOUR, NOW, bound, plan

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]


@pytest.fixture
def oslo(program: Program, set_clock: Make) -> Program:
    set_clock(NOW)
    program.time_zone = "Europe/Oslo"
    program.save()
    return program


@pytest.fixture(autouse=True)
def no_wakes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    woken: list[Any] = []
    monkeypatch.setattr("dispatch.views.events.wake", woken.append)
    monkeypatch.setattr("dispatch.views.wake", woken.append)
    return woken


@pytest.fixture
def desk(client: Client, make_user: Make) -> Client:
    """Return a browser at which Olga, who operates, is signed in."""
    client.force_login(
        make_user("olga", "dispatch.view_gridevent", "dispatch.operate_gridevent")
    )
    return client


@pytest.fixture
def asked() -> dict[str, Any]:
    """Return what is filled in for an event from 19 to 21 h in Oslo, in an hour."""
    return {
        "kind": "economic", "starts_at": "2026-01-12T19:00", "priority": "0",
        "ends_at": "2026-01-12T21:00", "target_kw": "40", "why": "cold evening",
    }  # fmt: skip


def new(program: Program) -> str:
    return reverse("write-event", args=[program.pk])


def of(event: GridEvent) -> str:
    return reverse("amend-event", args=[event.pk])


def filled_in(desk: Client, event: GridEvent) -> dict[str, Any]:
    """Return what the page to amend an event has filled in, as a browser sends it."""
    page = desk.get(of(event)).content.decode()
    inputs = dict(re.findall(r'<input[^>]* name="(\w+)" value="([^"]*)"', page))
    chosen: dict[str, list[str]] = {}
    for name, options in re.findall(
        r'<select name="(\w+)".*?>(.*?)</select>', page, re.S
    ):
        chosen[name] = re.findall(r'value="(\d+)" selected', options)
    return {**inputs, **chosen}


def test_an_event_is_written_by_the_clock_of_its_program(
    desk: Client, oslo: Program, ada: Vehicle, make_group: Make, asked: dict[str, Any],
    no_wakes: list[Any],
) -> None:  # fmt: skip
    group = make_group(ada.account.customer, code="pilot")

    response = desk.post(new(oslo), {**asked, "groups": [group.pk]})

    assert response.status_code == 302
    event = GridEvent.objects.get()
    assert (event.starts_at, event.ends_at) == (NOW + HOUR, NOW + 3 * HOUR)
    assert (event.created_by, event.reason) == ("olga", "cold evening")
    assert list(event.groups.all()) == [group]
    assert len(no_wakes) == 1


def test_every_broken_rule_stands_at_its_field(
    desk: Client, oslo: Program, asked: dict[str, Any]
) -> None:
    policies.lay_down(oslo)
    DayOff.objects.create(sort="holiday", name="Fair", first_on=NOW, last_on=NOW)

    response = desk.post(new(oslo), {**asked, "ends_at": "2026-01-13T01:00"})

    assert response.status_code == 200
    errors = response.context["form"].errors
    assert set(errors) == {"starts_at", "ends_at", "__all__"}
    assert any("notice" in line for line in errors["starts_at"])
    assert any("Fair" in line for line in errors["starts_at"])
    assert "6 hours" in errors["ends_at"][0]
    assert "0 enrolled cars" in errors["__all__"][0]
    assert not GridEvent.objects.exists()


@pytest.mark.parametrize(
    "starts_at",
    [
        # Skipped when the clock is put forward, and shown twice when it is put back.
        "2026-03-29T02:30",
        "2026-10-25T02:30",
    ],
)
def test_a_time_that_the_clock_skips_or_shows_twice_is_asked_for_again(
    desk: Client, oslo: Program, asked: dict[str, Any], starts_at: str
) -> None:
    day = starts_at[:10]

    response = desk.post(
        new(oslo), {**asked, "starts_at": starts_at, "ends_at": f"{day}T05:00"}
    )

    assert set(response.context["form"].errors) == {"starts_at"}
    assert not GridEvent.objects.exists()


def test_an_evening_after_the_clock_change_is_an_hour_earlier_in_utc(
    desk: Client, oslo: Program, asked: dict[str, Any]
) -> None:
    day = "2026-03-29"

    desk.post(
        new(oslo),
        {**asked, "starts_at": f"{day}T19:00", "ends_at": f"{day}T21:00"},
    )

    assert GridEvent.objects.get().starts_at == datetime(2026, 3, 29, 17, tzinfo=UTC)


def test_only_what_was_changed_is_amended(
    desk: Client, oslo: Program, ada: Vehicle, make_feeder: Make
) -> None:
    feeder = make_feeder("N1")
    # A start with microseconds, as time gives it, and cars that the page leaves alone.
    starts_at = NOW + timedelta(seconds=7, microseconds=5)
    event = plan(oslo, starts_at=starts_at, feeders=[feeder], vehicles=[ada])
    values = filled_in(desk, event)
    assert values["feeders"] == [str(feeder.pk)]

    response = desk.post(
        of(event),
        {**values, "feeders": [], "substations": [feeder.substation.pk], "why": "more"},
    )

    assert response.status_code == 302
    event.refresh_from_db()
    assert (event.version, event.starts_at) == (2, starts_at)
    assert list(event.substations.all()) == [feeder.substation]
    assert (event.feeders.count(), event.vehicles.get()) == (0, ada)
    entry = AuditEntry.objects.get(act="amend")
    assert (entry.actor, entry.detail["changed"]) == (
        "olga", ["feeders", "substations"],
    )  # fmt: skip


def test_who_amends_what_somebody_else_changed_looks_again(
    desk: Client, oslo: Program
) -> None:
    event = plan(oslo, target_kw=5.0)
    values = filled_in(desk, event)
    GridEvent.objects.update(version=2)

    response = desk.post(
        of(event), {**values, "target_kw": "9", "why": "more"}, follow=True
    )

    assert "version 2" in response.content.decode()
    event.refresh_from_db()
    assert event.target_kw == 5.0


def test_the_list_shows_what_comes_what_waits_and_what_was_skipped(
    desk: Client, oslo: Program
) -> None:
    bound(oslo, max_kw=1.0)
    event = plan(oslo, target_kw=40.0, kind=EventKind.EMERGENCY)
    window = RecurringWindow.objects.create(
        program=oslo, name="Shift", weekdays=[0], starts_at="17:00", hours=2.0,
        first_on=NOW, written_by="olga", written_at=NOW,
    )  # fmt: skip
    Occurrence.objects.create(
        window=window, on=NOW, skipped="Saturday it is.", decided_at=NOW
    )

    page = desk.get(reverse("event-list")).content.decode()

    assert event.status == EventStatus.PENDING
    assert "Mon 2026-01-12 18:00 to Mon 20:00 CET" in page
    assert "Larger than its envelope" in page
    assert "Saturday it is." in page
    assert of(event) in page


def test_who_only_watches_neither_writes_nor_amends(
    client: Client, oslo: Program, make_user: Make
) -> None:
    client.force_login(make_user("viewer", "dispatch.view_gridevent"))
    event = plan(oslo)

    assert client.get(reverse("event-list")).status_code == 200
    assert client.get(new(oslo)).status_code == 403
    assert client.post(of(event), {}).status_code == 403


def test_an_event_that_has_not_begun_is_called_off_with_a_reason(
    desk: Client, oslo: Program
) -> None:
    event = plan(oslo, starts_at=NOW + HOUR)
    url = reverse("cancel-event", args=[event.pk])
    assert "19:00 to Mon 20:00 CET" in desk.get(url).content.decode()

    assert desk.post(url, {"why": ""}).status_code == 200
    event.refresh_from_db()
    assert event.status == EventStatus.SCHEDULED
    desk.post(url, {"why": "the wind is back"})

    event.refresh_from_db()
    assert event.status == EventStatus.CANCELLED
    assert AuditEntry.objects.get(act="cancel").why == "the wind is back"
    assert desk.get(url).status_code == 404


def test_who_only_watches_calls_nothing_off(
    client: Client, oslo: Program, make_user: Make
) -> None:
    client.force_login(make_user("viewer", "dispatch.view_gridevent"))
    event = plan(oslo, starts_at=NOW + HOUR)

    response = client.post(reverse("cancel-event", args=[event.pk]), {"why": "no"})

    assert response.status_code == 403
    event.refresh_from_db()
    assert event.status == EventStatus.SCHEDULED
