"""A small fleet for the planner's tests: the cast, as arrays.

`cars(ada={}, ben={"consented": False})` gives each named car the same good state, with
the differences that its test is about.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.planner import Area, Cars, Debt, Event, Program, Provider, Standing

HOUR = 3600.0
NOW = 1_800_000_000.0

GOOD: dict[str, Any] = {
    "consented": True,
    "known": True,
    "plugged_in": True,
    "charging": True,
    "at_home": True,
    "away": False,
    "able": True,
    "can_set_limit": True,
    "limit_percent": 80.0,
    "soc_percent": 50.0,
    "minimum_percent": 30.0,
    "power_kw": 7.0,
    "latest_start": NOW + 10 * HOUR,
    "calls_left": 100,
    "debt": Debt.NONE,
    "held_kw": 0.0,
    "charge_seconds": 2 * HOUR,
    "restore_calls": 1,
    "area": Area.NONE,
    "feeder": -1,
    "feeder_stopped": False,
    "holds_left": 2,
    "power_is_told": True,
    "make": 0,
    "response": 1.0,
    "shown": False,
    "would_draw_share": 1.0,
    "recent_hours": 0.0,
}
TYPES = {"debt": "U12", "area": "U8"}


def cars(**named: dict[str, Any]) -> Cars:
    """Return the named cars, numbered from 1."""
    rows = [{**GOOD, **row} for row in named.values()]
    columns = {
        name: np.array([row[name] for row in rows], dtype=TYPES.get(name))
        for name in GOOD
    }
    return Cars(vehicle_id=np.arange(1, len(rows) + 1), **columns)


def held(kw: float = 7.0, **more: Any) -> dict[str, Any]:
    """Return a car that an event has stopped."""
    return {"debt": Debt.TAKEN, "held_kw": kw, "charging": False, **more}


def event(n: int, **more: Any) -> Event:
    """Return an event of two hours that began now, over n cars."""
    values: dict[str, Any] = {
        "event_id": 1,
        "holding": True,
        "holds_stopped": False,
        "ends_at": NOW + 2 * HOUR,
        "target_kw": None,
        "aimed": np.ones(n, dtype=bool),
        "opted_out": np.zeros(n, dtype=bool),
        "standing": np.full(n, "", dtype="U12"),
        "reason": np.full(n, "", dtype="U40"),
        "has_news": np.zeros(n, dtype=bool),
        "back_by": np.full(n, np.inf),
        "queues": np.zeros(n, dtype=bool),
        **more,
    }
    for name, kind in (("standing", "U12"), ("reason", "U40")):
        values[name] = np.array(values[name], dtype=kind)
    for name in ("aimed", "opted_out", "has_news", "queues"):
        values[name] = np.array(values[name], dtype=bool)
    return Event(**values)


def over(n: int, **more: Any) -> Event:
    """Return an event that is over and gives back what n cars were claimed for."""
    return event(n, holding=False, standing=[Standing.CLAIMED] * n, **more)


PROGRAM = Program(
    limit_first=False,
    restore_cap_kw=float("inf"),
    restore_ramp_kw_per_minute=1000.0,
    ahead_kw=np.zeros(1),
    restored_kw_last_minute=0.0,
    pick_up_ramp_kw_per_minute=1000.0,
    picked_up_kw_last_minute=0.0,
)
PROVIDER = Provider(
    reserve_calls=24.0,
    restores_per_minute=60.0,
    owed_latest_starts=np.array([], dtype=float),
)
