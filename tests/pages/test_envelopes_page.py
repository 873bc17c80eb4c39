"""The envelopes' page in a browser: phone and desk, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dispatch import area_hold_offs, envelope_changes
from dispatch.lifecycle import AreaKind
from dispatch.models import Envelope
from fleets.models import Program, User
from tests.factories import NOW
from tests.pages.conftest import Site

Make = Callable[..., Any]


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_it_fits_every_window_and_nothing_is_blocked(
    program: Program,
    make_user: Make,
    make_feeder: Make,
    open_window: Make,
    site: Site,
    width: int,
    scheme: str,
) -> None:
    olga: User = make_user(
        "olga",
        "dispatch.view_gridevent",
        "dispatch.operate_gridevent",
        "dispatch.propose_envelopechange",
    )
    pia: User = make_user(
        "pia", "dispatch.view_gridevent", "dispatch.approve_envelopechange"
    )
    of = {"max_kw": 5000, "max_cars": 1000, "max_kw_per_minute": 500}
    Envelope.objects.create(**of)
    Envelope.objects.create(feeder=make_feeder("N1"), **of)
    row = Envelope.objects.create(program=program, **of)
    for wanted in ({"max_kw": 9000.0}, {"restore_cap_kw": 400.0, "max_cars": 1500}):
        change = envelope_changes.propose(
            row, wanted, proposer=olga, why="two hundred cars more", now=NOW
        )
        if "max_kw" in wanted:
            envelope_changes.approve(change, approver=pia, why="agreed", now=NOW)
    area_hold_offs.declare(
        kind=AreaKind.STORM, program=None, feeders=[make_feeder("S1")], substations=[],
        starts_at=None, ends_at=None, reason="gusts", actor="olga", now=NOW,
    )  # fmt: skip
    window = open_window(
        olga, viewport={"width": width, "height": 900}, color_scheme=scheme
    )
    page = window.page

    for path in ("envelopes/", f"envelopes/{row.pk}/propose", "areas/hold-off"):
        page.goto(f"{site.address}/{path}")
        wide = "document.documentElement.scrollWidth <= window.innerWidth"
        assert page.evaluate(wide), path
    page.goto(f"{site.address}/envelopes/")
    assert page.get_by_text("waits for a second person").is_visible()
    assert page.get_by_role("link", name="Withdraw").is_visible()
    assert page.get_by_role("link", name="Look at it and approve").count() == 0

    assert window.complaints == []
