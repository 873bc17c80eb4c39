"""What watches us: health and readiness."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from dispatch.api import health
from dispatch.models import LoopTurn
from fleets import clock
from tests.factories import NOW


def test_a_living_process_says_so_without_a_database(client: Client) -> None:
    response = client.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_it_is_ready_when_every_part_is(client: Client) -> None:
    LoopTurn.objects.create(
        at=NOW, real_at=clock.real_now() - timedelta(seconds=3), took_ms=1
    )

    response = client.get("/readyz")

    body = response.json()
    assert response.status_code == 200, body
    assert body["parts"]["database"] == body["parts"]["broker"] == "ok"
    assert 3 <= body["last_tick_age_seconds"] < 60


@pytest.mark.django_db
def test_it_says_which_part_fails(client: Client, settings: Any) -> None:
    # Nobody listens on this port.
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:9/0"

    response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json()["parts"]["broker"].startswith("failed: the broker")
    assert response.json()["parts"]["database"] == "ok"


@pytest.mark.django_db
def test_it_is_not_ready_before_its_migrations(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(health._seen, "migrated", False)
    monkeypatch.setattr(
        "dispatch.api.health.MigrationExecutor.migration_plan", lambda *_: [1, 2]
    )

    response = client.get("/readyz")

    assert response.json()["parts"]["migrations"] == (
        "failed: 2 migrations are not applied"
    )
