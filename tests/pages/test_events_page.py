"""The pages of events in a browser: phone and desk, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dispatch import policies
from dispatch.models import GridEvent
from fleets.models import Program
from tests.factories import HOUR, NOW, plan
from tests.pages.conftest import Site

Make = Callable[..., Any]


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
    wide = "document.documentElement.scrollWidth <= window.innerWidth"

    page.goto(f"{site.address}/events/")
    assert page.evaluate(wide)
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
    assert page.evaluate(wide)
    assert GridEvent.objects.count() == 2
    assert window.complaints == []
