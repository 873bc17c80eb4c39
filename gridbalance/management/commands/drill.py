"""`manage.py drill`: try on real processes what must work on the worst day.

In a data folder of its own (`.gridbalance/drill`), with servers of its own.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from gridbalance.own_folder import enter

WHAT = ("end-of-main-system", "backup", "upgrade", "hold-target", "recorded-night")
PER_MINUTE = {"hold-target": 600.0, "recorded-night": 600.0}
USUAL_PER_MINUTE = 240.0


class Command(BaseCommand):
    """Lose the main system, bring a backup back, or upgrade in the middle of it."""

    help = (
        "end-of-main-system: hold a simulated fleet, kill everything but the provider "
        "for good, give back from the second place, come back and learn. backup: "
        "destroy the database, restore a backup that knows half of what is owed, and "
        "adopt the rest. upgrade: let workers of another revision and of this one work "
        "side by side. hold-target: "
        "hold a target while a tenth of the cars ignores its stops and a maker is down "
        "for half an hour, judged by the simulator. recorded-night: an event from 16 "
        "to 20 h over recorded charging sessions, and everything given back overnight "
        "under the cap that a rehearsal finds. Ends with 0 if all went well."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("what", choices=WHAT)
        add("--vehicles", type=int, default=2000)
        add("--per-minute", type=float, help="calls by contract")
        add("--kills", type=int, default=1, help="of give_back itself")
        add("--from", dest="revision", help="upgrade: what runs before, for git")
        add("--sessions", type=Path, help="recorded-night: as for `rehearse`")
        add("--charging-power", type=Path, help="recorded-night: as for `rehearse`")
        add("--json", action="store_true", help="one JSON object last")

    def handle(self, *, what: str, **options: Any) -> None:
        if what == "upgrade" and not options["revision"]:
            raise CommandError("Name the older revision by --from.")
        files = options["sessions"], options["charging_power"]
        if what == "recorded-night" and None in files:
            raise CommandError("Name the files by --sessions and --charging-power.")
        enter("drill")
        logging.getLogger().setLevel(logging.ERROR)
        from gridbalance.processes import AlreadyRunning, ProcessFailed, Supervisor

        try:
            with Supervisor(settings.DATA_DIR, say=self._say) as house:
                result = self._drill(what, house, options).run()
        except (AlreadyRunning, ProcessFailed) as error:
            raise CommandError(str(error)) from None
        finally:
            connection.close()
        for name, value in result.as_dict().items():
            self._say(f"{name:<24} {value}")
        if options["json"]:
            sys.stdout.write(json.dumps(result.as_dict()) + "\n")
        if not result.is_good:
            sys.exit(1)

    def _drill(self, what: str, house: Any, options: dict[str, Any]) -> Any:
        # Imported once the folder is entered: they read its settings.
        from gridbalance.drills.backup import Backup
        from gridbalance.drills.main_system import EndOfMainSystem
        from gridbalance.drills.night import RecordedNight
        from gridbalance.drills.target import HoldTarget
        from gridbalance.drills.upgrade import Upgrade

        per_minute = options["per_minute"] or PER_MINUTE.get(what, USUAL_PER_MINUTE)
        stage = (house, options["vehicles"], per_minute, self._say)
        if what == "backup":
            return Backup(*stage)
        if what == "hold-target":
            return HoldTarget(*stage)
        if what == "recorded-night":
            return RecordedNight(
                *stage,
                sessions=options["sessions"],
                charging_power=options["charging_power"],
            )
        if what == "upgrade":
            return Upgrade(*stage, revision=options["revision"])
        return EndOfMainSystem(*stage, kills=options["kills"])

    def _say(self, line: str) -> None:
        self.stderr.write(line, ending="\n", style_func=str)
