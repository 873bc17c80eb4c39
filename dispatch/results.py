"""What has come of events for those who were held, counted from rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection

from dispatch.shortfalls import TOLERANCE_KWH

# A car that an event held twice in one stay has left once.
LEFT = """
select event_id, count(*), count(short_kwh), count(*) filter (where is_late),
    coalesce(sum(short_kwh) filter (where is_late), 0)
from (
    select held.event_id, h.vehicle_id, h.left_at, max(h.short_kwh) as short_kwh,
        coalesce(max(h.short_kwh) > %(tolerance)s, false) as is_late
    from (
        select event_id, hold_id from dispatch_participation
        where event_id = any(%(events)s) and hold_id is not null
        union
        select event_id, id from dispatch_hold where event_id = any(%(events)s)
    ) held
    join dispatch_hold h on h.id = held.hold_id
    where h.left_at is not null
    group by 1, 2, 3
) cars
group by 1
"""


@dataclass(frozen=True, slots=True)
class Left:
    """Cars that an event held and that have left home since."""

    cars: int = 0
    weighed: int = 0  # of these, the charge with which they left is known
    late: int = 0  # left with less than promised
    short_kwh: float = 0.0  # what those lacked together

    @property
    def late_per_1000(self) -> float:
        return self.late / self.weighed * 1000.0 if self.weighed else 0.0

    @property
    def short_kwh_per_1000(self) -> float:
        return self.short_kwh / self.weighed * 1000.0 if self.weighed else 0.0


def left(event_ids: Iterable[int]) -> dict[int, Left]:
    """Return, for each event, with what those left that it held."""
    ids = list(event_ids)
    found = {pk: Left() for pk in ids}
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(LEFT, {"events": ids, "tolerance": TOLERANCE_KWH})
            found |= {pk: Left(*row) for pk, *row in cursor.fetchall()}
    return found
