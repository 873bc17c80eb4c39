"""Where the commands are, and how long the fan-out still takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db.models import Count, Q

from dispatch.lifecycle import OPEN_COMMAND, UNPROVEN_COMMAND, CommandStatus
from dispatch.live import shapes
from dispatch.live.words import clock_time, counted, span
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
    stops: Counter[str] = Counter()
    starts: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    rows = (
        Command.objects.filter(
            Q(event__in=event_ids) | Q(status__in=(*OPEN_COMMAND, *UNPROVEN_COMMAND))
        )
        .values_list("status", "is_restore", "code")
        .annotate(number=Count("pk"))
        .order_by()
    )
    for status, is_restore, code, number in rows:
        (starts if is_restore else stops)[status] += number
        if code and status in TROUBLED:
            codes[code] += number
    buckets = Bucket.objects.filter(
        Q(name=throttle.APPLICATION) | Q(blocked_until__gt=now)
    ).order_by("name")
    by_name = {bucket.name: bucket for bucket in buckets}
    waiting, duration = _fan_out(
        stops[CommandStatus.QUEUED],
        starts[CommandStatus.QUEUED],
        by_name.get(throttle.APPLICATION),
        now=now,
    )
    return shapes.Commands(
        counts=tuple(
            shapes.CommandCount(
                status=status,
                meaning=meaning,
                stops=stops[status],
                starts=starts[status],
                tone=tone if stops[status] or starts[status] else "",
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


def _fan_out(
    stops: int, starts: int, application: Bucket | None, *, now: datetime
) -> tuple[str, str]:
    """Return what waits, and how long until the last of it is sent."""
    if not stops and not starts:
        return "Nothing waits", ""
    words = [
        counted(number, one)
        for number, one in ((stops, "stop"), (starts, "start"))
        if number
    ]
    calls = stops + starts
    if stops and application is not None:
        # Stops may not touch the calls that are kept for restores.
        calls += int(throttle.reserve_calls(application))
    verb = "waits" if stops + starts == 1 else "wait"
    duration = throttle.duration_of(calls, now=now)
    if not duration:
        return f"{' and '.join(words)} {verb}", "going out now"
    return f"{' and '.join(words)} {verb}", f"about {span(duration)}"


def _name(bucket: Bucket) -> str:
    if bucket.name == throttle.APPLICATION:
        return "The provider"
    return bucket.name.removeprefix("make:").title()
