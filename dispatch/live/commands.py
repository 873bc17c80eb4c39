"""Where the commands are, and how long the fan-out still takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db.models import Count, Q

from dispatch import limits
from dispatch.lifecycle import (
    OPEN_COMMAND,
    UNPROVEN_COMMAND,
    CommandKind,
    CommandStatus,
)
from dispatch.live import shapes
from dispatch.live.words import clock_time, span
from dispatch.models import Command
from fleets.models import Bucket
from fleets.providers import throttle

STATUSES: dict[str, tuple[str, shapes.Tone]] = {
    CommandStatus.QUEUED: ("waits for its turn", ""),
    CommandStatus.SENDING: ("on the wire", ""),
    CommandStatus.UNKNOWN: ("may have happened", "warning"),
    CommandStatus.ACCEPTED: ("taken, not shown yet", ""),
    CommandStatus.CONFIRMED: ("a reading shows it", ""),
    CommandStatus.FAILED: ("will not happen", "warning"),
    CommandStatus.EXPIRED: ("too late to send", ""),
    CommandStatus.SUPERSEDED: ("made pointless", ""),
}
CODES_SHOWN = 5
# Statuses in which a code is a failure and not the word of a success.
TROUBLED = (
    CommandStatus.QUEUED, CommandStatus.UNKNOWN, CommandStatus.FAILED,
    CommandStatus.EXPIRED,
)  # fmt: skip


def commands(
    event_ids: Sequence[int], *, now: datetime, zone: ZoneInfo
) -> shapes.Commands:
    """Return the commands of these events, and all others that are not done."""
    holding: Counter[str] = Counter()
    restoring: Counter[str] = Counter()
    calls: Counter[bool] = Counter()  # yet to be made, by whether they give back
    codes: Counter[str] = Counter()
    rows = (
        Command.objects.filter(
            Q(event__in=event_ids) | Q(status__in=(*OPEN_COMMAND, *UNPROVEN_COMMAND))
        )
        .values_list("status", "kind", "is_restore", "code")
        .annotate(number=Count("pk"))
        .order_by()
    )
    for status, kind, is_restore, code, number in rows:
        (restoring if is_restore else holding)[status] += number
        if status == CommandStatus.QUEUED:
            each = limits.CALLS if kind == CommandKind.SET_LIMIT else 1
            calls[is_restore] += each * number
        if code and status in TROUBLED:
            codes[code] += number
    buckets = Bucket.objects.filter(
        Q(name=throttle.APPLICATION) | Q(blocked_until__gt=now)
    ).order_by("name")
    by_name = {bucket.name: bucket for bucket in buckets}
    waiting = _waiting(holding[CommandStatus.QUEUED], restoring[CommandStatus.QUEUED])
    duration = _duration(calls, by_name.get(throttle.APPLICATION), now=now)
    return shapes.Commands(
        counts=tuple(
            shapes.CommandCount(
                status=status,
                meaning=meaning,
                holding=holding[status],
                restoring=restoring[status],
                tone=tone if holding[status] or restoring[status] else "",
            )
            for status, (meaning, tone) in STATUSES.items()
        ),
        codes=tuple(
            shapes.Count(code, number)
            for code, number in codes.most_common(CODES_SHOWN)
        ),
        waiting=waiting,
        duration=duration,
        rate=f"{throttle.calls_per_minute():g} calls a minute",
        paused=tuple(
            f"{_name(bucket)} told us to wait until "
            f"{clock_time(bucket.blocked_until, zone, seen_from=now)}"
            for bucket in by_name.values()
            if bucket.blocked_until is not None and bucket.blocked_until > now
        ),
    )


def _waiting(holding: int, restoring: int) -> str:
    """Return in words how many commands wait to be sent."""
    words = [
        f"{number} to {verb}"
        for number, verb in ((holding, "hold"), (restoring, "restore"))
        if number
    ]
    if not words:
        return "Nothing waits"
    verb = "waits" if holding + restoring == 1 else "wait"
    return f"{' and '.join(words)} {verb}"


def _duration(
    calls: Counter[bool], application: Bucket | None, *, now: datetime
) -> str:
    """Return in words how long it takes until the last of these calls is made."""
    if not calls.total():
        return ""
    number = calls.total()
    if calls[False] and application is not None:
        # What takes may not touch the calls that are kept for restores.
        number += int(throttle.reserve_calls(application))
    duration = throttle.duration_of(number, now=now)
    return f"about {span(duration)}" if duration else "going out now"


def _name(bucket: Bucket) -> str:
    if bucket.name == throttle.APPLICATION:
        return "The provider"
    return bucket.name.removeprefix("make:").title()
