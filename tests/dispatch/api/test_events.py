"""Grid events over REST: what goes in, what comes out, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from dispatch import policies
from dispatch.lifecycle import EventStatus, HoldStatus, ParticipationStatus
from dispatch.models import (
    AuditEntry,
    DayOff,
    GridEvent,
    GridSignal,
    Hold,
    IdempotencyKey,
    LoadSample,
    Participation,
)
from fleets.models import Program, Substation, User, Vehicle
from tests.dispatch.api.conftest import EVENTS, GridSystem
from tests.factories import HOUR, NOW

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]


def problem(response: Any, status: int) -> list[tuple[str, str]]:
    """Return the findings of a problem, which must be well-formed."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert set(body) == {"type", "title", "status", "detail", "errors"}
    assert body["status"] == status
    assert body["detail"]
    for error in body["errors"]:
        assert set(error) == {"field", "code", "message"}
        assert status != 400 or error["field"] in error["message"]
    return [(error["field"], error["code"]) for error in body["errors"]]


def test_an_event_is_stored_with_its_signal(
    grid: GridSystem, wanted: dict[str, Any]
) -> None:
    response = grid.post(wanted)

    assert response.status_code == 201, response.content
    event = GridEvent.objects.get()
    assert event.starts_at == NOW + HOUR
    assert event.signal is not None
    assert (event.signal.body, event.signal.client) == (wanted, grid.client)
    assert event.created_by == f"client:{grid.client.name}"
    body = response.json()
    assert body["id"] == event.pk
    assert body["status"] == "scheduled"
    assert body["starts_at"] == "2026-01-12T18:00:00Z"
    assert response["Location"] == f"{EVENTS}/{event.pk}"
    assert response["ETag"] == '"1"'


def test_an_event_beyond_its_envelope_is_stored_as_pending(
    grid: GridSystem, wanted: dict[str, Any]
) -> None:
    response = grid.post({**wanted, "target_kw": 6000})

    assert response.status_code == 201
    assert response.json()["status"] == "pending approval"
    assert "5,000 allowed" in response.json()["pending_reason"]


def test_an_event_aims_at_feeders_and_cars(
    grid: GridSystem, wanted: dict[str, Any], make_feeder: Make, ada: Vehicle
) -> None:
    make_feeder("F7")

    response = grid.post({**wanted, "feeders": ["F7"], "vehicles": [ada.pk]})

    body = response.json()
    assert (body["feeders"], body["vehicles"]) == (["F7"], [ada.pk])


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        # A program that nobody knows.
        ({"program": "summer"}, "program", "unknown"),
        ({"program": 7}, "program", "invalid"),
        # A kind that nobody knows.
        ({"kind": "party"}, "kind", "invalid_choice"),
        # A feeder that nobody knows.
        ({"feeders": ["F0"]}, "feeders", "unknown"),
        ({"feeders": "F0"}, "feeders", "not_a_list"),
        # Cars that nobody knows.
        ({"vehicles": [4_000_000]}, "vehicles", "unknown"),
        ({"vehicles": ["x"]}, "vehicles[0]", "invalid"),
        ({"vehicles": [2**63]}, "vehicles[0]", "max_value"),
        # A time without its zone.
        ({"starts_at": "2026-01-12T18:00:00"}, "starts_at", "naive"),
        ({"starts_at": "tonight"}, "starts_at", "invalid"),
        ({"starts_at": "2026-13-12T18:00:00Z"}, "starts_at", "invalid"),
        ({"starts_at": "9999-12-31T23:59:59-14:00"}, "starts_at", "invalid"),
        ({"starts_at": 1768240800}, "starts_at", "invalid"),
        # Ends before it starts.
        ({"ends_at": "2026-01-12T17:30:00Z"}, "ends_at", "ends_before_start"),
        # Past.
        ({"starts_at": "2026-01-12T16:00:00Z"}, "starts_at", "past"),
        # Endless.
        ({"ends_at": "2026-01-13T18:00:00Z"}, "ends_at", "too_long"),
        # Enormous.
        ({"target_kw": 1e9}, "target_kw", "enormous"),
        ({"target_kw": 10**400}, "target_kw", "invalid"),
        # Nothing, or less.
        ({"target_kw": 0}, "target_kw", "not_positive"),
        ({"target_kw": -1}, "target_kw", "not_positive"),
        # Units.
        ({"target_kw": "5 MW"}, "target_kw", "invalid"),
        ({"target_kw": "5000"}, "target_kw", "invalid"),
        ({"target_kw": {"value": 5, "unit": "MW"}}, "target_kw", "invalid"),
        ({"target_kw": True}, "target_kw", "invalid"),
        # A field that nobody knows.
        ({"target_mw": 5}, "target_mw", "unknown_field"),
        ({"priority": 1.5}, "priority", "invalid"),
        ({"priority": -1}, "priority", "min_value"),
        ({"reason": "x" * 201}, "reason", "max_length"),
        ({"reason": "\0"}, "reason", "null_characters_not_allowed"),
        ({"reason": "\ud800"}, "reason", "surrogate_characters_not_allowed"),
        ({"reason": 5}, "reason", "invalid"),
    ],
)
def test_it_names_what_is_wrong_and_stores_nothing(
    grid: GridSystem,
    wanted: dict[str, Any],
    changes: dict[str, Any],
    field: str,
    code: str,
) -> None:
    response = grid.post({**wanted, **changes})

    assert (field, code) in problem(response, 400)
    for model in (GridEvent, GridSignal, IdempotencyKey, AuditEntry):
        assert not model.objects.exists()


def test_a_wrong_unit_is_told_the_right_one(
    grid: GridSystem, wanted: dict[str, Any]
) -> None:
    response = grid.post({**wanted, "target_kw": "5 MW"})

    assert "kW" in response.json()["detail"]


def test_a_misspelt_field_is_told_its_name(
    grid: GridSystem, wanted: dict[str, Any]
) -> None:
    response = grid.post({**wanted, "target_kww": 5})

    assert "did you mean target_kw?" in response.json()["detail"]


def test_it_names_the_car_without_consent(
    grid: GridSystem, wanted: dict[str, Any], ben: Vehicle
) -> None:
    response = grid.post({**wanted, "vehicles": [ben.pk]})

    assert problem(response, 400) == [("vehicles", "no_consent")]
    assert str(ben.pk) in response.json()["detail"]


def test_it_refuses_a_feeder_that_is_named_twice(
    grid: GridSystem, wanted: dict[str, Any], make_feeder: Make
) -> None:
    make_feeder("F7")

    response = grid.post({**wanted, "feeders": ["F7", "F7"]})

    assert problem(response, 400) == [("feeders", "duplicate")]


@pytest.mark.parametrize(
    "raw",
    [
        b"{",  # cut short
        b"",  # nothing
        b'{"target_kw": NaN}',
        b'{"target_kw": -Infinity}',
        b'{"target_kw": 1e999}',
        b'{"target_kw": 1, "target_kw": 2}',  # which of them?
        b"[" * 100_000,  # nested beyond reason
        b"9" * 5_000,  # a number beyond reason
        b"\xff\xfe",  # not UTF-8
        b"[]",
        b"null",
        b'"peak"',
    ],
)
def test_a_malformed_body_is_a_problem(grid: GridSystem, raw: bytes) -> None:
    response = grid.post(raw)

    problem(response, 400)
    assert not GridSignal.objects.exists()


def test_a_body_may_be_too_large(grid: GridSystem) -> None:
    problem(grid.post(b" " * 1_000_001), 413)


def test_only_json_is_taken(grid: GridSystem) -> None:
    problem(grid.post("a=b", content_type="text/plain"), 415)


def test_without_a_token_nothing_is_told(client: Client) -> None:
    response = client.get(EVENTS)

    problem(response, 401)
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_reading_does_not_allow_writing(
    make_grid_system: Make, wanted: dict[str, Any]
) -> None:
    reader = make_grid_system("events:read")

    assert reader.get().status_code == 200
    problem(reader.post(wanted), 403)


def test_unknown_addresses_and_methods_are_problems(grid: GridSystem) -> None:
    problem(grid.get(f"{EVENTS}/1"), 404)
    problem(grid.get(f"{EVENTS}/{2**70}"), 404)
    problem(grid.get("/api/v1/nothing"), 404)
    problem(grid.http.delete(EVENTS, headers=grid._headers({})), 405)


def test_a_failure_of_ours_is_a_problem_too(
    grid: GridSystem, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **values: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("dispatch.grid_events.schedule", fail)

    problem(grid.post(wanted), 500)
    assert not GridSignal.objects.exists()


def test_an_event_shows_what_came_of_it(
    grid: GridSystem, make_event: Make, program: Program, ada: Vehicle, chloe: Vehicle
) -> None:
    event = make_event(program, status=EventStatus.ACTIVE)
    hold = Hold.objects.create(
        vehicle=ada,
        event=event,
        status=HoldStatus.HELD,
        tactic="stop",
        was_charging=True,
        power_kw=7.0,
        state_observed_at=NOW,
        reason="target",
        opened_at=NOW,
    )
    for vehicle, status, reason in (
        (ada, ParticipationStatus.CLAIMED, "target"),
        (chloe, ParticipationStatus.SPARED, "unknown"),
    ):
        Participation.objects.create(
            event=event,
            vehicle=vehicle,
            hold=hold if vehicle == ada else None,
            status=status,
            reason=reason,
            judged_at=NOW,
        )
    for minutes in (1, 2):
        LoadSample.objects.create(
            event=event,
            at=NOW + timedelta(minutes=minutes),
            charging_kw=3.0,
            confirmed_kw=7.0 * minutes,
            unconfirmed_kw=0.0,
            blind_kw=0.0,
        )

    response = grid.get(f"{EVENTS}/{event.pk}")

    assert response["ETag"] == '"1"'
    live = response.json()["live"]
    assert live["participations"] == [
        {"status": "claimed", "reason": "target", "cars": 1},
        {"status": "spared", "reason": "unknown", "cars": 1},
    ]
    assert live["holds"] == [{"status": "held", "cars": 1}]
    assert live["load"]["confirmed_kw"] == 14.0


def test_the_list_keeps_to_what_is_asked(
    grid: GridSystem, make_event: Make, program: Program
) -> None:
    first = make_event(program)
    later = make_event(program, starts_at=NOW + HOUR, status=EventStatus.PENDING)
    make_event(starts_at=NOW + HOUR)

    def ids(**query: str) -> list[int]:
        response = grid.get(**query)
        assert response.status_code == 200, response.content
        return [event["id"] for event in response.json()["results"]]

    assert len(ids()) == 3
    assert ids(program=program.code) == [later.pk, first.pk]
    assert ids(status="pending approval") == [later.pk]
    assert ids(starts_before="2026-01-12T18:30:00+01:00") == [first.pk]
    assert first.pk not in ids(starts_after="2026-01-12T17:00:01Z")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"status": "asleep"}, "status"),
        ({"starts_after": "2026-01-12"}, "starts_after"),
        ({"starts_after": "2026-01-12T18:00:00"}, "starts_after"),
        ({"program": "\0"}, "program"),
        ({"cursor": "x"}, "cursor"),
        # A position that is no time.
        ({"cursor": "cD14"}, "cursor"),
    ],
)
def test_a_list_refuses_what_it_cannot_read(
    grid: GridSystem, make_event: Make, query: dict[str, str], field: str
) -> None:
    make_event()

    found = problem(grid.get(**query), 400)

    assert [name for name, _ in found] == [field]


def test_pages_follow_each_other(grid: GridSystem, make_event: Make) -> None:
    program = make_event().program
    for number in range(50):
        make_event(program, starts_at=NOW - number * HOUR)

    page = grid.get().json()
    rest = grid.get(page["next"]).json()

    assert (len(page["results"]), len(rest["results"])) == (50, 1)


@pytest.mark.parametrize("number", [1, 5])
def test_a_list_asks_the_database_as_often_for_many(
    grid: GridSystem,
    make_event: Make,
    make_feeder: Make,
    django_assert_num_queries: Make,
    number: int,
) -> None:
    for _ in range(number):
        make_event(feeders=[make_feeder()])

    # The token with its client, events with their programs, three aims.
    with django_assert_num_queries(5):
        grid.get()


def test_one_event_is_read_with_few_queries(
    grid: GridSystem, make_event: Make, django_assert_num_queries: Make
) -> None:
    event = make_event()

    # The token with its client, the event, four aims, six figures.
    with django_assert_num_queries(12):
        grid.get(f"{EVENTS}/{event.pk}")


def test_an_amendment_needs_the_version_that_was_seen(
    grid: GridSystem, make_event: Make
) -> None:
    event = make_event(target_kw=50.0)

    assert problem(grid.patch(event.pk, {"target_kw": 60}), 400) == [
        ("version", "required")
    ]

    response = grid.patch(event.pk, {"target_kw": 60, "version": 1})
    assert (response.status_code, response["ETag"]) == (200, '"2"')
    assert response.json()["target_kw"] == 60

    found = problem(grid.patch(event.pk, {"target_kw": 70, "version": 1}), 409)
    assert found == [("version", "stale")]

    match = {"If-Match": '"2"'}
    assert grid.patch(event.pk, {"target_kw": 70}, **match).status_code == 200
    problem(grid.patch(event.pk, {"target_kw": 70}, **{"If-Match": "x"}), 400)
    event.refresh_from_db()
    assert (event.version, event.target_kw) == (3, 70.0)


def test_an_amendment_may_take_the_target_away(
    grid: GridSystem, make_event: Make
) -> None:
    event = make_event(target_kw=50.0)

    grid.patch(event.pk, {"target_kw": None, "version": 1})

    event.refresh_from_db()
    assert event.target_kw is None


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        # longer and shorter, bigger and smaller, elsewhere, more urgent: while it runs
        ({"ends_at": "2026-01-12T20:00:00Z"}, None),
        ({"ends_at": "2026-01-12T17:30:00Z"}, None),
        ({"target_kw": 80}, None),
        ({"target_kw": 1}, None),
        ({"feeders": ["F-here"]}, None),
        ({"priority": 3}, None),
        # what is over is over
        ({"ends_at": "2026-01-12T16:59:00Z"}, ("ends_at", "past")),
        ({"starts_at": "2026-01-12T18:00:00Z"}, ("starts_at", "started")),
    ],
)
def test_a_running_event_is_amended(
    grid: GridSystem,
    make_event: Make,
    make_feeder: Make,
    changes: dict[str, Any],
    found: tuple[str, str] | None,
) -> None:
    make_feeder("F-here")
    event = make_event(status=EventStatus.ACTIVE, target_kw=50.0, starts_at=NOW - HOUR)

    response = grid.patch(event.pk, {**changes, "version": 1})

    event.refresh_from_db()
    assert event.version == (1 if found else 2)
    if found:
        assert problem(response, 400) == [found]
    else:
        assert response.json() == {**response.json(), **changes}


@pytest.mark.parametrize(
    "status", [EventStatus.RESTORING, EventStatus.COMPLETED, EventStatus.CANCELLED]
)
def test_an_event_that_takes_no_more_cannot_be_amended(
    grid: GridSystem, make_event: Make, status: EventStatus
) -> None:
    event = make_event(status=status)

    response = grid.patch(event.pk, {"ends_at": "2026-01-12T20:00:00Z", "version": 1})

    problem(response, 409)
    event.refresh_from_db()
    assert event.version == 1


def test_an_amendment_cannot_change_the_program(
    grid: GridSystem, make_event: Make
) -> None:
    response = grid.patch(make_event().pk, {"program": "other", "version": 1})

    assert problem(response, 400) == [("program", "unknown_field")]


def test_a_running_event_is_cancelled(grid: GridSystem, make_event: Make) -> None:
    event = make_event(status=EventStatus.ACTIVE)

    response = grid.post({"reason": "storm"}, f"{EVENTS}/{event.pk}/cancel")

    assert response.status_code == 200
    assert response.json()["status"] == "restoring"
    assert AuditEntry.objects.get(act="cancel").why == "storm"


def test_a_completed_event_cannot_be_cancelled(
    grid: GridSystem, make_event: Make
) -> None:
    event = make_event(status=EventStatus.COMPLETED)

    response = grid.post({}, f"{EVENTS}/{event.pk}/cancel")

    assert problem(response, 409) == [("status", "wrong_moment")]


def test_a_car_is_taken_out(
    grid: GridSystem, make_event: Make, program: Program, ada: Vehicle
) -> None:
    event = make_event(program)

    response = grid.post({"vehicle": ada.pk}, f"{EVENTS}/{event.pk}/opt-outs")

    assert response.status_code == 201
    assert response.json() == {
        "event": event.pk,
        "vehicle": ada.pk,
        "opted_out_at": "2026-01-12T17:00:00Z",
    }


def test_an_unknown_car_cannot_be_taken_out(grid: GridSystem, make_event: Make) -> None:
    response = grid.post({"vehicle": 5}, f"{EVENTS}/{make_event().pk}/opt-outs")

    assert problem(response, 400) == [("vehicle", "unknown")]


def test_a_person_approves_and_a_machine_does_not(
    grid: GridSystem, make_event: Make, olga: User, client: Client
) -> None:
    event = make_event(status=EventStatus.PENDING, created_by="client:grid")
    path = f"{EVENTS}/{event.pk}/approve"

    problem(grid.post({"version": 1}, path), 403)
    client.force_login(olga)
    assert client.get(path.removesuffix("/approve")).status_code == 200
    response = client.post(path, {"version": 1}, content_type="application/json")

    assert response.status_code == 200, response.content
    assert response.json()["status"] == "scheduled"


def test_a_person_without_the_right_does_not_approve(
    make_event: Make, make_user: Make, client: Client
) -> None:
    event = make_event(status=EventStatus.PENDING)
    client.force_login(make_user("vera", "dispatch.view_gridevent"))

    response = client.post(
        f"{EVENTS}/{event.pk}/approve",
        json.dumps({"version": 1}),
        content_type="application/json",
    )

    problem(response, 403)


def test_what_broke_its_policy_while_it_waited_is_refused_with_the_rule(
    make_event: Make, program: Program, olga: User, client: Client, set_clock: Make
) -> None:
    set_clock(NOW)
    policies.lay_down(program)
    event = make_event(
        program,
        status=EventStatus.PENDING,
        starts_at=NOW + HOUR,
        ends_at=NOW + 3 * HOUR,
        created_by="client:grid",
    )
    client.force_login(olga)

    answer = client.post(
        f"{EVENTS}/{event.pk}/approve", {"version": 1}, content_type="application/json"
    )

    assert set(problem(answer, 400)) == {
        ("starts_at", "too_short_notice"),
        ("program", "too_few_participants"),
    }
    event.refresh_from_db()
    assert event.status == EventStatus.PENDING


def test_a_strange_site_cannot_approve_in_a_persons_name(
    make_event: Make, olga: User
) -> None:
    event = make_event(status=EventStatus.PENDING, created_by="client:grid")
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(olga)

    response = browser.post(
        f"{EVENTS}/{event.pk}/approve", {"version": 1}, content_type="application/json"
    )

    problem(response, 403)


def test_people_write_on_pages_not_here(
    make_user: Make, client: Client, wanted: dict[str, Any]
) -> None:
    client.force_login(make_user("root", is_superuser=True))

    response = client.post(EVENTS, wanted, content_type="application/json")

    problem(response, 403)


def test_a_refusal_names_every_broken_rule_of_the_policy(
    grid: GridSystem, program: Program, wanted: dict[str, Any]
) -> None:
    policies.lay_down(program)
    DayOff.objects.create(sort="holiday", name="Fair", first_on=NOW, last_on=NOW)

    answer = grid.post(wanted)

    assert set(problem(answer, 400)) == {
        ("starts_at", "too_short_notice"),
        ("starts_at", "holiday"),
        ("program", "too_few_participants"),
    }


def test_events_are_aimed_and_aimed_anew_by_codes(
    grid: GridSystem, wanted: dict[str, Any], ada: Vehicle, make_group: Make
) -> None:
    make_group(ada.account.customer, code="pilot")
    Substation.objects.create(code="north", name="North")

    made = grid.post({**wanted, "groups": ["pilot"], "substations": ["north"]}).json()
    assert (made["groups"], made["substations"]) == (["pilot"], ["north"])

    amended = grid.patch(made["id"], {"version": 1, "substations": []}).json()
    assert (amended["groups"], amended["substations"]) == (["pilot"], [])

    unknown = grid.patch(made["id"], {"version": 2, "groups": ["pilots"]})
    assert problem(unknown, 400) == [("groups", "unknown")]
