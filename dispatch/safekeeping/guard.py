"""The main system's side: a copy every minute, and a look before every act.

`keep` runs every minute. `may_act` stands before every turn and every sending: it is a
row, so it costs nothing, and it is true for as long as nobody can have taken over. The
watchdog waits for `WATCHDOG_PATIENCE_MINUTES` without a sign of life; a look is good
for half of that. A person may be quicker than the watchdog, so a process that has just
begun trusts no look that is older than itself: a system that comes back looks first.

When the second place does not answer, restores go on and nothing new is taken: a copy
is missing, and somebody may be giving back without our knowing. Two may give, only one
may take.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db.models import Max

from dispatch import alarms, switch
from dispatch.models import Alarm, Envelope, Hold, SecondPlace
from dispatch.safekeeping import adopt, export, learn, place, sheet, takeover
from dispatch.safekeeping.place import Place
from dispatch.safekeeping.sheet import Unreadable
from dispatch.safekeeping.store import StoreAway

log = structlog.get_logger(__name__)

# Three copies in a row that did not come about.
COPY_TOO_OLD = timedelta(minutes=3)
# New holds wake a copy of their own; not more often than this (real).
SOONEST_AGAIN = timedelta(seconds=5)
# Who presses the switch while the second place is away; and once cars were given back.
AWAY = "second place"
TOO_OLD_KEY = "second-place:too-old"
GIVEN_KEY = "second-place:given"
ADOPTED_KEY = "second-place:adopted"

# When this process first asked; a forked child is another process (real).
_born: dict[int, datetime] = {}


def is_configured() -> bool:
    """Say whether there is a second place at all."""
    return bool(settings.SAFEKEEPING_URL)


def patience() -> timedelta:
    """Return for how long a look is good: half of the watchdog's patience."""
    return timedelta(minutes=settings.WATCHDOG_PATIENCE_MINUTES) / 2


def may_act(*, real_now: datetime) -> bool:
    """Say whether nobody can be giving back in our place."""
    if not is_configured():
        return True
    born = _born.setdefault(os.getpid(), real_now)
    row = SecondPlace.objects.first()
    return (
        row is not None
        and row.may_act
        and row.looked_at is not None
        and row.looked_at >= born
        and real_now - row.looked_at < patience()
    )


def look(*, now: datetime, real_now: datetime) -> bool:
    """Look for somebody who gives back for us, and learn; say whether we may act.

    Called before a turn when the last look is too old, and every minute.
    """
    try:
        may = _learn_all(now=now, real_now=real_now)
    except (StoreAway, Unreadable, ValueError) as error:
        log.warning("second_place_away", error=str(error))
        _hold_back(now=now, real_now=real_now)
        may = True  # restores go on; a second start finds the car charging
    SecondPlace.objects.update_or_create(
        pk=1, defaults={"looked_at": real_now, "may_act": may}
    )
    return may


def keep(*, now: datetime, real_now: datetime) -> bool:
    """Write the sheet of this minute; say whether it lies in the second place."""
    try:
        there = place.of_settings()
        # A sheet that was not compared yet may be all that knows some holds.
        if there is None or not _catch_up(there, now=now):
            return False
        newest = Hold.objects.aggregate(pk=Max("pk"))["pk"] or 0
        data = sheet.sealed(
            export.head(now=now, real_now=real_now),
            export.owed(now=now),
            keys=place.keys(),
        )
        there.keep(data, written_real_at=real_now, most=settings.SAFEKEEPING_KEPT)
    except (StoreAway, Unreadable, ValueError) as error:
        log.warning("sheet_not_kept", error=str(error))
        watch(now=now, real_now=real_now)
        return False
    SecondPlace.objects.update_or_create(
        pk=1, defaults={"kept_at": real_now, "kept_hold": newest}
    )
    alarms.clear([TOO_OLD_KEY], now=now)
    _let_go(now=now)
    return True


def is_due(*, real_now: datetime) -> bool:
    """Say whether something was taken that the newest sheet does not know."""
    row = SecondPlace.objects.first() if is_configured() else None
    if row is None:
        return False
    if row.kept_at is not None and real_now - row.kept_at < SOONEST_AGAIN:
        return False
    return Hold.objects.open().filter(pk__gt=row.kept_hold).exists()


def watch(*, now: datetime, real_now: datetime) -> None:
    """Alarm when the newest sheet is too old to be of use."""
    if not is_configured():
        return
    row = SecondPlace.objects.first()
    kept_at = row.kept_at if row else None
    if kept_at is not None and real_now - kept_at < COPY_TOO_OLD:
        return
    since = f"since {kept_at:%H:%M:%S} UTC" if kept_at else "ever"
    alarms.raise_alarm(
        TOO_OLD_KEY,
        f"What is owed was not copied to the second place {since}: "
        "nobody could give it back without us",
        now=now,
    )


def _learn_all(*, now: datetime, real_now: datetime) -> bool:
    """Learn what was done without us; False while somebody still gives back."""
    there = place.of_settings()
    if there is None:
        return True
    if not _catch_up(there, now=now):
        return False
    numbers = there.numbers()
    if not numbers:
        return True
    newest = numbers[-1]
    there.recall(newest, at=real_now)
    lines = list(there.lines(numbers))
    own = [line for line in lines if line["run"] == newest]
    if not takeover.ended(own) and takeover.is_alive(there, newest, real_now=real_now):
        log.warning("given_back_without_us", takeover=newest, state="still running")
        return False
    switch.stop_new_holds(program=None, actor=learn.ACTOR, now=now, why=learn.REASON)
    learnt = learn.learn(lines, subject=f"takeover {newest}", now=now)
    if learnt is None:
        return False
    alarms.raise_alarm(
        GIVEN_KEY,
        f"{learnt.count} cars were given back without us; new holds are stopped "
        "until a person allows them",
        now=now,
        severity=Alarm.Severity.WARNING,
    )
    there.mark_learnt(newest, at=real_now)
    log.warning("given_back_without_us", takeover=newest, holds=learnt.count)
    return True


def _catch_up(there: Place, *, now: datetime) -> bool:
    """Adopt what the newest sheet owes and no row knows; False while that must wait.

    Our row names the newest sheet. One that is newer was written by a system whose
    last commits are gone, or a moment ago by another process of ours.
    """
    row = SecondPlace.objects.first()
    if not there.has_newer(row.kept_at if row else None):
        return True
    newest = there.newest()
    if newest is None or not adopt.compare(newest[1]).is_lost:
        return True
    # First of all, so that no stop leaves that was queued when the backup was made.
    switch.stop_new_holds(program=None, actor=adopt.ACTOR, now=now, why=adopt.REASON)
    adopted = adopt.adopt(newest[1], now=now)
    if adopted is None:
        return False
    if adopted.is_lost:
        alarms.raise_alarm(
            ADOPTED_KEY,
            f"The database is older than the newest sheet: {adopted.unknown} holds were"
            " adopted from it; new holds are stopped until a person allows them",
            now=now,
        )
        log.error("database_went_back", unknown=adopted.unknown, ended=adopted.ended)
    return True


def _hold_back(*, now: datetime, real_now: datetime) -> None:
    """Take nothing new while no copy of it can be kept."""
    row = SecondPlace.objects.first()
    kept_at = row.kept_at if row else None
    if kept_at is not None and real_now - kept_at < patience():
        return
    if not _stopped_by():
        switch.stop_new_holds(
            program=None, actor=AWAY, now=now, why="no copy can be kept"
        )


def _let_go(*, now: datetime) -> None:
    """Undo what `_hold_back` did, and nobody else's stop."""
    stopped_by = _stopped_by()
    if stopped_by == AWAY:
        switch.allow_new_holds(
            program=None, actor=AWAY, now=now, why="copies are kept again"
        )
    elif not stopped_by:  # a person has looked, and allowed new holds
        alarms.clear([GIVEN_KEY, ADOPTED_KEY], now=now)


def _stopped_by() -> str:
    """Return who stopped all new holds, or '' when nobody did."""
    everything = Envelope.objects.filter(program=None, feeder=None)
    return everything.values_list("holds_stopped_by", flat=True).first() or ""
