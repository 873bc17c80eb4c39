"""Two people move a bound; one person alone has no door."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.test import Client
from django.urls import reverse

from dispatch import envelope_changes
from dispatch.event_rules import Invalid, NotAllowed, Stale, WrongMoment
from dispatch.lifecycle import EnvelopeChangeStatus
from dispatch.models import AuditEntry, Change, Envelope, EnvelopeChange
from fleets.models import Feeder, Program, User, Vehicle
from tests.factories import NOW

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]
EVERY_BOUND = {*envelope_changes.ENVELOPE_BOUNDS, *envelope_changes.PROGRAM_BOUNDS}


@pytest.fixture
def olga(make_user: Make) -> User:
    """Return Olga, who may do both, but not both with one proposal."""
    user: User = make_user(
        "olga",
        "dispatch.view_gridevent",
        "dispatch.propose_envelopechange",
        "dispatch.approve_envelopechange",
    )
    return user


@pytest.fixture
def pia(make_user: Make) -> User:
    user: User = make_user(
        "pia", "dispatch.view_gridevent", "dispatch.approve_envelopechange"
    )
    return user


@pytest.fixture
def row(program: Program) -> Envelope:
    return Envelope.objects.create(
        program=program, max_kw=100, max_cars=20, max_kw_per_minute=10
    )


def propose(row: Envelope, olga: User, **values: Any) -> EnvelopeChange:
    return envelope_changes.propose(
        row, values or {"max_kw": 900.0}, proposer=olga, why="more cars", now=NOW
    )


def approve(change: EnvelopeChange, person: User) -> EnvelopeChange:
    return envelope_changes.approve(change, approver=person, why="agreed", now=NOW)


def bounds() -> dict[str, Any]:
    return envelope_changes.bounds_of(Envelope.objects.select_related("program").get())


def test_a_proposal_moves_nothing(row: Envelope, olga: User) -> None:
    before = bounds()

    change = propose(row, olga)

    assert change.status == EnvelopeChangeStatus.PROPOSED
    assert bounds() == before


def test_a_second_person_lets_it_hold(row: Envelope, olga: User, pia: User) -> None:
    before = bounds()

    change = approve(propose(row, olga), pia)

    assert bounds() == before | {"max_kw": 900.0}
    assert (change.status, change.decided_by) == (EnvelopeChangeStatus.APPROVED, pia)


def test_a_programs_restore_rules_are_bounds_too(
    row: Envelope, olga: User, pia: User, program: Program
) -> None:
    wanted = {
        "restore_cap_kw": 50.0,
        "restore_ramp_kw_per_minute": 5.0,
        "pick_up_ramp_kw_per_minute": 2.0,
        "max_holds_per_day": 3,
        "restoring_max_cars": 7,
    }

    approve(propose(row, olga, **wanted), pia)

    program.refresh_from_db()
    assert (program.restore_cap_kw, program.max_holds_per_day) == (50.0, 3)
    assert {name: bounds()[name] for name in wanted} == wanted


def test_a_feeders_restore_rules_are_bounds_too(
    make_feeder: Make, olga: User, pia: User
) -> None:
    row = Envelope.objects.create(
        feeder=make_feeder(), max_kw=100, max_cars=20, max_kw_per_minute=10
    )
    ramped = {"restore_cap_kw": 50.0, "restore_ramp_kw_per_minute": 5.0}

    for wanted in (ramped, {"restore_ramp_kw_per_minute": None}):
        row.refresh_from_db()
        approve(propose(row, olga, **wanted), pia)
        feeder = Feeder.objects.get()
        assert {name: getattr(feeder, name) for name in wanted} == wanted
    assert Feeder.objects.get().restore_cap_kw == 50.0


def test_a_program_cannot_be_without_a_ramp(row: Envelope, olga: User) -> None:
    with pytest.raises(Invalid):
        propose(row, olga, restore_ramp_kw_per_minute=None)


def test_both_are_in_the_trail(row: Envelope, olga: User, pia: User) -> None:
    change = approve(propose(row, olga), pia)

    entries = list(AuditEntry.objects.order_by("id").values("actor", "act", "detail"))
    detail = {
        "change": change.pk, "before": {"max_kw": 100.0}, "after": {"max_kw": 900.0},
    }  # fmt: skip
    assert entries == [
        {"actor": "olga", "act": "propose envelope change", "detail": detail},
        {"actor": "pia", "act": "approve envelope change", "detail": detail},
    ]
    steps = Change.objects.filter(subject="envelope change").order_by("id")
    assert [step.after for step in steps] == ["proposed", "approved"]


def test_nobody_approves_their_own_proposal(row: Envelope, olga: User) -> None:
    change = propose(row, olga)

    with pytest.raises(NotAllowed):
        approve(change, olga)

    assert bounds()["max_kw"] == 100.0


def test_a_new_name_is_the_same_hand(row: Envelope, olga: User) -> None:
    change = propose(row, olga)
    User.objects.filter(pk=olga.pk).update(username="somebody-else")

    with pytest.raises(NotAllowed):
        approve(change, User.objects.get(pk=olga.pk))


def test_the_database_knows_that_two_are_needed(row: Envelope, olga: User) -> None:
    change = propose(row, olga)

    for alone in (olga, None):
        with pytest.raises(IntegrityError), transaction.atomic():
            EnvelopeChange.objects.filter(pk=change.pk).update(
                status=EnvelopeChangeStatus.APPROVED, decided_by=alone
            )


def test_what_was_judged_on_other_bounds_is_overtaken(
    row: Envelope, olga: User, pia: User
) -> None:
    first, second = propose(row, olga), propose(row, olga, max_cars=99)

    approve(first, pia)

    second.refresh_from_db()
    assert second.status == EnvelopeChangeStatus.OVERTAKEN
    with pytest.raises(WrongMoment):
        approve(second, pia)
    assert bounds()["max_cars"] == 20


def test_a_stale_proposal_is_refused(row: Envelope, olga: User, pia: User) -> None:
    change = propose(row, olga)
    Envelope.objects.update(max_kw=50)  # the installation's own hand

    with pytest.raises(Stale):
        approve(change, pia)

    change.refresh_from_db()
    assert change.status == EnvelopeChangeStatus.OVERTAKEN
    assert bounds()["max_kw"] == 50.0


def test_it_is_refused_by_another_or_withdrawn_by_oneself(
    row: Envelope, olga: User, pia: User
) -> None:
    one, two = propose(row, olga), propose(row, olga)
    with pytest.raises(NotAllowed):
        envelope_changes.withdraw(one, proposer=pia, why="mine?", now=NOW)

    envelope_changes.refuse(one, approver=pia, why="too much", now=NOW)
    envelope_changes.withdraw(two, proposer=olga, why="typed wrongly", now=NOW)

    for change in (one, two):
        with pytest.raises(WrongMoment):
            approve(change, pia)
    assert bounds()["max_kw"] == 100.0


@pytest.mark.parametrize(
    "values",
    [
        {"max_kw": 100.0},  # as it is
        {"max_kw": 0.0},
        {"max_kw": float("nan")},
        {"max_kw": float("inf")},
        {"max_kw": None},
        {"max_kw": 1e9},  # watts
        {"max_cars": 1.5},
        {"max_holds_per_day": 25},
        {"holds_stopped_at": 1.0},  # no bound
    ],
)
def test_it_refuses_what_cannot_be_meant(
    row: Envelope, olga: User, values: dict[str, Any]
) -> None:
    with pytest.raises(Invalid):
        propose(row, olga, **values)

    assert not EnvelopeChange.objects.exists()


# --- No other door ---


WRITERS = {"update", "create", "get_or_create", "update_or_create", "bulk_update"}


def written_names(tree: ast.AST) -> set[str]:
    """Return what a module assigns as attributes, or passes to what saves rows."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets):
                names |= {one.attr for one in targets if isinstance(one, ast.Attribute)}
            case ast.AugAssign(target=ast.Attribute(attr=name)):
                names.add(name)
            case ast.Call(func=ast.Attribute(attr=verb), keywords=keywords):
                if verb in WRITERS:
                    names |= {one.arg for one in keywords if one.arg}
            case ast.Dict(keys=keys):  # the defaults of an `update_or_create`
                texts = (one.value for one in keys if isinstance(one, ast.Constant))
                names |= {text for text in texts if isinstance(text, str)}
    return names


def test_no_other_code_writes_a_bound() -> None:
    # Demo, bench, chaos and drills set up installations of their own.
    apart = {"migrations", "demo", "bench", "chaos", "drills"}
    modules = [
        path
        for app in ("fleets", "dispatch", "gridbalance")
        for path in (ROOT / app).rglob("*.py")
        if not apart & set(path.parts)
    ]

    found = {
        str(path.relative_to(ROOT))
        for path in modules
        if written_names(ast.parse(path.read_text(encoding="utf-8"))) & EVERY_BOUND
    }

    # The other makes an envelope that is missing, from the settings.
    assert found == {"dispatch/envelope_changes.py", "dispatch/querysets.py"}


def test_the_back_office_shows_bounds_and_changes_none(
    row: Envelope, program: Program, make_feeder: Make, admin_client: Client
) -> None:
    """Walks every page of the back office that changes something, as a superuser."""
    fed: Feeder = make_feeder()
    Envelope.objects.create(feeder=fed, max_kw=9, max_cars=9, max_kw_per_minute=9)
    before = list(Envelope.objects.order_by("pk").values())
    wider = dict.fromkeys(EVERY_BOUND, "999")

    for model, of in admin.site._registry.items():
        if model not in (Envelope, EnvelopeChange, Program, Feeder):
            continue
        base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        for found in model._default_manager.all():
            change = reverse(f"{base}_change", args=[found.pk])
            page = admin_client.get(change)
            assert page.status_code == 200
            for name in EVERY_BOUND:
                assert f'name="{name}"' not in page.content.decode()
            admin_client.post(change, {**_filled(found), **wider})
            admin_client.post(
                reverse(f"{base}_delete", args=[found.pk]), {"post": "yes"}
            )
        admin_client.post(
            reverse(f"{base}_changelist"),
            {"action": "delete_selected", "post": "yes", "_selected_action": [1, 2]},
        )
        if of.has_add_permission(admin_client.get("/").wsgi_request):
            assert model in (Program, Feeder)

    assert list(Envelope.objects.order_by("pk").values()) == before
    program.refresh_from_db()
    assert (program.restore_cap_kw, program.restore_ramp_kw_per_minute) == (None, 50.0)
    assert (program.pick_up_ramp_kw_per_minute, program.max_holds_per_day) == (20.0, 2)


def _filled(found: Any) -> dict[str, Any]:
    """Return a form's fields as they are, so that a POST would be taken."""
    return {
        field.name: value
        for field in found._meta.fields
        if (value := field.value_from_object(found)) is not None
    }


def test_a_programs_other_rules_can_still_be_changed_there(
    program: Program, admin_client: Client
) -> None:
    """Shows that the walk above would have changed the bounds, were they fields."""
    answer = admin_client.post(
        reverse("admin:fleets_program_change", args=[program.pk]),
        {**_filled(program), "max_event_hours": "3", "restore_ramp_kw_per_minute": "9"},
    )

    assert answer.status_code == 302
    program.refresh_from_db()
    assert (program.max_event_hours, program.restore_ramp_kw_per_minute) == (3.0, 50.0)


def test_how_a_program_gives_back_is_chosen_there(
    program: Program, admin_client: Client
) -> None:
    page = reverse("admin:fleets_program_change", args=[program.pk])

    def save(hours: str) -> int:
        chosen = {"restore_style": "overnight managed", "restore_within_hours": hours}
        return admin_client.post(page, {**_filled(program), **chosen}).status_code

    # A promise to be back before the event is over is none.
    assert (save("0"), save("6")) == (200, 302)
    program.refresh_from_db()
    assert program.restore_style == "overnight managed"
    assert program.restore_within_hours == 6.0


def test_a_bound_does_not_go_with_its_feeder(make_feeder: Make) -> None:
    fed = make_feeder()
    Envelope.objects.of(None, feeder=fed)

    with pytest.raises(ProtectedError):
        fed.delete()


def test_a_car_does_not_slip_out_of_its_feeders_bounds(
    ada: Vehicle, make_feeder: Make, admin_client: Client
) -> None:
    page = reverse("admin:fleets_vehicle_change", args=[ada.pk])
    assert 'name="feeder"' in admin_client.get(page).content.decode()

    Vehicle.objects.filter(pk=ada.pk).update(feeder=make_feeder())

    assert 'name="feeder"' not in admin_client.get(page).content.decode()


def test_a_car_does_not_slip_out_of_its_programs_bounds(
    ada: Vehicle, make_program: Make, admin_client: Client
) -> None:
    consent = ada.enrolments.get()
    page = reverse("admin:fleets_enrolment_change", args=[consent.pk])

    shown = admin_client.get(page).content.decode()
    admin_client.post(page, {**_filled(consent), "program": make_program().pk})

    assert 'name="minimum_charge_percent"' in shown
    assert 'name="program"' not in shown and 'name="vehicle"' not in shown
    before = consent.program_id
    consent.refresh_from_db()
    assert consent.program_id == before


def test_rest_knows_no_bound(admin_client: Client) -> None:
    schema = admin_client.get("/api/schema/").content.decode()

    assert "/api/v1/events" in schema
    assert not [name for name in EVERY_BOUND if name in schema]
    assert "/envelope" not in schema


# --- The page ---


def test_two_people_use_the_page(
    row: Envelope, olga: User, pia: User, client: Client, set_clock: Make
) -> None:
    set_clock(NOW)
    client.force_login(olga)
    asked = {
        name: "" if value is None else str(value) for name, value in bounds().items()
    }
    client.post(
        reverse("propose-bounds", args=[row.pk]),
        {**asked, "max_kw": "900", "restore_cap_kw": "80", "why": "more cars"},
    )
    change = EnvelopeChange.objects.get()
    own = client.post(reverse("approve-bounds", args=[change.pk]), {"why": "me too"})
    assert own.status_code == 302
    assert bounds()["max_kw"] == 100.0

    client.force_login(pia)
    page = client.get(reverse("approve-bounds", args=[change.pk])).content.decode()
    assert "Holding, kW: 100, to be 900" in page
    assert "to be 80" in page
    client.post(reverse("approve-bounds", args=[change.pk]), {"why": "agreed"})

    assert (bounds()["max_kw"], bounds()["restore_cap_kw"]) == (900.0, 80.0)
    shown = client.get(reverse("envelopes")).content.decode()
    assert "approved by pia" in shown


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("propose-bounds", "dispatch.propose_envelopechange"),
        ("approve-bounds", "dispatch.approve_envelopechange"),
        ("refuse-bounds", "dispatch.approve_envelopechange"),
        ("withdraw-bounds", "dispatch.propose_envelopechange"),
    ],
)
def test_each_door_asks_for_its_right(
    row: Envelope, olga: User, client: Client, make_user: Make, name: str, needs: str
) -> None:
    change = propose(row, olga)
    page = reverse(name, args=[row.pk if name == "propose-bounds" else change.pk])
    rights = {
        "dispatch.view_gridevent", "dispatch.operate_gridevent",
        "dispatch.approve_gridevent", "dispatch.change_envelope",
        "dispatch.change_envelopechange", "dispatch.propose_envelopechange",
        "dispatch.approve_envelopechange",
    }  # fmt: skip
    client.force_login(make_user("pat", *rights - {needs}))

    assert client.get(page).status_code == 403
    assert client.post(page, {"why": "let me"}).status_code == 403
    assert EnvelopeChange.objects.get().status == EnvelopeChangeStatus.PROPOSED


def test_a_feeder_gets_its_envelope_from_the_settings(
    olga: User, client: Client, make_feeder: Make, settings: Any
) -> None:
    client.force_login(olga)

    client.post(reverse("make-envelope"), {"feeder": make_feeder().pk})

    made = Envelope.objects.get()
    assert (made.max_kw, made.max_cars) == (
        settings.ENVELOPE_KW,
        settings.ENVELOPE_CARS,
    )
    assert AuditEntry.objects.get().act == "make envelope"
