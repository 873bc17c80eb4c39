"""`manage.py safekeep`: the second place by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dispatch.safekeeping import adopt, guard, learn, place, sheet
from dispatch.safekeeping.sheet import Sheet, Unreadable
from dispatch.safekeeping.store import StoreAway
from fleets import clock


class Command(BaseCommand):
    """Write a sheet, compare the newest, learn from a journal, or make a key."""

    help = (
        "keep: write what is owed to the second place, now. compare: say what the "
        "newest sheet owes and the database does not know. learn: take over what a "
        "journal says was given back without us, while nothing else runs. key: print "
        "a new key for SAFEKEEPING_KEYS."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["keep", "compare", "learn", "key"])
        parser.add_argument("--from", dest="file", type=Path, help="a journal")

    def handle(self, *, what: str, file: Path | None, **options: Any) -> None:
        if what == "key":
            self.stdout.write(sheet.new_key())
        elif what == "keep":
            self._keep()
        elif what == "compare":
            self._compare()
        else:
            self._learn(file)

    def _keep(self) -> None:
        if not guard.is_configured():
            raise CommandError("SAFEKEEPING_URL names no second place.")
        if not guard.keep(now=clock.now(), real_now=clock.real_now()):
            raise CommandError("It could not be written: see the log line above.")
        name, kept = self._newest()
        self.stdout.write(f"sheet {name}: {len(kept.owed)} cars")

    def _compare(self) -> None:
        name, kept = self._newest()
        differs = adopt.compare(kept)
        self.stdout.write(
            f"sheet {name} of {kept.head.written_real_at:%Y-%m-%d %H:%M:%S} UTC: "
            f"{differs.unknown:,} of its {len(kept.owed):,} cars no row knows"
        )
        if differs.went_back:
            self.stdout.write(
                "The database has gone back in time; "
                f"{differs.ended:,} of its open holds had ended."
            )

    def _newest(self) -> tuple[str, Sheet]:
        try:
            there = place.of_settings()
            newest = there.newest() if there else None
        except (StoreAway, Unreadable, ValueError) as error:
            raise CommandError(str(error)) from None
        if newest is None:
            raise CommandError("There is no sheet in the second place.")
        return newest

    def _learn(self, file: Path | None) -> None:
        if file is None:
            raise CommandError("Name the journal by --from.")
        try:
            lines = [json.loads(line) for line in file.read_bytes().splitlines()]
            found = learn.learn(lines, subject=file.name[:50], now=clock.now())
        except (OSError, ValueError, KeyError, StoreAway) as error:
            raise CommandError(f"{file} is no journal: {error}") from None
        if found is None:
            raise CommandError("A sender is at work: stop the workers, wait, repeat.")
        for end, count in sorted(found.by_end.items()):
            self.stdout.write(f"{count:>7,} {end}")
        self.stdout.write(f"{found.unshown:>7,} started, waiting for a reading")
