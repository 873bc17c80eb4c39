"""Senders, and cars with a command that is due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from dispatch import claims
from dispatch.jobs import Job
from dispatch.models import Command, GridEvent, Hold, Participation, Sender
from fleets.models import Bucket, Program, Vehicle, VehicleBucket
from tests.factories import HOUR, NOW

MONTH = NOW.date().replace(day=1)


def make_sender() -> Sender:
    return Sender.objects.create(
        id=uuid4(), host="here", pid=1, started_at=NOW, heartbeat_at=NOW
    )


def claim(
    sender: Sender | None = None, *, room: int = 100, **later: float
) -> list[Job]:
    """Claim what is due some time after NOW."""
    now = NOW + timedelta(**later)
    return claims.claim(sender or make_sender(), claims.due(now), room=room, now=now)


@pytest.fixture
def application(db: None) -> Bucket:
    """Return the provider's bucket: full, a fifth of it kept for restores."""
    return Bucket.objects.create(
        name="application",
        capacity=120,
        refill_per_minute=2,
        tokens=120,
        refilled_at=NOW,
    )


@pytest.fixture
def make_due(
    program: Program, make_enrolment: Callable[..., Any]
) -> Callable[..., Command]:
    """Return a maker of cars with a stop, or a restore, that is due now."""

    def make(
        event: GridEvent,
        *,
        is_restore: bool = False,
        latest_start_at: datetime | None = None,
        vehicle: dict[str, Any] | None = None,
        bucket: dict[str, Any] | None = None,
        **values: Any,
    ) -> Command:
        car: Vehicle = make_enrolment(event.program).vehicle
        if vehicle:
            Vehicle.objects.filter(pk=car.pk).update(**vehicle)
        VehicleBucket.objects.create(
            vehicle=car,
            **{"tokens": 6, "refilled_at": NOW, "month": MONTH, **(bucket or {})},
        )
        hold = Hold.objects.create(
            vehicle=car,
            event=event,
            status="restoring" if is_restore else "taking",
            tactic="stop",
            was_charging=True,
            power_kw=7.0,
            state_observed_at=NOW,
            latest_start_at=latest_start_at,
            reason="target",
            opened_at=NOW,
        )
        Participation.objects.create(
            event=event,
            vehicle=car,
            hold=hold,
            status="claimed",
            reason="target",
            judged_at=NOW,
        )
        command: dict[str, Any] = {
            "kind": "start" if is_restore else "stop",
            "is_restore": is_restore,
            "event_version": event.version,
            "created_at": NOW,
            "due_at": NOW,
            "latest_start_at": latest_start_at if is_restore else None,
            "deadline_at": None if is_restore else NOW + HOUR,
        }
        return Command.objects.create(
            vehicle=car, hold=hold, event=event, **{**command, **values}
        )

    return make
