"""A grid system that speaks REST."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from django.test import Client
from oauth2_provider.models import get_access_token_model

from dispatch.models import Forecast, ForecastScore, GridClient
from fleets import clock
from fleets.models import Program
from tests.factories import NOW

EVENTS = "/api/v1/events"


@dataclass
class GridSystem:
    """Sends requests with a token, and a new key for each POST unless told."""

    client: GridClient
    token: str
    http: Client = field(default_factory=lambda: Client(raise_request_exception=False))
    _keys: count[int] = field(default_factory=lambda: count(1))

    def get(self, path: str = EVENTS, **query: Any) -> Any:
        return self.http.get(path, query, headers=self._headers({}))

    def post(
        self, body: Any, path: str = EVENTS, *, key: str | None = "new", **extra: Any
    ) -> Any:
        """Send a POST; a key of None sends none."""
        headers = {}
        if key is not None:
            headers["Idempotency-Key"] = (
                f"key-{next(self._keys)}" if key == "new" else key
            )
        return self.http.post(
            path,
            body,
            content_type=extra.pop("content_type", "application/json"),
            headers=self._headers({**headers, **extra}),
        )

    def patch(self, event_id: int, body: Any, **headers: str) -> Any:
        return self.http.patch(
            f"{EVENTS}/{event_id}",
            body,
            content_type="application/json",
            headers=self._headers(headers),
        )

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", **more}


@pytest.fixture
def make_grid_system(
    make_client: Callable[..., GridClient], set_clock: Callable[..., None]
) -> Callable[..., GridSystem]:
    """Return a maker of grid systems with a token; the clock stands at NOW."""

    def make(scope: str = "events:read events:write") -> GridSystem:
        set_clock(NOW)
        client = make_client()
        token = f"token-{client.pk}"
        get_access_token_model().objects.create(
            application=client,
            token=token,
            scope=scope,
            # The library keeps real time.
            expires=clock.real_now() + timedelta(hours=1),
        )
        return GridSystem(client, token)

    return make


@pytest.fixture
def grid(make_grid_system: Callable[..., GridSystem]) -> GridSystem:
    return make_grid_system()


@pytest.fixture
def wanted(program: Program) -> dict[str, Any]:
    """Return the body of a request for an event that starts in an hour."""
    return {
        "program": program.code,
        "kind": "economic",
        "priority": 1,
        "starts_at": "2026-01-12T19:00:00+01:00",
        "ends_at": "2026-01-12T21:00:00+01:00",
        "target_kw": 100,
        "feeders": [],
        "vehicles": [],
        "reason": "cold evening",
    }


@pytest.fixture
def make_forecast(program: Program) -> Callable[..., Forecast]:
    def make(**values: Any) -> Forecast:
        bounds = {
            name: [kw, None, *[kw] * 94]
            for name, kw in (
                ("low_90", 1.0), ("low_50", 2.0), ("median", 3.0), ("high_50", 4.0),
                ("high_90", 5.0),
            )
        }  # fmt: skip
        about = {} if "feeder" in values else {"program": program}
        return Forecast.objects.create(
            **{
                "measure": "load_kw", "issued_at": NOW, "cars": 9, **about, **bounds,
                **values,
            }
        )  # fmt: skip

    return make


@pytest.fixture
def make_score() -> Callable[..., ForecastScore]:
    def make(forecast: Forecast, **values: Any) -> ForecastScore:
        score = {
            "scored_at": NOW + timedelta(hours=25), "quarters": 95, "within_50": 50,
            "within_90": 88, "compared": 95, "loss": 12.5, "persistence_loss": 20.0,
        }  # fmt: skip
        return ForecastScore.objects.create(forecast=forecast, **{**score, **values})

    return make
