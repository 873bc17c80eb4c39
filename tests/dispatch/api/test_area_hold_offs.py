"""Area hold-offs over REST: declared, listed, lifted, refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dispatch.models import AreaHoldOff, AuditEntry, GridSignal
from tests.dispatch.api.conftest import GridSystem
from tests.factories import HOUR, NOW

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]
AREAS = "/api/v1/area-hold-offs"


def test_a_grid_system_declares_and_lifts(grid: GridSystem, make_feeder: Make) -> None:
    make_feeder("N1")
    asked = {
        "kind": "storm", "feeders": ["N1"], "reason": "gusts",
        "ends_at": (NOW + 2 * HOUR).isoformat(),
    }  # fmt: skip

    answer = grid.post(asked, AREAS)

    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert (body["kind"], body["feeders"], body["everywhere"]) == (
        "storm", ["N1"], False,
    )  # fmt: skip
    assert [one["id"] for one in grid.get(AREAS).json()] == [body["id"]]

    lifted = grid.post({"reason": "calm"}, f"{AREAS}/{body['id']}/lift")

    assert lifted.status_code == 200
    assert lifted.json()["lifted_by"].startswith("client:")
    assert grid.get(AREAS).json() == []
    assert [entry.why for entry in AuditEntry.objects.order_by("id")] == [
        "gusts", "calm",
    ]  # fmt: skip
    assert GridSignal.objects.count() == 2


def test_a_repetition_declares_once(grid: GridSystem) -> None:
    asked = {"kind": "outage", "everywhere": True, "reason": "line down"}

    first, again = (grid.post(asked, AREAS, key="storm-1") for _ in range(2))

    assert first.json() == again.json()
    assert AreaHoldOff.objects.count() == 1


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        # nothing named may be an oversight
        ({}, "everywhere"),
        ({"everywhere": True, "feeders": ["N1"]}, "everywhere"),
        ({"feeders": ["N9"]}, "feeders"),
        ({"substations": ["north", "south"]}, "substations"),
        ({"everywhere": True, "program": "none"}, "program"),
        ({"everywhere": True, "kind": "hail"}, "kind"),
        ({"everywhere": True, "ends_at": NOW.isoformat()}, "ends_at"),
        ({"everywhere": True, "reason": ""}, "reason"),
    ],
)
def test_it_names_what_is_wrong(
    grid: GridSystem, make_feeder: Make, wrong: dict[str, Any], field: str
) -> None:
    make_feeder("N1")

    answer = grid.post({"kind": "storm", "reason": "gusts", **wrong}, AREAS)

    assert answer.status_code == 400
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert not AreaHoldOff.objects.exists()


def test_a_machine_that_may_only_read_declares_nothing(
    make_grid_system: Make,
) -> None:
    reader = make_grid_system("events:read")
    asked = {"kind": "storm", "everywhere": True, "reason": "gusts"}

    assert reader.post(asked, AREAS).status_code == 403
    assert reader.post({}, f"{AREAS}/1/lift").status_code == 403
    assert reader.get(AREAS).json() == []


def test_what_does_not_exist_is_not_lifted(grid: GridSystem) -> None:
    assert grid.post({}, f"{AREAS}/17/lift").status_code == 404
