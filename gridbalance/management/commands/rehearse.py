"""`manage.py rehearse`: lose the main system in an event, and give back without it.

In a data folder of its own (`.gridbalance/rehearsal`), with servers of its own.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from gridbalance.own_folder import enter


class Command(BaseCommand):
    """Rehearse the end of the main system."""

    help = (
        "Hold a simulated fleet, kill everything but the provider for good, give back "
        "from the second place, come back and learn. Ends with 0 if all went well."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--vehicles", type=int, default=2000)
        add("--per-minute", type=float, default=240.0, help="calls by contract")
        add("--kills", type=int, default=1, help="of give_back itself")
        add("--json", action="store_true", help="one JSON object last")

    def handle(
        self, *, vehicles: int, per_minute: float, kills: int, **options: Any
    ) -> None:
        enter("rehearsal")
        logging.getLogger().setLevel(logging.ERROR)
        from gridbalance.processes import AlreadyRunning, ProcessFailed, Supervisor
        from gridbalance.rehearsal import Rehearsal

        try:
            with Supervisor(settings.DATA_DIR, say=self._say) as house:
                result = Rehearsal(house, vehicles, per_minute, kills, self._say).run()
        except (AlreadyRunning, ProcessFailed) as error:
            raise CommandError(str(error)) from None
        finally:
            connection.close()
        for name, value in result.as_dict().items():
            self._say(f"{name:<20} {value}")
        if options["json"]:
            sys.stdout.write(json.dumps(result.as_dict()) + "\n")
        if not result.is_good:
            sys.exit(1)

    def _say(self, line: str) -> None:
        self.stderr.write(line, ending="\n", style_func=str)
