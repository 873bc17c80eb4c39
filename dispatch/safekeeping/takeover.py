"""One giving at a time, and its traces where the main system will find them.

The second place may be away while we give back: then the journal on our own disk goes
on alone, and what it holds is handed in as soon as the place answers again.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from dispatch.safekeeping.place import Line, Place, Takeover
from dispatch.safekeeping.sheet import Unreadable
from dispatch.safekeeping.store import StoreAway

log = structlog.get_logger(__name__)

# Real seconds between two signs of life of a giving.
ALIVE_EVERY_SECONDS = 5.0
# Without one for so long it counts as dead, and somebody else may go on: clocks of two
# hosts may differ by some seconds, and the place may be slow.
DEAD_AFTER = timedelta(seconds=120)
# A place that is away costs a time-out; it is not asked more often.
AWAY_AGAIN_SECONDS = 30.0


class AnotherGives(Exception):
    """Somebody else gives back already, or has; the message says who."""


class Fence:
    """Our takeover: held against others, and a trail for the main system."""

    def __init__(self, place: Place, number: int) -> None:
        """Stand behind a takeover that was begun."""
        self.number = number
        self._place = place
        self._piece = 0
        self._waiting: list[Line] = []
        self._shown_at = float("-inf")
        self._ask_after = float("-inf")

    def hand_in(self, lines: Sequence[Line]) -> None:
        """Keep these lines in the second place, or as soon as it answers."""
        self._waiting += lines
        if not self._waiting or time.monotonic() < self._ask_after:
            return
        try:
            self._place.write_lines(self.number, piece=self._piece, lines=self._waiting)
        except StoreAway as error:
            self._away(error)
            return
        self._piece += 1
        self._waiting = []

    def hand_in_rest(self) -> bool:
        """Try once more, whenever that failed last; say whether all of it is there."""
        self._ask_after = float("-inf")
        self.hand_in([])
        return not self._waiting

    def must_end(self, *, real_now: datetime) -> bool:
        """Show a sign of life, and say whether somebody wants us to end."""
        now = time.monotonic()
        if now < max(self._shown_at + ALIVE_EVERY_SECONDS, self._ask_after):
            return False
        try:
            self._place.show_alive(self.number, at=real_now)
            self._shown_at = now
            return self._place.is_recalled(self.number)
        except (StoreAway, Unreadable) as error:
            self._away(error)
            return False

    def _away(self, error: Exception) -> None:
        log.warning("second_place_away", error=str(error))
        self._ask_after = time.monotonic() + AWAY_AGAIN_SECONDS


def is_alive(place: Place, number: int, *, real_now: datetime) -> bool:
    """Say whether a takeover showed a sign of life of late."""
    seen = place.alive_at(number)
    begun = place.takeover(number)
    newest = max((at for at in (seen, begun and begun.at) if at), default=None)
    return newest is not None and real_now - newest < DEAD_AFTER


def ended(lines: Sequence[Line]) -> bool:
    """Say whether a takeover came to its end by itself."""
    return bool(lines) and lines[-1]["did"] == "ended"


def begin(
    place: Place, *, name_of_sheet: str, real_now: datetime, was_ours: bool = False
) -> Fence:
    """Take over; raise AnotherGives when somebody else is at it.

    `was_ours`: the journal lies here. Then its process is not waited for when it is
    seen to be gone.
    """
    for number in place.numbers()[-1:]:
        who = place.takeover(number)
        if was_ours and who is not None and _has_died_here(who):
            continue
        lines = list(place.lines([number]))
        if not ended(lines) and is_alive(place, number, real_now=real_now):
            host = who.host if who else "somebody"
            raise AnotherGives(f"{host} gives back already (takeover {number}).")
    taken = place.begin(
        name_of_sheet=name_of_sheet,
        host=socket.gethostname(),
        pid=os.getpid(),
        at=real_now,
    )
    if taken is None:
        raise AnotherGives("Somebody else took over in this moment.")
    return Fence(place, taken.number)


def _has_died_here(who: Takeover) -> bool:
    """Say whether this host ran a giving, and does not any more."""
    if who.host != socket.gethostname():
        return False
    try:
        os.kill(who.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return who.pid == os.getpid()  # a watchdog that begins again
