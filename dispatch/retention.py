"""How long readings and changes are kept: by the settings, and while anything is open.

Old days and months go whole. What led to a hold that is still open, or to an event that
still runs, stays whatever its age: somebody will have to explain it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Min

from dispatch.models import Forecast, GridEvent, Hold, QuarterSample
from fleets import partitions

# Partitions ahead of a clock that may run 600 times as fast as this is called.
AHEAD = timedelta(days=3)
# What was read and decided before an event's start belongs to its story.
STORY_BEFORE = timedelta(days=1)


def make_ahead(now: datetime) -> None:
    """Make the pieces that rows will soon need."""
    for table in (partitions.READINGS, partitions.CHANGES):
        table.make_ahead(now, ahead=AHEAD)


def drop_old(now: datetime) -> list[str]:
    """Drop the pieces whose time has passed; return their names."""
    open_since = _open_since()
    dropped = []
    for table, days in (
        (partitions.READINGS, settings.READINGS_KEPT_DAYS),
        (partitions.CHANGES, settings.CHANGES_KEPT_DAYS),
    ):
        until = now - timedelta(days=days)
        dropped += table.drop_before(min(until, open_since or until))
    return dropped


def delete_old(now: datetime) -> None:
    """Delete samples and forecasts, with their scores, whose time has passed."""
    QuarterSample.objects.filter(
        at__lt=now - timedelta(days=settings.SAMPLES_KEPT_DAYS)
    ).delete()
    Forecast.objects.filter(
        issued_at__lt=now - timedelta(days=settings.FORECASTS_KEPT_DAYS)
    ).delete()


def _open_since() -> datetime | None:
    """Return when the oldest story began that has no end yet."""
    holds = Hold.objects.open().aggregate(Min("opened_at"))["opened_at__min"]
    events = GridEvent.objects.running().aggregate(Min("starts_at"))["starts_at__min"]
    begun = [moment for moment in (holds, events) if moment is not None]
    return min(begun) - STORY_BEFORE if begun else None
