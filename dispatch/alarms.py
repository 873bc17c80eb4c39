"""What a person must look at: raised once per key, cleared when it is over."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import structlog
from django.db import connection

from dispatch.models import Alarm, GridEvent

log = structlog.get_logger(__name__)

SHORT = ":short"


def raise_alarm(
    key: str,
    text: str,
    *,
    now: datetime,
    severity: str = Alarm.Severity.CRITICAL,
    event: GridEvent | None = None,
) -> None:
    """Raise an alarm, unless one with this key is open already."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            insert into dispatch_alarm (key, severity, text, event_id, raised_at)
            values (%s, %s, %s, %s, %s)
            on conflict (key) where cleared_at is null do nothing
            """,
            [key[:100], severity, text[:300], event.pk if event else None, now],
        )
        is_new = cursor.rowcount == 1
    if is_new:
        # Not its text, which names the car.
        log.warning(
            "alarm_raised", key=key, severity=str(severity), **_subject(key, event)
        )


def clear(keys: Iterable[str], *, now: datetime) -> None:
    """Close the open alarms with these keys."""
    Alarm.objects.filter(key__in=list(keys), cleared_at=None).update(cleared_at=now)


def _subject(key: str, event: GridEvent | None) -> dict[str, int]:
    subject, _, rest = key.partition(":")
    number = rest.partition(":")[0]
    found = {"event_id": event.pk} if event else {}
    if subject == "hold" and number.isdecimal():
        found["hold_id"] = int(number)
    return found


def unresolved_key(hold_id: int) -> str:
    """Return the key of the alarm about a car that could not be given back."""
    return f"hold:{hold_id}:unresolved"


def refused_key(hold_id: int) -> str:
    """Return the key of the alarm about a restore that the provider refuses."""
    return f"hold:{hold_id}:refused"


def late_key(hold_id: int) -> str:
    """Return the key of the alarm about a car not given back by its latest start."""
    return f"hold:{hold_id}:late"


def away_key(hold_id: int) -> str:
    """Return the key of the alarm about a limit that waits for its car."""
    return f"hold:{hold_id}:away"


def turn_key(program_id: int) -> str:
    """Return the key of the alarm about a program whose turns fail."""
    return f"program:{program_id}:turn"


def window_key(window_id: int) -> str:
    """Return the key of the alarm about a recurring window that fails."""
    return f"window:{window_id}"


def cap_key(event_id: int) -> str:
    """Return the key of the alarm about cars that went back over a restore cap."""
    return f"event:{event_id}:cap"


def ramp_key(event_id: int) -> str:
    """Return the key of the alarm about cars that went back faster than a ramp."""
    return f"event:{event_id}:ramp"


def target_key(event_id: int) -> str:
    """Return the key of the alarm about a target that cannot be met."""
    return f"event:{event_id}:target"


def of_event(event_id: int) -> list[str]:
    """Return every key that an event may have an alarm under."""
    return [cap_key(event_id), ramp_key(event_id), target_key(event_id)]


def short_key(hold_id: int) -> str:
    """Return the key of the alarm about a car that left with less than promised.

    Not among those of a hold, which its end clears.
    """
    return f"hold:{hold_id}{SHORT}"


def of_hold(hold_id: int) -> list[str]:
    """Return every key that a hold may have an alarm under."""
    return [
        unresolved_key(hold_id), refused_key(hold_id), late_key(hold_id),
        away_key(hold_id),
    ]  # fmt: skip
