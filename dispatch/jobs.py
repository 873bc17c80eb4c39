"""A call that is to be made now: what a claim hands out, and an outcome answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dispatch import limits
from dispatch.lifecycle import CommandKind
from dispatch.metering import Scope
from fleets.providers import makes
from fleets.providers.base import VehicleKey


@dataclass(frozen=True, slots=True)
class Job:
    """One call that is to be made now. A read asks the car what came of a command.

    A limit is written in two: a look, and the write if the look allows it.
    """

    command_id: int
    vehicle_id: int
    hold_id: int
    key: VehicleKey
    make: str
    kind: str
    percent: int | None
    is_restore: bool
    is_read: bool
    attempt: int
    may_have_landed: bool
    claimed_at: datetime
    scopes: frozenset[Scope]  # whose envelopes its load counts against
    power_kw: float
    instead_of: int | None = None  # the limit that `percent` may replace
    has_looked: bool = False

    @property
    def is_look(self) -> bool:
        """Say whether it only asks yet whether a limit may be written."""
        return self.kind == CommandKind.SET_LIMIT and not (
            self.is_read or self.has_looked
        )

    @property
    def calls(self) -> int:
        """Return how many calls it may come to."""
        return limits.CALLS if self.is_look else 1

    @property
    def freshness_seconds(self) -> float:
        return makes.freshness(self.make).total_seconds()
