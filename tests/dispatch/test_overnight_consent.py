"""A consent to be managed overnight moves by when a car must be back, and is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse

from dispatch import snapshot
from dispatch.lifecycle import EventStatus
from dispatch.models import AuditEntry, GridEvent
from fleets import enrolment, signals
from fleets.models import Enrolment, Program, RestoreStyle, User, Vehicle
from tests.factories import HOUR, NOW

Make = Callable[..., Any]
pytestmark = pytest.mark.django_db


@pytest.fixture
def event(program: Program, make_event: Make, set_clock: Make) -> GridEvent:
    set_clock(NOW)
    program.restore_style = RestoreStyle.OVERNIGHT
    program.restore_within_hours = 3.0
    program.save()
    made: GridEvent = make_event(program, status=EventStatus.ACTIVE)
    return made


@pytest.fixture
def wakes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    woken: list[Any] = []
    monkeypatch.setattr("dispatch.receivers.wake", lambda task, *_: woken.append(task))
    return woken


@pytest.fixture
def carla(make_user: Make) -> User:
    """Return Carla of the customer service."""
    user: User = make_user(
        "carla", "fleets.view_enrolment", "fleets.change_enrolment", is_staff=True
    )
    return user


def back_by(event: GridEvent) -> float:
    seen = snapshot.take(event.program, [event], now=NOW)
    return float(seen.events[0].back_by[0])


def test_taking_the_night_back_makes_the_car_due_within_the_programs_hours(
    ada: Vehicle, event: GridEvent, wakes: list[Any],
    django_capture_on_commit_callbacks: Make,
) -> None:  # fmt: skip
    one = ada.enrolments.get()
    within = (event.ends_at + 3 * HOUR).timestamp()
    said: dict[str, Any] = {"source": "phone call", "actor": "carla", "now": NOW}
    assert back_by(event) == within

    with django_capture_on_commit_callbacks(execute=True):
        enrolment.consent_overnight(one, wording="night-1", **said)
    assert back_by(event) == np.inf

    with django_capture_on_commit_callbacks(execute=True):
        enrolment.withdraw_overnight(one, **said)
    assert back_by(event) == within
    assert len(wakes) == 2


def test_the_trail_keeps_what_was_agreed_to_after_it_is_taken_back(
    ada: Vehicle, event: GridEvent
) -> None:
    one = ada.enrolments.get()
    # Agreed to when the car was enrolled: no act of its own in the trail.
    ada.enrolments.update(
        overnight_consented_at=NOW - HOUR, overnight_consent_wording="night-1"
    )

    enrolment.consent_overnight(
        one, wording="night-2", source="web", actor="ada", now=NOW
    )
    enrolment.withdraw_overnight(one, source="web", actor="ada", now=NOW + HOUR)

    given, taken = AuditEntry.objects.order_by("pk")
    assert (given.act, taken.act) == ("consent overnight", "withdraw overnight")
    assert given.subject == taken.subject == f"enrolment {one.pk}"
    assert given.detail == {
        "wording": "night-2",
        "was_wording": "night-1",
        "was_consented_at": "2026-01-12T16:00:00+00:00",
        "source": "web",
    }
    assert (taken.at, taken.actor) == (NOW + HOUR, "ada")
    assert taken.detail["was_wording"] == "night-2"
    assert taken.detail["was_consented_at"] == "2026-01-12T17:00:00+00:00"


def test_without_its_entry_in_the_trail_nothing_is_agreed_to(
    ada: Vehicle, event: GridEvent
) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("no trail")

    signals.overnight_consent_changed.connect(fail)
    try:
        with pytest.raises(RuntimeError):
            enrolment.consent_overnight(
                ada.enrolments.get(), wording="night-1", source="web", actor="ada",
                now=NOW,
            )  # fmt: skip
    finally:
        signals.overnight_consent_changed.disconnect(fail)

    assert ada.enrolments.get().overnight_consented_at is None
    assert not AuditEntry.objects.exists()


def choose(client: Client, action: str, one: Enrolment, **values: str) -> str:
    """Choose an action in the back office's list; return the page that follows."""
    answer = client.post(
        reverse("admin:fleets_enrolment_changelist"),
        {"action": action, "_selected_action": [one.pk], **values},
        follow=True,
    )
    return answer.content.decode()


def test_customer_service_records_what_a_customer_said_with_its_wording(
    client: Client, ada: Vehicle, event: GridEvent, carla: User
) -> None:
    one = ada.enrolments.get()
    client.force_login(carla)

    assert "Say which wording" in choose(client, "consent_overnight", one)
    one.refresh_from_db()
    assert one.overnight_consented_at is None

    page = choose(client, "consent_overnight", one, wording="night-1")
    assert "recorded: 1" in page
    recorded = ada.enrolments.get()
    assert recorded.overnight_consented_at == NOW
    assert recorded.overnight_consent_wording == "night-1"
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.detail["source"]) == ("carla", "back office")

    assert "ended: 1" in choose(client, "withdraw_overnight", one)
    one.refresh_from_db()
    assert one.overnight_consented_at is None


def test_who_may_only_read_enrolments_records_nothing(
    client: Client, ada: Vehicle, event: GridEvent, make_user: Make
) -> None:
    one = ada.enrolments.get()
    client.force_login(make_user("vera", "fleets.view_enrolment", is_staff=True))

    choose(client, "consent_overnight", one, wording="night-1")

    one.refresh_from_db()
    assert one.overnight_consented_at is None
