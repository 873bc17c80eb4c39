"""Counters of what happened, by make: small rows that no restart sets back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from django.db import connection


class Kind(NamedTuple):
    """What is counted, of which make, up to which bound (0: it has none)."""

    name: str
    make: str
    bound: float = 0.0


# In one order, so that no two writers wait for each other.
ADD = """
insert into dispatch_tally as t (name, make, bound, number, total)
select * from unnest(%s::text[], %s::text[], %s::float8[], %s::bigint[], %s::float8[])
    as n (name, make, bound, number, total)
order by name, make, bound
on conflict (name, make, bound) do update set
    number = t.number + excluded.number, total = t.total + excluded.total
"""


def add(counts: Mapping[Kind, tuple[int, float]]) -> None:
    """Add how many there were of each kind, and what they come to together."""
    if not counts:
        return
    rows = [(*kind, *count) for kind, count in counts.items()]
    with connection.cursor() as cursor:
        cursor.execute(ADD, [list(column) for column in zip(*rows, strict=True)])
