"""What was promised and comes second: each time counted, and alarmed.

Opt-out, ready-by, ramp, cap, target is the order in which they give way. A car that is
late has its own count and alarm (`confirmation.py`, `shortfalls.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from dispatch import alarms
from dispatch.lifecycle import HoldStatus
from dispatch.models import Alarm, GridEvent, Hold
from dispatch.planner import Breaches, Cars, Caution, Ints


def record(
    found: Breaches,
    cars: Cars,
    events: Sequence[GridEvent],
    cautions: Mapping[int, Sequence[Caution]],
    *,
    now: datetime,
) -> None:
    """Mark restores of this turn that break a bound, and alarm whoever runs events.

    `cautions` are by event.
    """
    for hold in _mark("over_cap", found.cap, cars, now):
        _alarm(
            alarms.cap_key(hold.event_id), hold.event, now=now,
            text="Cars go back over the restore cap: they can wait no longer",
        )  # fmt: skip
    for hold in _mark("over_ramp", found.ramp, cars, now):
        _alarm(
            alarms.ramp_key(hold.event_id), hold.event, now=now,
            text="Cars go back faster than the ramp: they can wait no longer",
        )  # fmt: skip
    within_reach = []
    for event in events:
        key = alarms.target_key(event.pk)
        if Caution.OUT_OF_REACH in cautions[event.pk]:
            _alarm(key, event, now=now, text="The target is above what can be held")
        else:
            within_reach.append(key)
    alarms.clear(within_reach, now=now)


def _mark(flag: str, places: Ints, cars: Cars, now: datetime) -> Sequence[Hold]:
    """Mark what was given back in this turn; return one hold for each event."""
    if not len(places):
        return ()
    marked = Hold.objects.filter(
        vehicle__in=cars.vehicle_id[places].tolist(),
        status=HoldStatus.RESTORING,
        restoring_at=now,
    )
    marked.update(**{flag: True})
    return list(marked.select_related("event").order_by("event").distinct("event"))


def _alarm(key: str, event: GridEvent, *, now: datetime, text: str) -> None:
    alarms.raise_alarm(key, text, now=now, event=event, severity=Alarm.Severity.WARNING)
