"""Whether the process lives, and whether it can do its work."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import redis
import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from dispatch.models import LoopTurn
from fleets import clock

log = structlog.get_logger(__name__)

PROBE_SECONDS = 0.5

# Once applied they stay applied while this code runs; asking costs 100 ms.
_seen = {"migrated": False}


class NotReady(Exception):
    """A part that is needed does not do its work; the message says what."""


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Say that the process answers; nothing else is touched."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Say of each part whether it works: 200 when all do, 503 otherwise.

    The age of the last tick is told but not judged: a web process is ready to take
    signals while the workers restart.
    """
    parts: dict[str, str] = {}
    for name, probe in PROBES.items():
        try:
            parts[name] = probe()
        except (DatabaseError, NotReady) as error:
            parts[name] = f"failed: {error}".strip()[:200]
            log.warning("not_ready", part=name, error=str(error))
    ready = not any(text.startswith("failed") for text in parts.values())
    body = {
        "status": "ready" if ready else "not ready",
        "parts": parts,
        "last_tick_age_seconds": last_tick_age_seconds(),
    }
    return JsonResponse(body, status=200 if ready else 503)


def last_tick_at() -> datetime | None:
    """Return when the control loop last finished a turn, in real time, if known."""
    return LoopTurn.objects.values_list("real_at", flat=True).first()


def last_tick_age_seconds() -> float | None:
    """Return the real age of the last tick, or None when it is not known."""
    try:
        at = last_tick_at()
    except DatabaseError:
        return None
    return None if at is None else (clock.real_now() - at).total_seconds()


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("select 1")
    return "ok"


def _migrations() -> str:
    if not _seen["migrated"]:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if missing:
            raise NotReady(f"{len(missing)} migrations are not applied")
        _seen["migrated"] = True
    return "ok"


def _broker() -> str:
    client = redis.Redis.from_url(
        settings.CELERY_BROKER_URL,
        socket_connect_timeout=PROBE_SECONDS,
        socket_timeout=PROBE_SECONDS,
    )
    try:
        client.ping()
    except redis.RedisError as error:
        raise NotReady(f"the broker does not answer ({error})") from None
    finally:
        client.close()
    return "ok"


def _clock() -> str:
    timeline = clock.read()
    shown = timeline.at(clock.real_now()).isoformat(timespec="seconds")
    if timeline.speed == 0:
        return f"paused at {shown}"
    pace = "" if timeline.speed == 1 else f" at {timeline.speed:g} x"
    return f"{shown}{pace}"


PROBES: dict[str, Callable[[], str]] = {
    "database": _database,
    "migrations": _migrations,
    "broker": _broker,
    "clock": _clock,
}
