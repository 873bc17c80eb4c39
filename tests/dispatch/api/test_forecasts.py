"""Forecasts over REST: read, filtered, with their scores, and never written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from fleets.models import User
from tests.dispatch.api.conftest import GridSystem
from tests.factories import HOUR, NOW

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]
FORECASTS = "/api/v1/forecasts"


def test_a_grid_system_reads_what_was_issued_and_what_became_of_it(
    grid: GridSystem, make_forecast: Make, make_score: Make
) -> None:
    forecast = make_forecast()
    make_score(forecast)

    (shown,) = grid.get(FORECASTS).json()["results"]

    assert (shown["program"], shown["feeder"]) == ("evening-peak", None)
    assert (shown["issued_at"], shown["step_seconds"]) == ("2026-01-12T17:00:00Z", 900)
    assert shown["median"][:3] == [3.0, None, 3.0]
    assert len(shown["high_90"]) == 96
    assert shown["score"]["within_90"] == 88
    assert shown["score"]["persistence_loss"] == 20.0


def test_one_that_is_not_scored_yet_says_so(
    grid: GridSystem, make_forecast: Make
) -> None:
    make_forecast()

    assert grid.get(FORECASTS).json()["results"][0]["score"] is None


def test_the_newest_come_first_and_filters_narrow(
    grid: GridSystem, make_forecast: Make, make_feeder: Make
) -> None:
    old, new = make_forecast(issued_at=NOW - HOUR), make_forecast()
    cars = make_forecast(measure="charging", issued_at=NOW - 2 * HOUR)
    feeder = make_forecast(feeder=make_feeder("N1"), issued_at=NOW - 3 * HOUR)

    def ids(**query: str) -> list[int]:
        return [one["id"] for one in grid.get(FORECASTS, **query).json()["results"]]

    assert ids() == [new.pk, old.pk, cars.pk, feeder.pk]
    assert ids(program="evening-peak", measure="load_kw") == [new.pk, old.pk]
    assert ids(feeder="N1") == [feeder.pk]
    assert ids(issued_before="2026-01-12T17:00:00Z", measure="load_kw") == [
        old.pk, feeder.pk,
    ]  # fmt: skip


def test_a_page_of_them_costs_one_query(
    grid: GridSystem, make_forecast: Make, django_assert_max_num_queries: Make
) -> None:
    for hours in range(10):
        make_forecast(issued_at=NOW - hours * HOUR)
    grid.get(FORECASTS)

    # The token, its client and its user, and the page.
    with django_assert_max_num_queries(5):
        answer = grid.get(FORECASTS)

    assert len(answer.json()["results"]) == 8
    assert answer.json()["next"]


def test_nobody_writes_them(grid: GridSystem) -> None:
    assert grid.post({}, FORECASTS).status_code in {403, 405}


def test_who_may_not_view_events_may_not_view_them(
    client: Client, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("nosy"))

    assert client.get(FORECASTS).status_code == 403


def test_olga_reads_them_and_finds_them_in_the_back_office(
    client: Client,
    make_user: Callable[..., User],
    make_forecast: Make,
    make_score: Make,
) -> None:
    forecast = make_forecast()
    make_score(forecast)
    client.force_login(
        make_user("olga", "dispatch.view_gridevent", is_staff=True, is_superuser=True)
    )

    assert client.get(FORECASTS).status_code == 200
    for page in ("forecast", "forecastscore"):
        assert client.get(f"/admin/dispatch/{page}/").status_code == 200
    changed = client.post(f"/admin/dispatch/forecast/{forecast.pk}/change/", {})
    assert changed.status_code == 403
