"""The operator's doors: who may enter, what they show, what they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from dispatch import alarms, policies
from dispatch.lifecycle import EventStatus, HoldStatus
from dispatch.models import (
    Alarm,
    AreaHoldOff,
    AuditEntry,
    Command,
    Envelope,
    GridEvent,
    Hold,
    Participation,
)
from fleets.models import Program, User, Vehicle
from tests.factories import HOUR, NOW

Make = Callable[..., Any]

PAGES = ("live", "actions", "stop-new-holds", "allow-new-holds")


@pytest.fixture
def operator(make_user: Make) -> User:
    user: User = make_user(
        "operator", "dispatch.view_gridevent", "dispatch.operate_gridevent"
    )
    return user


@pytest.fixture
def viewer(make_user: Make) -> User:
    user: User = make_user("viewer", "dispatch.view_gridevent")
    return user


@pytest.fixture
def event(
    program: Program, make_event: Make, set_clock: Callable[[Any], None]
) -> GridEvent:
    set_clock(NOW)
    made: GridEvent = make_event(
        program,
        status=EventStatus.ACTIVE,
        starts_at=NOW - HOUR,
        ends_at=NOW + HOUR,
        target_kw=100.0,
    )
    return made


@pytest.fixture(autouse=True)
def no_wakes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    woken: list[Any] = []
    monkeypatch.setattr("dispatch.views.wake", woken.append)
    monkeypatch.setattr("dispatch.views.events.wake", woken.append)
    return woken


@pytest.mark.parametrize("name", PAGES)
def test_who_is_not_signed_in_is_led_to_the_login(
    client: Client, db: None, name: str
) -> None:
    response = client.get(reverse(name))

    assert response.status_code == 302
    assert response["Location"].startswith(reverse("login"))


@pytest.mark.parametrize("name", PAGES)
def test_a_customer_may_not_look(client: Client, make_user: Make, name: str) -> None:
    client.force_login(make_user("ada"))

    response = client.get(reverse(name))

    assert response.status_code == 403
    assert "Not yours to see" in response.content.decode()


def test_the_page_shows_the_running_event(
    client: Client, operator: User, event: GridEvent
) -> None:
    client.force_login(operator)

    html = client.get(reverse("live")).content.decode()

    assert "Evening peak" in html
    assert "16:00 to 18:00 UTC" in html
    assert f'action="{reverse("end-early", args=[event.pk])}"' in html
    assert html.count("data-act") == 3


def test_the_page_has_nothing_inline(
    client: Client, operator: User, event: GridEvent
) -> None:
    client.force_login(operator)

    response = client.get(reverse("live"))

    html = response.content.decode()
    assert "unsafe" not in response["Content-Security-Policy"]
    assert "<style" not in html
    assert " style=" not in html
    assert " onclick=" not in html


def test_a_viewer_sees_buttons_that_do_nothing(
    client: Client, viewer: User, event: GridEvent
) -> None:
    client.force_login(viewer)

    html = client.get(reverse("live")).content.decode()

    assert "data-act" not in html
    assert html.count(" disabled") == 3
    assert "You may look, not act." in html


def test_a_viewer_may_not_act(client: Client, viewer: User, event: GridEvent) -> None:
    client.force_login(viewer)

    for url in (
        reverse("stop-new-holds"),
        reverse("allow-new-holds"),
        reverse("end-early", args=[event.pk]),
    ):
        assert client.post(url, {"why": "for fun"}).status_code == 403
    event.refresh_from_db()
    assert event.status == EventStatus.ACTIVE


def test_an_operator_ends_an_event_early_after_a_second_look(
    client: Client, operator: User, event: GridEvent, no_wakes: list[Any]
) -> None:
    client.force_login(operator)
    url = reverse("end-early", args=[event.pk])

    asked = client.get(url)
    event.refresh_from_db()
    assert event.status == EventStatus.ACTIVE
    assert "Cars to be given back: 0." in asked.content.decode()
    done = client.post(url, {"why": "the line is back"})

    event.refresh_from_db()
    assert event.status == EventStatus.RESTORING
    assert done["Location"] == reverse("live")
    assert len(no_wakes) == 1
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.act, entry.why) == (
        "operator", "end early", "the line is back",
    )  # fmt: skip


def test_it_says_how_many_cars_another_event_keeps(
    client: Client, operator: User, event: GridEvent, make_stop: Make, make_event: Make
) -> None:
    hold = make_stop(event).hold
    other = make_event(event.program, status=EventStatus.ACTIVE)
    Participation.objects.create(
        event=other, vehicle=hold.vehicle, hold=hold, status="claimed", judged_at=NOW
    )
    client.force_login(operator)

    asked = client.get(reverse("end-early", args=[event.pk])).content.decode()

    assert "Cars to be given back: 0." in asked
    assert "Cars that another event keeps: 1." in asked


def test_an_act_without_a_reason_is_asked_for_one(
    client: Client, operator: User, event: GridEvent
) -> None:
    client.force_login(operator)

    response = client.post(reverse("end-early", args=[event.pk]), {"why": " "})

    event.refresh_from_db()
    assert response.status_code == 200
    assert event.status == EventStatus.ACTIVE


def test_an_event_that_does_not_run_cannot_end_early(
    client: Client, operator: User, event: GridEvent
) -> None:
    GridEvent.objects.update(status=EventStatus.COMPLETED)
    client.force_login(operator)

    response = client.post(reverse("end-early", args=[event.pk]), {"why": "late"})

    assert response.status_code == 404


def test_an_operator_stops_and_allows_new_holds(
    client: Client, operator: User, event: GridEvent
) -> None:
    client.force_login(operator)

    client.post(reverse("stop-new-holds"), {"why": "odd readings"})
    stopped = Envelope.objects.get(program=None)
    assert stopped.holds_stopped_by == "operator"
    html = client.get(reverse("actions")).content.decode()
    assert "New holds of everything stopped at 17:00 by operator" in html
    client.post(reverse("allow-new-holds"), {"why": "all well"})

    stopped.refresh_from_db()
    assert stopped.holds_stopped_at is None


def test_new_holds_of_one_program_can_be_stopped(
    client: Client, operator: User, event: GridEvent
) -> None:
    client.force_login(operator)

    client.post(
        reverse("stop-new-holds"), {"program": event.program_id, "why": "odd readings"}
    )

    envelope = Envelope.objects.get(program=event.program)
    assert envelope.holds_stopped_at == NOW


def test_acts_need_a_token_against_forgery(operator: User, event: GridEvent) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)

    response = client.post(reverse("stop-new-holds"), {"why": "forged"})

    assert response.status_code == 403


@pytest.mark.django_db(transaction=True)
def test_the_stream_is_for_those_who_may_look(
    client: Client, make_user: Make, viewer: User
) -> None:
    assert client.get(reverse("stream")).status_code == 403
    client.force_login(make_user("ada"))
    assert client.get(reverse("stream")).status_code == 403
    client.force_login(viewer)
    response = client.get(reverse("stream"))
    assert response["Content-Type"] == "text/event-stream"
    response.close()


def test_the_login_page_stands(client: Client, db: None) -> None:
    response = client.get(reverse("login"))

    assert "Sign in" in response.content.decode()


@pytest.mark.parametrize("model", ["gridevent", "hold", "command", "alarm"])
def test_the_back_office_lists_what_happened(
    client: Client, make_user: Make, event: GridEvent, model: str
) -> None:
    client.force_login(make_user("root", is_staff=True, is_superuser=True))

    assert client.get(f"/admin/dispatch/{model}/").status_code == 200
    assert client.get(f"/admin/dispatch/{model}/add/").status_code == 403


@pytest.mark.parametrize("model", ["vehicle", "enrolment", "customer", "program"])
def test_the_back_office_lists_who_takes_part(
    client: Client, make_user: Make, ada: object, model: str
) -> None:
    client.force_login(make_user("root", is_staff=True, is_superuser=True))

    assert client.get(f"/admin/fleets/{model}/").status_code == 200


def test_the_back_office_lets_a_program_choose_its_tactic(
    admin_client: Client, program: Program
) -> None:
    page = admin_client.get(f"/admin/fleets/program/{program.pk}/change/")

    assert b'<select name="tactic"' in page.content


@pytest.fixture
def unresolved(event: GridEvent, ada: Vehicle) -> Hold:
    hold: Hold = Hold.objects.create(
        vehicle=ada,
        event=event,
        status=HoldStatus.UNRESOLVED,
        tactic="stop",
        was_charging=True,
        power_kw=7.0,
        state_observed_at=NOW - HOUR,
        reason="event without a target",
        opened_at=NOW - HOUR,
    )
    alarms.raise_alarm(alarms.unresolved_key(hold.pk), "It sleeps", now=NOW)
    return hold


def test_a_person_closes_what_could_not_be_given_back(
    client: Client, operator: User, unresolved: Hold
) -> None:
    client.force_login(operator)

    client.post(reverse("close-hold", args=[unresolved.pk]), {"why": "Ada called"})

    unresolved.refresh_from_db()
    assert unresolved.status == HoldStatus.RELEASED
    assert unresolved.close_reason == "closed by a person"
    assert not Alarm.objects.filter(cleared_at=None).exists()
    assert AuditEntry.objects.get(act="close hold").why == "Ada called"


def test_a_person_asks_for_one_more_start(
    client: Client, operator: User, unresolved: Hold
) -> None:
    client.force_login(operator)

    client.post(reverse("try-again", args=[unresolved.pk]), {"why": "It woke up"})

    unresolved.refresh_from_db()
    assert unresolved.status == HoldStatus.RESTORING
    assert Command.objects.get(hold=unresolved).kind == "start"


@pytest.mark.parametrize("name", ["try-again", "close-hold"])
def test_a_viewer_closes_nothing(
    client: Client, viewer: User, unresolved: Hold, name: str
) -> None:
    client.force_login(viewer)

    response = client.post(reverse(name, args=[unresolved.pk]), {"why": "I may not"})

    assert response.status_code == 403
    unresolved.refresh_from_db()
    assert unresolved.status == HoldStatus.UNRESOLVED


@pytest.fixture
def pending(program: Program, make_event: Make, set_clock: Make) -> GridEvent:
    set_clock(NOW)
    made: GridEvent = make_event(
        program,
        status=EventStatus.PENDING,
        starts_at=NOW + HOUR,
        ends_at=NOW + 2 * HOUR,
        pending_reason="9,000 kW are more than 5,000.",
    )
    return made


def test_a_second_person_approves_what_they_looked_at(
    client: Client, make_user: Make, pending: GridEvent
) -> None:
    client.force_login(make_user("pia", "dispatch.approve_gridevent", is_staff=True))
    url = reverse("approve-event", args=[pending.pk])
    assert "9,000 kW" in client.get(url).content.decode()

    client.post(url, {"why": "The heat wave", "version": 1})

    pending.refresh_from_db()
    assert pending.status == EventStatus.SCHEDULED
    assert AuditEntry.objects.get(act="approve").why == "The heat wave"


def test_nobody_approves_what_was_amended_meanwhile(
    client: Client, make_user: Make, pending: GridEvent
) -> None:
    client.force_login(make_user("pia", "dispatch.approve_gridevent", is_staff=True))
    GridEvent.objects.update(version=2)

    client.post(
        reverse("approve-event", args=[pending.pk]), {"why": "Stale", "version": 1}
    )

    pending.refresh_from_db()
    assert pending.status == EventStatus.PENDING


def test_what_broke_its_policy_while_it_waited_says_so_and_keeps_the_reason(
    client: Client, make_user: Make, pending: GridEvent
) -> None:
    policies.lay_down(pending.program)
    client.force_login(make_user("pia", "dispatch.approve_gridevent"))

    page = client.post(
        reverse("approve-event", args=[pending.pk]), {"why": "Heat wave", "version": 1}
    ).content.decode()

    assert "The start is 1 hours ahead" in page
    assert 'value="Heat wave"' in page
    pending.refresh_from_db()
    assert pending.status == EventStatus.PENDING


def test_an_operator_who_may_not_approve_does_not(
    client: Client, operator: User, pending: GridEvent
) -> None:
    client.force_login(operator)

    response = client.get(reverse("approve-event", args=[pending.pk]))

    assert response.status_code == 403


def test_an_area_is_kept_free_and_lifted(
    operator: User, client: Client, make_feeder: Make, set_clock: Make
) -> None:
    set_clock(NOW)
    client.force_login(operator)
    north = make_feeder("N1")

    client.post(
        reverse("declare-area"),
        {"kind": "storm", "feeders": [north.pk], "hours": "2", "why": "gusts"},
    )
    hold_off = AreaHoldOff.objects.get()
    page = client.get(reverse("actions")).content.decode()
    assert "Storm on N1, by operator" in page
    assert (hold_off.ends_at, hold_off.reason) == (NOW + 2 * HOUR, "gusts")

    client.post(reverse("lift-area", args=[hold_off.pk]), {"why": "it is calm"})

    hold_off.refresh_from_db()
    assert (hold_off.ends_at, hold_off.lifted_by) == (NOW, "operator")
    assert "Storm on N1" not in client.get(reverse("actions")).content.decode()


@pytest.mark.parametrize("area", [{}, {"everywhere": "on", "feeders": ["one"]}])
def test_everywhere_is_said_and_not_guessed(
    operator: User, client: Client, make_feeder: Make, area: dict[str, Any]
) -> None:
    client.force_login(operator)
    if "feeders" in area:
        area = {**area, "feeders": [make_feeder().pk]}

    page = client.post(
        reverse("declare-area"), {"kind": "storm", "why": "gusts", **area}
    )

    assert "or say that it is everywhere" in page.content.decode()
    assert not AreaHoldOff.objects.exists()


def test_who_only_watches_declares_and_lifts_nothing(
    make_user: Make, client: Client
) -> None:
    client.force_login(make_user("viewer", "dispatch.view_gridevent"))

    for page in (reverse("declare-area"), reverse("lift-area", args=[1])):
        assert client.post(page, {"why": "let me"}).status_code == 403


def test_a_feeder_is_stopped_and_allowed_again(
    operator: User, client: Client, make_feeder: Make
) -> None:
    client.force_login(operator)
    north = make_feeder("N1")

    client.post(reverse("stop-new-holds"), {"feeder": north.pk, "why": "repair"})
    page = client.get(reverse("actions")).content.decode()
    assert "Allow new holds of N1" in page
    assert "Stop new holds" in page  # everything else may still be stopped

    client.post(reverse("allow-new-holds"), {"feeder": north.pk, "why": "done"})
    assert Envelope.objects.get(feeder=north).holds_stopped_at is None
