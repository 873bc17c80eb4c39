"""One turn of the loop: observe, confirm, decide, act.

Each program's turn is one transaction under an advisory lock, so any number of ticks
may be woken on any number of machines: one of them works, the others go home. The
program's event rows are locked first, so an operator's cancel or amendment comes either
before the turn, and is seen by it, or after it, and finds its rows.
"""

from __future__ import annotations

import time
from datetime import datetime

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction

from dispatch import (
    alarms,
    area_hold_offs,
    breaches,
    catches,
    confirmation,
    grid_events,
    holds,
    planner,
    polls,
    restore_caps,
    samples,
    shortfalls,
    snapshot,
)
from dispatch.lifecycle import OPEN_HOLD
from dispatch.models import GridEvent, Hold, LoopTurn
from dispatch.snapshot.feeders import BOUNDING
from fleets import clock
from fleets.models import Feeder, Program
from fleets.transactions import retried

log = structlog.get_logger(__name__)

# The first half of the advisory lock's key; the second is the program.
TURN_LOCK = 7_301


def turn(*, now: datetime) -> None:
    """Evaluate the control law for every program that something is owed in or by."""
    began = time.monotonic()
    grid_events.advance(now=now)
    area_hold_offs.watch(now)
    for program in Program.objects.filter(pk__in=_busy_programs()).order_by("pk"):
        _evaluate_alone(program, now=now)
    grid_events.advance(now=now)
    shortfalls.weigh(now=now)
    LoopTurn.objects.update_or_create(
        pk=1,
        defaults={
            "at": now,
            "real_at": clock.real_now(),
            "took_ms": (time.monotonic() - began) * 1000,
        },
    )


def _evaluate_alone(program: Program, *, now: datetime) -> None:
    """Take one program's turn; one that cannot be taken keeps no other from its own.

    Without a database there is no turn for anybody, and nobody to tell.
    """
    key = alarms.turn_key(program.pk)
    try:
        evaluate(program, now=now)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("turn_failed", program=program.code)
        alarms.raise_alarm(
            key,
            f"{program}: no car is held or given back, for its turn fails; see the log",
            now=now,
        )
    else:
        alarms.clear([key], now=now)


def _busy_programs() -> set[int]:
    events = GridEvent.objects.running().values_list("program_id", flat=True)
    owing = Hold.objects.open().values_list("event__program_id", flat=True)
    return set(events) | set(owing)


@retried
def evaluate(program: Program, *, now: datetime) -> planner.Intents:
    """Take one program's turn; return what was decided, or nothing if another does."""
    with transaction.atomic():
        if not _lock(program):
            return planner.Intents.none()
        events = list(
            GridEvent.objects.filter(program=program)
            .running()
            .order_by("id")
            .select_for_update(no_key=True)
        )
        events.sort(key=lambda event: (event.priority, event.starts_at, event.pk))
        _lock_holds(program)
        _lock_feeders(program)
        confirmation.confirm(program, now=now)
        holds.expire(events, now=now)
        seen = snapshot.take(program, events, now=now)
        rules = restore_caps.find(
            program, events, seen.program, seen.cars, seen.events, now=now
        )
        intents = planner.decide(
            rules, seen.cars, seen.events, seen.provider, now=now.timestamp()
        )
        holds.act(intents, seen.cars, now=now)
        catches.record(intents, seen.cars, now=now)
        polls.queue(program, seen.cars, seen.events, now=now)
        confirmation.watch(program, now=now)
        cautions = {
            one.event_id: list(
                planner.cautions(rules, seen.cars, one, intents, now=now.timestamp())
            )
            for one in seen.events
        }
        breaches.record(
            planner.breaches(rules, seen.cars, intents),
            seen.cars,
            events,
            cautions,
            now=now,
        )
        samples.sample(
            events,
            charging_kw=seen.charging_kw,
            shed={one.event_id: planner.shed(seen.cars, one) for one in seen.events},
            cautions=cautions,
            now=now,
        )
    if intents:
        log.info(
            "decided",
            program=program.code,
            event_ids=[event.pk for event in events],
            **{act.value: n for act, n in intents.counted().items()},
        )
    return intents


def _lock(program: Program) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "select pg_try_advisory_xact_lock(%s, %s)", [TURN_LOCK, program.pk]
        )
        (mine,) = cursor.fetchone()
    return bool(mine)


def _lock_holds(program: Program) -> None:
    """Lock all that is owed, ascending, before any command is touched.

    Outcomes are recorded in the same order; opposite orders deadlock.
    """
    list(
        Hold.objects.filter(event__program=program, status__in=OPEN_HOLD)
        .order_by("id")
        .select_for_update(no_key=True, of=("self",))
        .values_list("pk")
    )


def _lock_feeders(program: Program) -> None:
    """Let programs that share a bounded feeder take their turns there in a row.

    Each counts what the other gives back; looking at once, both would take the room.
    """
    owing = Hold.objects.open().filter(event__program=program)
    list(
        Feeder.objects.filter(BOUNDING, pk__in=owing.values("vehicle__feeder"))
        .order_by("id")
        .select_for_update(no_key=True, of=("self",))
        .values_list("pk")
    )
