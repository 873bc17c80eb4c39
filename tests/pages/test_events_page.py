"""The pages of events in a browser: phone and desk, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from playwright.sync_api import expect

from dispatch import policies
from dispatch.lifecycle import EventKind, EventStatus
from dispatch.models import AuditEntry, GridEvent
from fleets.models import Bucket, Program, Vehicle, VehicleBucket
from tests.dispatch.senders import MONTH
from tests.factories import HOUR, NOW, bound, plan
from tests.pages.conftest import Site

Make = Callable[..., Any]
FITS = "document.documentElement.scrollWidth <= window.innerWidth"


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_an_operator_writes_an_event_and_sees_what_is_wrong_with_another(
    program: Program,
    make_user: Make,
    make_group: Make,
    open_window: Make,
    site: Site,
    width: int,
    scheme: str,
) -> None:
    olga = make_user("olga", "dispatch.view_gridevent", "dispatch.operate_gridevent")
    make_group(code="pilot")
    plan(program, starts_at=NOW + HOUR, target_kw=40.0)
    window = open_window(
        olga, viewport={"width": width, "height": 900}, color_scheme=scheme
    )
    page = window.page

    page.goto(f"{site.address}/events/")
    assert page.evaluate(FITS)
    page.get_by_role("link", name="New event of Evening peak").click()
    page.get_by_label("Starts").fill("2027-01-12T19:00")
    page.get_by_label("Ends").fill("2027-01-12T21:00")
    page.get_by_label("Why").fill("cold evening")
    page.get_by_role("button", name="Write it").click()
    policies.lay_down(program)
    page.goto(f"{site.address}/programs/{program.pk}/events/new")
    page.get_by_label("Starts").fill("2020-01-12T19:00")
    page.get_by_label("Ends").fill("2020-01-12T21:00")
    page.get_by_label("Why").fill("cold evening")
    page.get_by_role("button", name="Write it").click()

    assert page.get_by_text("The event is over").is_visible()
    assert page.evaluate(FITS)
    assert GridEvent.objects.count() == 2
    assert window.complaints == []


@pytest.fixture
def garage(program: Program, make_enrolment: Make, set_clock: Make) -> Program:
    """Return a program of 60 charging cars at home, whose envelope allows 50 kW."""
    set_clock(NOW)
    program.restore_cap_kw = 300.0
    program.save()
    Bucket.objects.create(
        name="application", capacity=120, refill_per_minute=2, tokens=120,
        refilled_at=NOW,
    )  # fmt: skip
    for _ in range(60):
        car = make_enrolment(program).vehicle
        VehicleBucket.objects.create(
            vehicle=car, tokens=6, refilled_at=NOW, month=MONTH
        )
    Vehicle.objects.update(battery_kwh=20.0)
    with transaction.atomic():
        bound(program, max_kw=50.0)
    return program


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_an_event_is_drafted_previewed_with_a_cap_chosen_and_approved(
    garage: Program, make_user: Make, open_window: Make, site: Site,
    width: int, scheme: str,
) -> None:  # fmt: skip
    window = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    olga = make_user("olga", "dispatch.view_gridevent", "dispatch.operate_gridevent")
    pia = make_user("pia", "dispatch.approve_gridevent")

    # Olga drafts it: too large for one person.
    hers = open_window(olga, **window)
    page = hers.page
    page.goto(f"{site.address}/programs/{garage.pk}/events/new")
    page.get_by_label("Starts").fill("2026-01-12T18:00")
    page.get_by_label("Ends").fill("2026-01-12T20:00")
    page.get_by_label("Target").fill("200")
    page.get_by_label("Why").fill("hottest day")
    page.get_by_role("button", name="Write it").click()
    expect(page.get_by_role("status")).to_contain_text("Larger than its envelope")
    assert page.get_by_role("link", name="Look at it and approve").count() == 0

    # She sees what it would bring, and what each cap would cost, on one screen's width.
    page.get_by_role("link", name="Preview").click()
    assert page.evaluate(FITS)
    expect(page.get_by_label("What it would bring")).to_contain_text("of 60 cars")
    caps = page.get_by_role("region", name="What a restore cap would cost")
    expect(caps).to_contain_text("The program's cap is 300.0 kW")
    offers = caps.get_by_role("link", name="Choose")
    assert offers.count() == 5
    words = offers.nth(0).text_content() or ""
    lowest = int("".join(filter(str.isdigit, words)))
    assert 0 < lowest < 420

    # She chooses the lowest.
    offers.nth(0).click()
    assert page.evaluate(FITS)
    cap = page.get_by_label("Restore cap")
    assert cap.input_value() == str(lowest)
    # What is refused keeps its reason.
    cap.fill("-1")
    page.get_by_label("Why").fill("spare the peak")
    page.get_by_role("button", name="Choose this cap").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was written")
    assert page.get_by_label("Why").input_value() == "spare the peak"
    assert GridEvent.objects.get().cap_kw is None
    page.get_by_label("Restore cap").fill(str(lowest))
    page.get_by_role("button", name="Choose this cap").click()
    expect(page.get_by_role("status")).to_contain_text("once it is over")
    event = GridEvent.objects.get()
    assert (event.cap_kw, event.cap_by) == (lowest, "olga")

    # Pia, who only approves, looks at the same preview and agrees.
    other = open_window(pia, **window)
    page = other.page
    page.goto(f"{site.address}/events/")
    page.get_by_role("link", name="Look at it and approve").click()
    page.get_by_role("link", name="Preview").click()
    assert page.get_by_text(f"{lowest}.0 kW are chosen by olga").is_visible()
    page.get_by_role("link", name="Look at it and approve").click()
    page.get_by_label("Why").fill("agreed")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("is scheduled")
    assert GridEvent.objects.get().status == EventStatus.SCHEDULED
    assert hers.complaints == other.complaints == []


def test_a_form_that_is_refused_says_so_on_top_and_keeps_what_was_filled_in(
    garage: Program, make_user: Make, make_feeder: Make, open_window: Make, site: Site
) -> None:
    olga = make_user("olga", "dispatch.view_gridevent", "dispatch.operate_gridevent")
    feeder = make_feeder("N1")
    page = open_window(olga, viewport={"width": 390, "height": 900}).page
    page.goto(f"{site.address}/programs/{garage.pk}/events/new")
    page.get_by_label("Starts").fill("2026-01-12T18:00")
    page.get_by_label("Ends").fill("2026-01-12T17:30")
    page.get_by_label("Target").fill("-5")
    page.get_by_label("Feeders").select_option(str(feeder.pk))
    page.get_by_label("Feeders").focus()
    # The reason comes last: whoever presses Enter in it has seen all the rest.
    page.keyboard.press("Tab")  # customer groups
    page.keyboard.press("Tab")  # priority
    page.keyboard.press("Tab")
    page.keyboard.type("cold evening")
    page.keyboard.press("Enter")

    expect(page.get_by_role("alert")).to_contain_text("Nothing was written")
    assert page.get_by_role("alert").is_visible()
    assert page.get_by_label("Target").input_value() == "-5"
    assert page.get_by_label("Starts").input_value() == "2026-01-12T18:00"
    assert page.get_by_label("Why").input_value() == "cold evening"
    assert page.get_by_label("Feeders").input_value() == str(feeder.pk)
    assert page.get_by_label("Ends").get_attribute("aria-invalid") == "true"
    assert not GridEvent.objects.exists()


def test_a_preview_of_nobody_says_so_instead_of_zeros(
    program: Program, make_user: Make, open_window: Make, site: Site, set_clock: Make
) -> None:
    set_clock(NOW)
    viewer = make_user("vera", "dispatch.view_gridevent")
    event = plan(program, starts_at=NOW + HOUR)
    page = open_window(viewer, viewport={"width": 900, "height": 900}).page

    page.goto(f"{site.address}/events/{event.pk}/preview")

    assert page.get_by_text("No car has told its state").is_visible()
    assert page.get_by_text("it aims at no car that takes part").is_visible()
    assert page.get_by_text("nothing would be owed").is_visible()
    assert page.get_by_text("0 kW").count() == 0
    assert page.get_by_role("link", name="Amend").count() == 0


def test_the_list_shows_what_restores_and_lets_nobody_amend_it(
    program: Program, make_user: Make, make_event: Make, open_window: Make, site: Site,
    set_clock: Make,
) -> None:  # fmt: skip
    set_clock(NOW)
    olga = make_user("olga", "dispatch.view_gridevent", "dispatch.operate_gridevent")
    over = make_event(
        program, status=EventStatus.RESTORING, starts_at=NOW - HOUR,
        ends_at=NOW - timedelta(minutes=5), restoring_at=NOW,
    )  # fmt: skip
    coming = plan(program, starts_at=NOW + HOUR, kind=EventKind.EMERGENCY)
    page = open_window(olga, viewport={"width": 1440, "height": 900}).page
    page.goto(f"{site.address}/events/")
    restoring = page.get_by_role("region", name=f"Event {over.pk}")
    expect(restoring).to_contain_text("restoring")
    assert restoring.get_by_role("link").all_text_contents() == [
        f"Choose a restore cap for event {over.pk}"
    ]

    page.get_by_role("link", name=f"Call off event {coming.pk}").click()
    page.get_by_label("Why").fill("the wind is back")
    page.get_by_role("button", name="Call it off").click()

    expect(page.get_by_role("status")).to_contain_text("is called off")
    coming.refresh_from_db()
    assert coming.status == EventStatus.CANCELLED
    assert AuditEntry.objects.get(act="cancel").why == "the wind is back"
