"""How long a decision takes over fleets of any size: pure, without any server.

Each size is asked four things, three times, of which the fastest counts. It is all one
thread, so its processor time is how long it takes on a core that nobody else uses.

- *start*: an event without a target begins, and half of the cars must be told why not;
- *target*: one begins that needs a tenth of what charges;
- *quiet*: the next turn of that start, in which nothing has changed;
- *restore*: it is over, and all that it holds stands in line under a cap, and under one
  of each feeder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import log
from time import process_time

import numpy as np

from dispatch import limits, planner
from dispatch.planner import (
    REASONS,
    Act,
    Cars,
    Debt,
    Event,
    Feeder,
    Intents,
    Program,
    Provider,
    Reason,
    Standing,
)
from gridbalance.bench.sides import peak_mb

SIZES = (1_000, 10_000, 100_000, 1_000_000)
TIMES = 3
NOW = 1_800_000_000.0
HOUR = 3600.0
# So few calls that the room for restores runs out before the cars do.
FLEETS_PER_HOUR = 0.03
CARS_PER_FEEDER = 500


def measure() -> dict[str, float]:
    """Return processor seconds by question and size, peak memory, and the growth."""
    figures: dict[str, float] = {}
    for n in SIZES:
        for question, seconds in _asked(n).items():
            figures[f"{question}_{n}_s"] = round(seconds, 5)
        figures[f"peak_{n}_mb"] = round(peak_mb(), 1)
    figures["growth"] = round(_growth(figures), 3)
    return figures


def _growth(figures: dict[str, float]) -> float:
    """Return how the last step up in size cost, as a multiple of n log n; the worst."""
    less, more = SIZES[-2:]
    n_log_n = more * log(more) / (less * log(less))
    return max(
        figures[f"{question}_{more}_s"] / figures[f"{question}_{less}_s"] / n_log_n
        for question in ("start", "target", "quiet", "restore")
    )


def _asked(n: int) -> dict[str, float]:
    """Ask the four questions of n cars."""
    cars = _cars(n)
    begins = _event(n)
    a_tenth_kw = float(cars.power_kw.sum()) / 10
    provider = Provider(
        reserve_calls=n / 100,
        restores_per_minute=n * FLEETS_PER_HOUR / 60,
        owed_latest_starts=np.array([], dtype=float),
    )
    uncapped = Program(
        limit_first=False,
        restore_cap_kw=np.inf,
        restore_ramp_kw_per_minute=np.inf,
        ahead_kw=np.zeros(1),
        restored_kw_last_minute=0.0,
        pick_up_ramp_kw_per_minute=np.inf,
        picked_up_kw_last_minute=0.0,
    )
    feeders = int(cars.feeder.max()) + 1
    capped = replace(
        uncapped,
        restore_cap_kw=a_tenth_kw,
        feeders=[
            Feeder(
                restore_cap_kw=a_tenth_kw / feeders,
                restore_ramp_kw_per_minute=a_tenth_kw / feeders,
                ahead_kw=np.zeros(1),
                restored_kw_last_minute=0.0,
            )
        ]
        * feeders,
    )

    def decide(event: Event, cars: Cars, program: Program = uncapped) -> Intents:
        calls = np.where(cars.owes(Debt.NONE), 0, cars.restore_calls)
        owed = replace(provider, owed_latest_starts=np.repeat(cars.latest_start, calls))
        return planner.decide(program, cars, [event], owed, now=NOW)

    started = decide(begins, cars)
    held, running = _done(cars, begins, started)
    over = replace(running, holding=False, ends_at=NOW)
    aimed_kw = replace(begins, target_kw=a_tenth_kw)
    assert len(started) == n, "each car is held or told why not"
    assert Reason.NO_ROOM in started.by_reason(), "the room has to be asked for"
    assert not decide(running, held), "nothing has changed"
    assert decide(over, held, capped).to(Act.RESTORE)
    return {
        "start": _fastest(lambda: decide(begins, cars)),
        "target": _fastest(lambda: decide(aimed_kw, cars)),
        "quiet": _fastest(lambda: decide(running, held)),
        "restore": _fastest(lambda: decide(over, held, capped)),
    }


def _fastest(ask: Callable[[], Intents]) -> float:
    seconds = []
    for _ in range(TIMES):
        began = process_time()
        ask()
        seconds.append(process_time() - began)
    return min(seconds)


def _cars(n: int) -> Cars:
    """Return a fleet on a winter evening, the same at every run."""
    some = np.random.default_rng(n)
    yes, no = np.ones(n, dtype=bool), np.zeros(n, dtype=bool)
    charging = some.random(n) < 0.8
    return Cars(
        vehicle_id=np.arange(1, n + 1),
        consented=yes,
        known=some.random(n) < 0.97,
        plugged_in=charging | (some.random(n) < 0.5),
        charging=charging,
        at_home=yes,
        away=no,
        able=some.random(n) < 0.8,
        can_set_limit=yes,
        limit_percent=np.full(n, 80.0),
        soc_percent=some.uniform(20.0, 79.0, n),
        minimum_percent=np.full(n, 30.0),
        power_kw=some.choice([3.7, 7.4, 11.0], n),
        latest_start=NOW + some.uniform(0.0, 14 * HOUR, n),
        calls_left=np.full(n, 100),
        debt=np.full(n, Debt.NONE, dtype="U12"),
        held_kw=np.zeros(n),
        charge_seconds=some.uniform(600.0, 8 * 3600.0, n),
        restore_calls=np.ones(n, dtype=np.int64),
        area=np.full(n, "", dtype="U8"),
        feeder=some.integers(0, max(n // CARS_PER_FEEDER, 1), n),
        feeder_stopped=no,
        holds_left=np.full(n, 2),
        power_is_told=yes,
        make=some.integers(0, 12, n),
        response=some.uniform(0.7, 1.0, n),
        shown=no,
        would_draw_share=np.ones(n),
        recent_hours=some.uniform(0.0, 8.0, n),
    )


def _event(n: int) -> Event:
    """Return an event of two hours that begins now, for all of them."""
    return Event(
        event_id=1,
        holding=True,
        holds_stopped=False,
        ends_at=NOW + 2 * HOUR,
        target_kw=None,
        aimed=np.ones(n, dtype=bool),
        opted_out=np.zeros(n, dtype=bool),
        standing=np.full(n, Standing.NONE, dtype="U12"),
        reason=np.full(n, "", dtype="U40"),
        has_news=np.zeros(n, dtype=bool),
        back_by=np.full(n, NOW + 6 * HOUR),
        queues=np.zeros(n, dtype=bool),
    )


def _done(cars: Cars, event: Event, intents: Intents) -> tuple[Cars, Event]:
    """Return what they are once everything is done that was decided."""
    holds = intents.to(Act.HOLD)
    held = holds.place
    debt, held_kw = cars.debt.copy(), cars.held_kw.copy()
    debt[held], held_kw[held] = Debt.TAKEN, cars.power_kw[held]
    calls = cars.restore_calls.copy()
    calls[held] = np.where(holds.limit_percent, limits.CALLS, 1)
    standing, reason = event.standing.copy(), event.reason.copy()
    standing[:] = Standing.SPARED
    standing[held] = Standing.CLAIMED
    reason[intents.place] = np.array(REASONS)[intents.reason_code]
    return (
        replace(cars, debt=debt, held_kw=held_kw, restore_calls=calls),
        replace(event, standing=standing, reason=reason),
    )
