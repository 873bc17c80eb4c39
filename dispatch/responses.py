"""Count, in the turn that sees it, whether cars did what their stops asked."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection

from dispatch.response import FORGET

COUNT = """
insert into dispatch_response as r (vehicle_id, obeyed, missed)
select h.vehicle_id, %(obeyed)s, %(missed)s from dispatch_hold h
where h.id = any(%(holds)s)
order by h.vehicle_id
on conflict (vehicle_id) do update set
    obeyed = r.obeyed * %(forget)s + excluded.obeyed,
    missed = r.missed * %(forget)s + excluded.missed
"""


def count(hold_ids: Sequence[int], *, obeyed: bool) -> None:
    """Count one stop of each of these holds as obeyed, or as missed."""
    if not hold_ids:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            COUNT,
            {
                "holds": list(hold_ids),
                "obeyed": float(obeyed),
                "missed": float(not obeyed),
                "forget": FORGET,
            },
        )
