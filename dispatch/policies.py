"""The book of a program's events, for the judge; and its usual policies."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Q

from dispatch.event_policy import USUAL, Broken, Rules, Span, judge
from dispatch.lifecycle import EventKind, EventStatus
from dispatch.models import DayOff, EventPolicy, GridEvent
from fleets.models import Program

# A year and a season of a year, before and after any day of an event.
REMEMBERED = timedelta(days=2 * 366)


def broken_by(
    program: Program,
    *,
    kind: EventKind,
    starts_at: datetime,
    ends_at: datetime,
    participants: int | None,
    now: datetime,
    was: tuple[datetime, datetime] | None = None,
    but: int | None = None,
) -> list[Broken]:
    """Return every rule that an event would break, as the book stands.

    Runs in the transaction that writes the event, and locks its policy, after the event
    itself and ahead of all else: whoever wants the last allowed day at the same moment
    waits here, and then finds it taken. `but` is the event, when it is there already.
    """
    policy = (
        EventPolicy.objects.select_for_update(no_key=True)
        .filter(program=program, kind=kind)
        .first()
    )
    if policy is None:
        return []
    rules = policy.rules
    book = GridEvent.objects.filter(
        program=program,
        kind=kind,
        starts_at__gt=starts_at - REMEMBERED,
        starts_at__lt=ends_at + REMEMBERED,
    ).exclude(status=EventStatus.CANCELLED)
    if but is not None:
        book = book.exclude(pk=but)
    return judge(
        rules,
        Span(starts_at, ends_at, ends_at + rules.restore_time),
        others=_spans(book, rules, now),
        days_off=[
            off.days
            for off in DayOff.objects.filter(Q(program=None) | Q(program=program))
        ],
        participants=participants,
        zone=program.zone,
        now=now,
        was=Span(*was, was[1]) if was else None,
    )


def _spans(book: Iterable[GridEvent], rules: Rules, now: datetime) -> list[Span]:
    """Return what counts of each event that was not called off before it began.

    One that waits for approval has its place already. What was given back counts as
    long as that took, what is being given back at least as long as it has.
    """
    spans = []
    for event in book:
        starts_at = event.started_at or event.starts_at
        ends_at = max(event.restoring_at or event.ends_at, starts_at)
        restored_at = event.completed_at or ends_at + rules.restore_time
        if event.status == EventStatus.RESTORING:
            restored_at = max(restored_at, now)
        spans.append(Span(starts_at, ends_at, max(restored_at, ends_at)))
    return spans


def lay_down(program: Program) -> None:
    """Give a program the usual policy of each kind that it has none of."""
    for kind, rules in USUAL.items():
        EventPolicy.objects.get_or_create(
            program=program, kind=kind, defaults=as_columns(rules)
        )


def as_columns(rules: Rules) -> dict[str, object]:
    """Return rules as the columns of a policy."""
    columns = dict(vars(rules))
    columns["notice_hours"] = columns.pop("notice") / timedelta(hours=1)
    columns["restore_hours"] = columns.pop("restore_time") / timedelta(hours=1)
    return columns
