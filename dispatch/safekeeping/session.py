"""One giving from beginning to end: the sheet, the fence, the journal, the provider."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog
import uvloop
from django.conf import settings

from dispatch.safekeeping import journal as journals
from dispatch.safekeeping import place as places
from dispatch.safekeeping import sheet as sheets
from dispatch.safekeeping import takeover
from dispatch.safekeeping.allowance import Allowance
from dispatch.safekeeping.giving import Giving
from dispatch.safekeeping.journal import Journal
from dispatch.safekeeping.place import Place
from dispatch.safekeeping.report import Found
from dispatch.safekeeping.sheet import Sheet, Unreadable
from dispatch.safekeeping.store import StoreAway
from dispatch.safekeeping.takeover import Fence
from fleets import clock
from fleets.providers import smartcar

log = structlog.get_logger(__name__)

# The HTTP library's threads go on for some milliseconds after a client is closed.
LETTING_GO_SECONDS = 0.1


class NothingThere(Exception):
    """There is no sheet to give back from."""


class MainLives(Exception):
    """The main system gave a sign of life of late: it gives back itself."""


@dataclass(frozen=True, slots=True)
class Source:
    """A sheet, and where it was found."""

    name: str
    sheet: Sheet
    file: Path | None
    place: Place | None


def find(file: Path | None) -> Source:
    """Return the sheet in this file, or the newest in the second place.

    Raise NothingThere, Unreadable, StoreAway, or ValueError for keys that are none.
    """
    there = places.of_settings()
    if file is not None:
        sheet = sheets.opened(file.read_bytes(), keys=places.keys())
        return Source(file.name, sheet, file, there)
    if there is None:
        raise NothingThere("Name a sheet by --from, or the second place by settings.")
    newest = there.newest()
    if newest is None:
        raise NothingThere(f"There is no sheet in {settings.SAFEKEEPING_URL}.")
    return Source(*newest, None, there)


def refuse_if_alive(source: Source, *, real_now: datetime) -> None:
    """Raise MainLives while the newest sign of life that we can see is fresh.

    A file may be an old copy: what it says of the main system is of then. The second
    place knows better, as long as it answers.
    """
    age = real_now - _alive_at(source)
    if age < timedelta(minutes=settings.WATCHDOG_PATIENCE_MINUTES):
        raise MainLives(
            f"The main system was alive {age.total_seconds():.0f} s ago. "
            "Say --main-is-gone if you know better."
        )


def _alive_at(source: Source) -> datetime:
    seen = source.sheet.head.alive_at
    if source.file is None or source.place is None:
        return seen
    try:
        newest = source.place.newest()
    except (StoreAway, Unreadable) as error:
        log.warning("second_place_away", error=str(error))
        return seen
    return seen if newest is None else max(seen, newest[1].head.alive_at)


def give_back(
    source: Source,
    *,
    calls_left: float,
    patience: timedelta,
    say: Callable[[str], None],
) -> Found:
    """Give back what a sheet says, and return what came of it.

    Raise AnotherGives or Busy when somebody else is at it.
    """
    sheet = source.sheet
    timeline = sheet.head.timeline
    clock.detach(timeline)
    fence, before = _take_over(source, say=say)
    journal = Journal(_path_of_journal(source, before))
    loop = uvloop.new_event_loop()
    provider = smartcar.Smartcar(smartcar.obtain_alone)
    try:
        _refuse_another_sheets(journal, source)
        if fence is not None and source.place is not None:
            there = list(source.place.lines(before))
            journal.go_on(fence.number, there)
            # What the place was away for, when whoever noted it here died.
            fence.hand_in(journals.missing(journal.lines, among=there))
        if journal.lines:
            say(f"Going on after {len(journal.lines)} lines of {journal.path}.")
        giving = Giving(
            sheet=sheet,
            journal=journal,
            provider=provider,
            loop=loop,
            allowance=Allowance(
                sheet.head.calls,
                clock.now(),
                calls_left=calls_left,
                speed=timeline.speed,
                ramps=sheet.head.ramps,
            ),
            patience=patience,
            fence=fence,
            say=say,
        )
        found = giving.run()
        if fence is not None and not fence.hand_in_rest():
            say(
                "The second place does not know all of this. Before the main system"
                f" starts: manage.py safekeep learn --from {journal.path}"
            )
        return found
    finally:
        journal.close()
        loop.run_until_complete(provider.close())
        loop.close()
        time.sleep(LETTING_GO_SECONDS)


def _take_over(
    source: Source, *, say: Callable[[str], None]
) -> tuple[Fence | None, list[int]]:
    """Take over in the second place; return the takeovers that we go on with.

    Without that place there is only the journal's lock to keep two of us apart.
    """
    if source.place is None:
        return None, []
    try:
        before = source.place.numbers()
        fence = takeover.begin(
            source.place,
            name_of_sheet=source.name,
            real_now=clock.real_now(),
            was_ours=bool(before) and _path_of_journal(source, before).exists(),
        )
    except StoreAway as error:
        if source.file is None:
            raise
        say(f"The second place is away ({error}): the main system will not know.")
        return None, []
    return fence, [*before, fence.number]


def _path_of_journal(source: Source, takeovers: list[int]) -> Path:
    """Return where the journal is: beside its file, or named by the first takeover."""
    if source.file is not None:
        return source.file.with_name(f"{source.file.name}.journal")
    assert source.place is not None, "what is no file came from the second place"
    first = source.place.takeover(takeovers[0])
    # Numbers begin anew in a new second place, and its holds are others.
    begun = f"{first.at:%Y%m%dT%H%M%S%f}" if first else "gone"
    folder = Path(settings.DATA_DIR) / "give-back"
    return folder / f"takeover-{takeovers[0]:06d}-{begun}.journal"


def _refuse_another_sheets(journal: Journal, source: Source) -> None:
    """Raise NothingThere for a journal beside a file that tells of another sheet."""
    if source.file is None:
        return  # a newer sheet of the same holds may go on with it
    written_at = source.sheet.head.written_at.isoformat()
    for line in journal.lines:
        if line["did"] == "began" and line["sheet"] != written_at:
            raise NothingThere(
                f"{journal.path} tells of another sheet: move it out of the way."
            )
