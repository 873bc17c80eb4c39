"""The watchdog's mind: is the main system gone, and is anything left to give?"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import structlog
from django.conf import settings

from dispatch.safekeeping import session, takeover
from dispatch.safekeeping.journal import Busy
from dispatch.safekeeping.place import Place
from dispatch.safekeeping.session import Source
from dispatch.safekeeping.sheet import Unreadable
from dispatch.safekeeping.store import StoreAway
from dispatch.safekeeping.takeover import AnotherGives
from fleets import clock

log = structlog.get_logger(__name__)

PROBE_SECONDS = 5.0


class State(StrEnum):
    """What a look found."""

    BLIND = "the second place does not answer"  # so nothing is known: do nothing
    EMPTY = "there is no sheet yet"
    ALIVE = "the main system is alive"
    SILENT = "silent in the second place, but it answers"
    NOTHING_OWED = "gone, and nothing is owed"
    GIVEN = "gone, and giving back came to its end: see its report"
    OTHERS = "gone, and somebody else gives back"
    GAVE = "gone, and we gave back"


@dataclass
class Watch:
    """Looks from time to time, and remembers what was said last."""

    place: Place
    probe: str
    patience: timedelta
    state: State | None = None

    def look(self, *, say: Callable[[str], None]) -> State:
        """Look once; give back if the main system is gone. Return what was found."""
        try:
            found = self._look(say)
        except (StoreAway, Unreadable) as error:
            log.error("watchdog_blind", error=str(error))
            found = State.BLIND
        if found is not self.state:
            log.warning("watchdog", state=str(found))
        self.state = found
        return found

    def _look(self, say: Callable[[str], None]) -> State:
        newest = self.place.newest()
        if newest is None:
            return State.EMPTY
        name, sheet = newest
        patience = timedelta(minutes=settings.WATCHDOG_PATIENCE_MINUTES)
        if clock.real_now() - sheet.head.alive_at < patience:
            return State.ALIVE
        if self.probe and answers(self.probe, silent_after=patience):
            return State.SILENT
        if not sheet.owed:
            return State.NOTHING_OWED
        if self._was_given(name):
            return State.GIVEN
        try:
            found = session.give_back(
                Source(name, sheet, None, self.place),
                calls_left=0.0,
                patience=self.patience,
                say=say,
            )
        except (AnotherGives, Busy) as error:
            log.info("watchdog_waits", reason=str(error))
            return State.OTHERS
        log.warning("given_back", **found.as_dict())
        return State.GAVE

    def _was_given(self, name: str) -> bool:
        """Say whether a giving from this very sheet came to its end."""
        for number in self.place.numbers()[-1:]:
            taken = self.place.takeover(number)
            lines = list(self.place.lines([number]))
            if taken is None or taken.sheet != name or not takeover.ended(lines):
                continue
            # One that was recalled left the rest to the main system.
            return not lines[-1]["recalled"]
        return False


def answers(url: str, *, silent_after: timedelta) -> bool:
    """Say whether the main system answers and, where it tells, its loop turns."""
    is_error = False
    try:
        with urllib.request.urlopen(url, timeout=PROBE_SECONDS) as response:  # noqa: S310  (the operator's own address)
            body = response.read(100_000)
    except urllib.error.HTTPError as error:
        is_error = True
        body = error.read(100_000)  # 503 of /readyz: a part fails, the rest may live
    except (OSError, ValueError):
        return False
    try:
        age = json.loads(body).get("last_tick_age_seconds", 0.0)
    except (ValueError, AttributeError):
        return not is_error  # a proxy answers in a dead system's place
    return age is not None and float(age) < silent_after.total_seconds()
