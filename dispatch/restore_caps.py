"""Under which cap a program's cars are given back: a person's, or the lowest that does.

One cap binds a program's cars, whichever events they are given back from. What a person
chose wins, for the program or for one of these events; of several, the lowest. Where
nobody did, the lowest that gives all back in time is found, and written on the events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import structlog
from django.db import transaction

from dispatch import audit, planner
from dispatch.event_rules import MOST_KW, Finding, Invalid, WrongMoment
from dispatch.lifecycle import EventStatus
from dispatch.models import GridEvent
from dispatch.planner import Area, Debt
from dispatch.rehearsal import frontier
from fleets.models import Program

log = structlog.get_logger(__name__)

# A cap is looked at again so often while cars wait, and raised if it does not do.
LOOKED_AT_EVERY = timedelta(minutes=15)
CHOOSABLE = (
    EventStatus.PENDING, EventStatus.SCHEDULED, EventStatus.ACTIVE,
    EventStatus.RESTORING,
)  # fmt: skip
BY_ITSELF = "the lowest that gives all back in time"
FOR_THE_PROGRAM = "chosen for the program"


@dataclass(frozen=True)
class Cap:
    """The cap in force, and how it came about."""

    kw: float  # inf: none
    chosen: str  # in words

    @property
    def is_chosen(self) -> bool:
        return self.chosen != BY_ITSELF


def chosen(event: GridEvent) -> Cap | None:
    """Return what a person chose for this event."""
    if event.cap_kw is None or not event.cap_by:
        return None
    return Cap(event.cap_kw, f"chosen by {event.cap_by}")


def in_force(program: Program, events: Sequence[GridEvent]) -> Cap:
    """Return what bounds the restores of a program with these running events."""
    over = [event for event in events if event.status == EventStatus.RESTORING]
    caps = [cap for event in over if (cap := chosen(event)) is not None]
    if program.restore_cap_kw is not None:
        caps.append(Cap(program.restore_cap_kw, FOR_THE_PROGRAM))
    if caps:
        return min(caps, key=lambda cap: cap.kw)
    found = [e.cap_kw for e in over if e.cap_kw is not None]
    return Cap(max(found, default=float("inf")), BY_ITSELF)


def find(
    program: Program,
    events: Sequence[GridEvent],
    rules: planner.Program,
    cars: planner.Cars,
    standings: Sequence[planner.Event],
    *,
    now: datetime,
) -> planner.Program:
    """Return the rules with a cap, found where nobody chose one.

    It is found when an event of the program ends, for all that is owed by then, and
    looked at again while cars wait: what does not do any more is raised, never lowered,
    for the peak that it allows may be over.
    """
    over = [event for event in events if event.status == EventStatus.RESTORING]
    if not over or in_force(program, events).is_chosen:
        return rules
    is_new = any(event.cap_at is None for event in over)
    if not is_new and not any(
        event.cap_at <= now - LOOKED_AT_EVERY
        for event in over
        if event.cap_at is not None
    ):
        return rules
    back = planner.back_by(cars, standings)
    waits = (back > -np.inf) & (cars.debt == Debt.TAKEN) & (cars.area == Area.NONE)
    for event in standings:
        if event.holding:
            waits &= ~(event.aimed & (event.standing == planner.Standing.CLAIMED))
    if not waits.any():
        return rules
    debts = frontier.debts_of(
        cars,
        np.flatnonzero(waits),
        kw=cars.held_kw,
        back_by=back,
        ahead_kw=rules.ahead_kw,
        now=now.timestamp(),
        ends=0,
    )
    lowest_kw = frontier.lowest_cap(debts).cap_kw
    cap_kw = rules.restore_cap_kw
    if is_new or lowest_kw > cap_kw:
        cap_kw = lowest_kw * frontier.CAP_MARGIN
        log.info("restore_cap_found", program=program.code, cap_kw=round(cap_kw, 1))
    GridEvent.objects.filter(pk__in=[event.pk for event in over]).update(
        cap_kw=cap_kw, cap_at=now
    )
    return replace(rules, restore_cap_kw=cap_kw)


def choose(
    event: GridEvent, cap_kw: float | None, *, actor: str, now: datetime, why: str
) -> GridEvent:
    """Let a person choose an event's cap; None lets the lowest be found again."""
    if cap_kw is not None and not 0 < cap_kw <= MOST_KW:
        raise Invalid(
            [Finding("cap_kw", "impossible", f"Between 0 and {MOST_KW:g} kW.")]
        )
    with transaction.atomic():
        locked = GridEvent.objects.select_for_update(no_key=True).get(pk=event.pk)
        if locked.status not in CHOOSABLE:
            raise WrongMoment(f"The event is {locked.status}: nothing is given back.")
        locked.cap_kw = cap_kw
        locked.cap_by = actor if cap_kw is not None else ""
        locked.cap_at = now if cap_kw is not None else None
        locked.save(update_fields=["cap_kw", "cap_by", "cap_at"])
        audit.write_event(
            "choose restore cap", locked, actor, now, why=why, cap_kw=cap_kw
        )
    return locked
