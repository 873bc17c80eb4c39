"""What watches us: health, readiness, metrics."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from dispatch.api import health, metrics
from dispatch.models import Alarm, GridEvent, LoopTurn
from fleets import clock
from fleets.models import Bucket
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


@pytest.mark.django_db
def test_metrics_are_counted_from_rows(
    client: Client, make_event: Callable[..., GridEvent]
) -> None:
    make_event(status="active")
    Bucket.objects.create(
        name="application",
        capacity=120,
        refill_per_minute=2,
        tokens=17,
        refilled_at=NOW,
    )
    Alarm.objects.create(key="x", severity="critical", text="x", raised_at=NOW)

    text = client.get("/metrics").content.decode()

    for line in (
        "gridbalance_database_up 1.0",
        'gridbalance_events_running{status="active"} 1.0',
        'gridbalance_events_running{status="restoring"} 0.0',
        'gridbalance_holds_open{status="held"} 0.0',
        'gridbalance_commands_open{status="queued"} 0.0',
        'gridbalance_bucket_tokens{bucket="application"} 17.0',
        'gridbalance_alarms_open{severity="critical"} 1.0',
        'gridbalance_webhooks_waiting{inbox="provider"} 0.0',
    ):
        assert line in text.splitlines()


def test_metrics_survive_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(metrics, "_families", fail)

    (up,) = metrics.RowsCollector().collect()

    assert up.samples[0].value == 0.0
