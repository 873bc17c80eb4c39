"""Numbers and times as an operator reads them. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def kilowatts(value: float) -> str:
    """Return a power with one decimal, without one where it would only be noise."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}"


def span(duration: timedelta) -> str:
    """Return a duration in the two units that matter."""
    duration = max(duration, timedelta())
    if duration < 1.5 * MINUTE:
        return f"{duration.total_seconds():.0f} s"
    if duration < 1.5 * HOUR:
        return f"{duration / MINUTE:.0f} min"
    if duration < 2 * DAY:
        hours, minutes = divmod(round(duration / MINUTE), 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{duration / DAY:.0f} days"


def clock_time(moment: datetime, zone: ZoneInfo, *, seen_from: datetime) -> str:
    """Return hours and minutes, with the weekday unless it is today's."""
    there, here = moment.astimezone(zone), seen_from.astimezone(zone)
    return f"{there:%H:%M}" if there.date() == here.date() else f"{there:%a %H:%M}"


def counted(number: int, one: str) -> str:
    """Return a number with its noun: "1 stop", "120 stops"."""
    return f"{number:,} {one}" if number == 1 else f"{number:,} {one}s"


def sentence(text: str) -> str:
    """Return a text that begins with a capital letter."""
    return text[:1].upper() + text[1:]
