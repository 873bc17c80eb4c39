"""What an event looks like at one moment, in kW: confirmed, unconfirmed, blind.

*Stopped* is measured: each car counts with what it drew before it was stopped. What it
would have drawn by now is an estimate (*shed*), kept beside it with its interval and
never mixed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import connection

from dispatch.models import GridEvent, LoadSample
from dispatch.planner import Caution, Shed

# Of the holds an event claims: confirmed when a reading showed the stop; blind when
# nobody can say (the call's outcome is unknown, or the car stays silent for longer than
# its reads were due); unconfirmed otherwise.
SHARES = """
select p.event_id,
    coalesce(sum(h.power_kw) filter (where h.status = 'held'), 0),
    coalesce(sum(h.power_kw) filter (where h.status = 'taking' and not blind.yes), 0),
    coalesce(sum(h.power_kw) filter (where h.status = 'taking' and blind.yes), 0)
from dispatch_participation p
join dispatch_hold h on h.id = p.hold_id
left join lateral (
    select status, reads from dispatch_command
    where hold_id = h.id order by id desc limit 1
) c on true
cross join lateral (
    select coalesce(c.status = 'unknown' or (c.status = 'accepted' and c.reads > 0),
        false) as yes
) blind
where p.event_id = any(%(events)s) and p.status = 'claimed'
group by p.event_id
"""


def sample(
    events: Sequence[GridEvent],
    *,
    charging_kw: float,
    shed: Mapping[int, Shed],
    cautions: Mapping[int, Sequence[Caution]],
    now: datetime,
) -> list[LoadSample]:
    """Write one sample for each of a program's running events; return them.

    `shed` and `cautions` are by event.
    """
    with connection.cursor() as cursor:
        cursor.execute(SHARES, {"events": [event.pk for event in events]})
        shares = {row[0]: row[1:] for row in cursor.fetchall()}
    samples = []
    for event in events:
        confirmed, unconfirmed, blind = shares.get(event.pk, (0.0, 0.0, 0.0))
        samples.append(
            LoadSample(
                event=event,
                at=now,
                charging_kw=charging_kw,
                confirmed_kw=confirmed,
                unconfirmed_kw=unconfirmed,
                blind_kw=blind,
                target_kw=event.target_kw,
                shed_kw=shed[event.pk].kw,
                shed_low_kw=shed[event.pk].low_kw,
                shed_high_kw=shed[event.pk].high_kw,
                cautions=[str(one) for one in cautions[event.pk]],
            )
        )
    return LoadSample.objects.bulk_create(samples, ignore_conflicts=True)
