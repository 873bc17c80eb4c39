"""What cars left home with, against what they would have had without us.

Every car that unplugs at home is weighed once: its departure is a row that waits for
that, so nothing is lost when a process dies, and none is counted twice.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
import structlog
from django.db import connection, transaction

from dispatch import alarms, tallies
from dispatch.models import Alarm, Hold
from dispatch.tallies import Kind
from fleets import charging
from fleets.transactions import retried

log = structlog.get_logger(__name__)

# Less than that short is no breach: two minutes of charging.
TOLERANCE_KWH = 0.25
# Reports round, many to whole percents, and cars stop a little below their limit.
FULL_WITHIN_PERCENT = 1.0
BATCH = 1000
# Nothing can be mended any more: the alarm is there to be read.
ALARM_LASTS = timedelta(days=1)


class _Weighed(NamedTuple):
    """A hold whose car has left, and what decides whether that was short."""

    hold_id: int
    make: str
    left_at: datetime
    hours: float  # from the stop until it left
    soc_percent: float  # at the stop
    limit_percent: float
    battery_kwh: float
    power_kw: float
    left_percent: float  # NaN: it did not say


WAITING = """
select id from fleets_departure where weighed_at is null
order by id limit %s for no key update skip locked
"""
# Of holds that may have taken something, in the plug-in that has ended.
HELD = """
select h.id, v.make, d.left_at,
    greatest(0, extract(epoch from d.left_at - h.state_observed_at))::float8 / 3600,
    coalesce(h.soc_percent, 'NaN'), coalesce(h.limit_percent, 100), v.battery_kwh,
    h.power_kw, coalesce(d.soc_percent, 'NaN')
from fleets_departure d
join fleets_vehicle v on v.id = d.vehicle_id
join dispatch_hold h
    on h.vehicle_id = d.vehicle_id and h.plugged_in_at = d.plugged_in_at
where d.id = any(%s) and (h.held_at is not null or exists (
    select from dispatch_command c
    where c.hold_id = h.id and not c.is_restore and c.may_have_landed
))
order by h.id for no key update of h
"""
WRITE = """
update dispatch_hold h set left_at = w.left_at, short_kwh = nullif(w.short_kwh, 'NaN')
from unnest(%s::bigint[], %s::timestamptz[], %s::float8[])
    as w (id, left_at, short_kwh)
where h.id = w.id
"""
MARK = "update fleets_departure set weighed_at = %s where id = any(%s)"


@retried
@transaction.atomic
def weigh(*, now: datetime) -> int:
    """Weigh cars that have left, up to a batch; return how many left short."""
    _let_old_alarms_go(now)
    with connection.cursor() as cursor:
        cursor.execute(WAITING, [BATCH])
        departures = [pk for (pk,) in cursor.fetchall()]
        if not departures:
            return 0
        cursor.execute(HELD, [departures])
        held = [_Weighed(*row) for row in cursor.fetchall()]
        short = _short_kwh(held)
        cursor.execute(
            WRITE, [[w.hold_id for w in held], [w.left_at for w in held], short]
        )
        cursor.execute(MARK, [now, departures])
    late = [(w, kwh) for w, kwh in zip(held, short, strict=True) if is_late(kwh)]
    _count(held, late)
    _alarm(late, now=now)
    if held:
        log.info("weighed", cars=len(held), late=len(late))
    return len(late)


def is_late(short_kwh: float) -> bool:
    """Say whether a car left with less than it was promised; NaN is nobody knows."""
    return short_kwh > TOLERANCE_KWH


def _short_kwh(held: list[_Weighed]) -> list[float]:
    """Return what each car lacked (kWh), never below 0.

    Promised is what it would have had: charging on from its stop at what it drew, up to
    its own limit, until the moment at which it left.
    """
    columns = np.array([w[3:] for w in held], dtype=float).reshape(-1, 6).T
    hours, soc, limit, battery_kwh, power_kw, left = columns
    promised = charging.charge_after(soc, limit, battery_kwh, power_kw, hours)
    missing = np.where(left >= limit - FULL_WITHIN_PERCENT, 0.0, promised - left)
    short: list[float] = (np.maximum(missing, 0.0) / 100.0 * battery_kwh).tolist()
    return short


def _count(held: list[_Weighed], late: list[tuple[_Weighed, float]]) -> None:
    counts: dict[Kind, tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for name, rows in (("left", [(w, 0.0) for w in held]), ("late", late)):
        for weighed, kwh in rows:
            number, total = counts[Kind(name, weighed.make)]
            counts[Kind(name, weighed.make)] = number + 1, total + kwh
    tallies.add(counts)


def _alarm(late: list[tuple[_Weighed, float]], *, now: datetime) -> None:
    holds = Hold.objects.select_related("vehicle", "event").in_bulk(
        [weighed.hold_id for weighed, _ in late]
    )
    for weighed, kwh in late:
        hold = holds[weighed.hold_id]
        alarms.raise_alarm(
            alarms.short_key(hold.pk),
            f"{hold.vehicle} left with {kwh:.1f} kWh less than it would have had",
            now=now,
            event=hold.event,
            severity=Alarm.Severity.WARNING,
        )


def _let_old_alarms_go(now: datetime) -> None:
    Alarm.objects.filter(
        cleared_at=None, key__endswith=alarms.SHORT, raised_at__lt=now - ALARM_LASTS
    ).update(cleared_at=now)
