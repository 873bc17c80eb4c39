"""The live page in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from dispatch import live
from dispatch.lifecycle import EventStatus
from dispatch.live import relay
from dispatch.models import GridEvent, LoadSample
from fleets import clock
from fleets.models import User
from tests.pages.conftest import Site, Window

Make = Callable[..., Any]
HOUR = timedelta(hours=1)
WAIT_MS = 10_000

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def operator(transactional_db: None, make_user: Make) -> User:
    user: User = make_user(
        "operator", "dispatch.view_gridevent", "dispatch.operate_gridevent"
    )
    return user


@pytest.fixture
def event(transactional_db: None, program: Any, make_event: Make) -> GridEvent:
    now = clock.now()
    made: GridEvent = make_event(
        program,
        status=EventStatus.ACTIVE,
        starts_at=now - HOUR,
        ends_at=now + HOUR,
        target_kw=100.0,
    )
    return made


def sample(event: GridEvent, confirmed_kw: float) -> None:
    LoadSample.objects.create(
        event=event,
        at=clock.now(),
        charging_kw=0.0,
        confirmed_kw=confirmed_kw,
        unconfirmed_kw=3.0,
        blind_kw=1.0,
        target_kw=100.0,
    )


def wait_for_stream(page: Page) -> None:
    """Return when the page listens: what is published before that is drawn late."""
    for _ in range(WAIT_MS // 50):
        if relay.is_watched():
            return
        page.wait_for_timeout(50)
    raise AssertionError("the page does not listen")


def test_it_paints_updates_and_says_when_it_is_deaf(
    site: Site,
    open_window: Callable[..., Window],
    operator: User,
    event: GridEvent,
) -> None:
    sample(event, 40.0)
    window = open_window(operator, viewport={"width": 1440, "height": 900})
    page = window.page
    lead = page.locator("#part-figures .lead")
    lost = page.locator(".lost")
    stop = page.get_by_role("button", name="Stop new holds")

    # It paints.
    expect(lead).to_contain_text("40.0")
    expect(page.locator("#part-strips")).to_contain_text("Evening peak")
    expect(lost).to_be_hidden()
    expect(stop).to_be_enabled()
    wait_for_stream(page)

    # It follows what is published, on one screen.
    sample(event, 87.5)
    live.publish(clock.now())
    expect(lead).to_contain_text("87.5", timeout=WAIT_MS)
    height = page.evaluate("document.documentElement.scrollHeight")
    assert height == 900

    # Buttons follow what can be done.
    GridEvent.objects.update(status=EventStatus.RESTORING)
    live.publish(clock.now())
    end = page.get_by_role("button", name="End early")
    expect(end).to_have_count(0, timeout=WAIT_MS)
    assert window.complaints == []

    # The web process dies: twenty seconds later it says so.
    site.stop()
    page.clock.fast_forward("00:20")
    expect(lost).to_be_visible(timeout=WAIT_MS)
    expect(lost).to_contain_text("Values are of")
    expect(stop).to_be_disabled()
    assert page.evaluate("document.documentElement.hasAttribute('data-lost')")

    # It comes back, and all is well again by itself.
    site.start()
    for _ in range(20):
        page.clock.fast_forward("00:05")
        if not lost.is_visible():
            break
        page.wait_for_timeout(250)
    expect(lost).to_be_hidden(timeout=WAIT_MS)
    expect(stop).to_be_enabled()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (768, "light")])
def test_it_fits_a_small_screen(
    open_window: Callable[..., Window],
    operator: User,
    event: GridEvent,
    width: int,
    scheme: str,
) -> None:
    sample(event, 40.0)

    window = open_window(
        operator, viewport={"width": width, "height": 844}, color_scheme=scheme
    )

    assert window.page.evaluate("document.documentElement.scrollWidth") == width
    assert window.complaints == []


def test_an_operator_ends_an_event_by_keyboard(
    open_window: Callable[..., Window], operator: User, event: GridEvent
) -> None:
    page = open_window(operator).page

    page.get_by_role("button", name="End early").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Why").fill("the line is back")
    page.keyboard.press("Enter")

    expect(page.get_by_role("status")).to_contain_text("ends now")
    event.refresh_from_db()
    assert event.status == EventStatus.RESTORING
