"""Careful looks into JSON that outsiders wrote: a wrong shape is None, never an error.

Nothing here raises, whatever stands in the value.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

# 1e11 seconds is the year 5138, 1e11 milliseconds is 1973.
_MILLISECONDS_FROM = 1e11
_LONGEST_ID = 100


def get(value: object, *path: str) -> object:
    """Return what stands at the end of a path of keys, or None."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def items(value: object) -> list[object]:
    """Return the value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """Return the value if it is text, else ''."""
    return value if isinstance(value, str) else ""


def identifier(value: object) -> str:
    """Return an id of 1 to 100 plain characters, or '' if it is none."""
    word = text(value)
    is_plain = word.isascii() and word.isprintable() and " " not in word
    return word if is_plain and len(word) <= _LONGEST_ID else ""


def flag(value: object) -> bool | None:
    """Return the value if it is true or false, else None."""
    return value if isinstance(value, bool) else None


def number(value: object) -> float | None:
    """Return the value if it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def instant(value: object) -> datetime | None:
    """Return a time stamp in UTC: epoch seconds, epoch milliseconds or ISO 8601.

    All three are seen on the wire. A zero means "never"; ISO without a zone is UTC.
    """
    try:
        if isinstance(value, str):
            if value.replace(".", "", 1).isdecimal():
                return instant(float(value))
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            return moment.astimezone(UTC)
        seconds = number(value)
        if seconds is None or seconds <= 0:
            return None
        if seconds >= _MILLISECONDS_FROM:
            seconds /= 1000
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
