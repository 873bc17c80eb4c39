"""Whose turn it is: cars that wait for their time, lanes of those that may go. Pure.

A lane of gifts for those that the same ramps and envelopes bound, since these may hold
up some and not others, and one for cars that were given what they are owed and wait to
be shown. Each lane is in order of slack; gifts go before confirmations.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import UTC, datetime

from dispatch.lifecycle import UNPROVEN_COMMAND
from dispatch.safekeeping.journal import Progress
from dispatch.safekeeping.sheet import Owed

FOREVER = datetime.max.replace(tzinfo=UTC)
# By slack, then hold.
Turn = tuple[datetime, int]


class Lanes:
    """Open cars, each in one place."""

    def __init__(self) -> None:
        """Begin empty."""
        self._waiting: list[Turn] = []  # by the time they are due
        # By what bounds them: one that waits for its feeder holds up no other feeder.
        self._bounds: dict[tuple[str, ...], list[Turn]] = {}
        self._confirm: list[Turn] = []

    def __bool__(self) -> bool:
        """Say whether anybody is left."""
        return bool(self._waiting) or self.anybody_ready

    @property
    def anybody_ready(self) -> bool:
        """Say whether somebody's time has come."""
        return bool(self._confirm) or any(self._bounds.values())

    def wait(self, hold_id: int, *, until: datetime) -> None:
        """Let a car wait for its time."""
        heapq.heappush(self._waiting, (until, hold_id))

    def woken(self, now: datetime) -> list[int]:
        """Take out the cars whose time has come."""
        found = []
        while self._waiting and self._waiting[0][0] <= now:
            found.append(heapq.heappop(self._waiting)[1])
        return found

    def line_up(self, car: Owed, progress: Progress) -> None:
        """Put a car whose time has come into its lane."""
        if progress.command in UNPROVEN_COMMAND:
            lane = self._confirm
        else:
            lane = self._bounds.setdefault(car.ramps, [])
        heapq.heappush(lane, (car.latest_start_at or FOREVER, car.hold_id))

    def next(self, may_go: Callable[[datetime, int], bool]) -> int | None:
        """Take out the car whose turn it is, of those whose ramp lets it go."""
        ready = [lane for lane in self._bounds.values() if lane and may_go(*lane[0])]
        lane = min(ready, key=lambda one: one[0]) if ready else self._confirm
        return heapq.heappop(lane)[1] if lane else None
