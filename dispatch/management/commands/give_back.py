"""`manage.py give_back`: restore what is owed without the main system."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dispatch.safekeeping import session, sheet
from dispatch.safekeeping.journal import Busy
from dispatch.safekeeping.session import MainLives, NothingThere, Source
from dispatch.safekeeping.store import StoreAway
from dispatch.safekeeping.takeover import AnotherGives
from fleets import clock

# What may keep a giving from beginning; each says in words what it is.
REFUSALS = (
    AnotherGives, Busy, MainLives, NothingThere, OSError, StoreAway, sheet.Unreadable,
    ValueError,
)  # fmt: skip
FIRST_SHOWN = 10


class Command(BaseCommand):
    """Give back from a sheet: no database, no Redis, only the provider."""

    help = (
        "Give cars back what they are owed, by a sheet of the second place. Ends with "
        "0 when nothing is owed any more, with 1 otherwise. The same command goes on "
        "where one that was killed left off."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--from", dest="file", type=Path, help="a sheet; else the newest there is")
        add(
            "--calls-left",
            type=float,
            default=0.0,
            help="calls that are certainly left of the provider's; default 0",
        )
        add(
            "--hours",
            type=float,
            default=12.0,
            help="until a car that does not answer is given up; default 12",
        )
        add("--main-is-gone", action="store_true", help="whatever its sign of life")
        add("--dry-run", action="store_true", help="show what is owed, call nobody")
        add("--json", action="store_true", help="the last line is one JSON object")

    def handle(
        self,
        *,
        file: Path | None,
        calls_left: float,
        hours: float,
        main_is_gone: bool,
        dry_run: bool,
        **options: Any,
    ) -> None:
        try:
            source = session.find(file)
            if dry_run:
                self._show(source, as_json=options["json"])
                return
            if not main_is_gone:
                session.refuse_if_alive(source, real_now=clock.real_now())
            found = session.give_back(
                source,
                calls_left=calls_left,
                patience=timedelta(hours=hours),
                say=self._say,
            )
        except REFUSALS as error:
            raise CommandError(str(error)) from None
        for line in found.lines():
            self._say(line)
        if options["json"]:
            self.stdout.write(json.dumps(found.as_dict()))
        if not found.is_complete:
            sys.exit(1)

    def _show(self, source: Source, *, as_json: bool) -> None:
        """Tell what would be done, and how long it would take."""
        head, owed = source.sheet.head, source.sheet.owed
        minutes = 2 * len(owed) / head.calls.refill_per_minute  # a start and a look
        told = {
            "installation": head.installation,
            "written_at": head.written_at.isoformat(),
            "alive_at": head.alive_at.isoformat(),
            "cars": len(owed),
            "kw": round(sum(car.power_kw for car in owed), 1),
            "calls_a_minute": head.calls.refill_per_minute,
            "calls_left_then": head.calls.left,
            "minutes_at_that_rate": round(minutes),
        }
        for name, value in told.items():
            self._say(f"{name:<22} {value}")
        by_slack = sorted(
            (car for car in owed if car.latest_start_at),
            key=lambda car: (car.latest_start_at, car.hold_id),
        )
        for car in by_slack[:FIRST_SHOWN]:
            self._say(f"  by {car.latest_start_at:%H:%M} {car.make} {car.vehicle_id}")
        if as_json:
            self.stdout.write(json.dumps(told))

    def _say(self, line: str) -> None:
        self.stderr.write(line, style_func=str)
