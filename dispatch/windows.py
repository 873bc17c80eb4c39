"""Recurring windows: each day that comes makes its event once, or says why not.

What was decided is an occurrence, unique by window and day, and written in the
transaction of its event. So it does not matter how often this runs, on how many
machines, or for how long it did not: days that nobody decided are decided late.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import structlog
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Max

from dispatch import alarms, audit, grid_events, recurrence
from dispatch.event_rules import Invalid
from dispatch.lifecycle import EventKind
from dispatch.models import EventPolicy, Occurrence, RecurringWindow

log = structlog.get_logger(__name__)

# Operators and customers see the coming week.
MADE_AHEAD = timedelta(days=7)
# Beyond the notice that must be given, so that no late tick breaks it.
SPARE = timedelta(days=1)
# Days that passed undecided, longer ago than this, are not told one by one.
CAUGHT_UP = timedelta(days=60)


def make_events(now: datetime) -> list[Occurrence]:
    """Decide every day of every window that is near enough and not decided yet."""
    windows = RecurringWindow.objects.filter(is_paused=False).order_by("pk")
    made = []
    for pk in windows.values_list("pk", flat=True):
        key = alarms.window_key(pk)
        try:
            made += _make_events_of(pk, now)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            # One that cannot be reckoned with keeps no other from its days.
            log.exception("recurring_window_failed", window_id=pk)
            alarms.raise_alarm(
                key,
                f"Recurring window {pk} makes no events, for its days cannot be"
                " reckoned; see the log",
                now=now,
            )
        else:
            alarms.clear([key], now=now)
    return made


@transaction.atomic
def _make_events_of(pk: int, now: datetime) -> list[Occurrence]:
    # Somebody else is at it already: go home.
    window = (
        RecurringWindow.objects.select_for_update(
            no_key=True, skip_locked=True, of=("self",)
        )
        .select_related("program")
        .filter(pk=pk, is_paused=False)
        .first()
    )
    if window is None:
        return []
    return [_decide(window, day, now) for day in _undecided(window, now)]


def _undecided(window: RecurringWindow, now: datetime) -> Iterator[date]:
    """Return the days after the newest decided one whose time has come."""
    zone = window.program.zone
    newest = window.occurrences.aggregate(day=Max("on"))["day"]
    first = max(
        window.first_on,
        # Before it was written, or while it was paused, there was nothing to decide.
        window.written_at.astimezone(zone).date(),
        (now - CAUGHT_UP).astimezone(zone).date(),
    )
    if newest is not None:
        first = max(first, newest + timedelta(days=1))
    policies = EventPolicy.objects.filter(program=window.program, kind=window.kind)
    notice = max((one.rules.notice for one in policies), default=timedelta(0))
    last = (now + max(MADE_AHEAD, notice + SPARE)).astimezone(zone).date()
    if window.last_on is not None:
        last = min(last, window.last_on)
    return recurrence.days_between(first, last, window.weekdays)


def _decide(window: RecurringWindow, day: date, now: datetime) -> Occurrence:
    """Make the event of one day, or write down why there is none."""
    occurrence = Occurrence(window=window, on=day, decided_at=now)
    zone = window.program.zone
    starts_at = recurrence.starts_on(day, window.starts_at, zone)
    if starts_at is None:
        occurrence.skipped = "The clock skips this day."
    else:
        try:
            occurrence.event = grid_events.schedule(
                window.program,
                kind=EventKind(window.kind),
                starts_at=starts_at,
                ends_at=starts_at + timedelta(hours=window.hours),
                target_kw=window.target_kw,
                feeders=list(window.feeders.all()),
                substations=list(window.substations.all()),
                groups=list(window.groups.all()),
                vehicles=[],
                priority=window.priority,
                reason=f"{window.name}, {day}"[:200],
                signal=None,
                # Whoever wrote the window: none of its events is theirs to approve.
                actor=window.written_by,
                now=now,
            )
        except Invalid as error:
            occurrence.skipped = str(error)
    occurrence.save(force_insert=True)
    return occurrence


def written(window: RecurringWindow, *, actor: str, now: datetime) -> None:
    """Put a window that is about to be saved in its writer's name."""
    window.written_by = actor
    window.written_at = now


def tell_written(window: RecurringWindow) -> None:
    """Put a window that was saved, with its aim, on record."""
    audit.write(
        "write recurring window",
        subject=f"recurring window {window.pk}",
        actor=window.written_by,
        now=window.written_at,
        kind=window.kind,
        weekdays=window.weekdays,
        starts_at=window.starts_at.isoformat(),
        hours=window.hours,
        paused=window.is_paused,
        target_kw=window.target_kw,
        feeders=sorted(feeder.code for feeder in window.feeders.all()),
        substations=sorted(station.code for station in window.substations.all()),
        groups=sorted(group.code for group in window.groups.all()),
    )
