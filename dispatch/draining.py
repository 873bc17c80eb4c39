"""A worker that is asked to end takes nothing new, and waits for what is on the wire.

The request reaches the worker's parent; its children send. So it stands in memory that
a forked child shares with its parent.
"""

from __future__ import annotations

import mmap
import struct
import time

_MOMENT = struct.Struct("d")
# When it was asked to end, on the monotonic clock, which is the whole machine's; or 0.
_asked = mmap.mmap(-1, _MOMENT.size)


def begin() -> None:
    """Ask this process, and those that were forked from it, to end."""
    if not is_underway():
        _asked[:] = _MOMENT.pack(time.monotonic())


def is_underway() -> bool:
    """Say whether somebody asked."""
    return _asked_at() > 0.0


def is_over(seconds: float) -> bool:
    """Say whether that is so many seconds ago: what is on the wire is let go."""
    return is_underway() and time.monotonic() - _asked_at() > seconds


def forget() -> None:
    """Go on as if nobody had asked: for tests."""
    _asked[:] = _MOMENT.pack(0.0)


def _asked_at() -> float:
    (moment,) = _MOMENT.unpack(_asked[:])
    return float(moment)
