"""`manage.py chaos`: evenings under fire, judged by the independent checker.

It lives in a data folder of its own (`.gridbalance/chaos`), with its own servers, which
it kills: it takes none that the environment names. See docs/chaos.md.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from gridbalance.own_folder import enter

SERVERS = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL")


class Command(BaseCommand):
    """Break everything that can break, and see that every promise holds."""

    help = "Let seeded faults strike real processes, and judge what became of the cars."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--seed", type=int, default=1, help="of the whole run; default 1")
        add("--minutes", type=float, default=10.0, help="no round starts after these")
        add("--rounds", type=int, help="so many rounds, however long they take")
        add(
            "--round", type=int, metavar="SEED", help="one round again, by its own seed"
        )
        add("--only", metavar="N,N", help="with --round: these of its faults alone")
        add("--cars", type=int, help="in each round; default 60 to 140")
        add("--shrink", type=int, default=6, metavar="TRIES", help="of a failed round")
        add("--json", action="store_true", help="the last line is one JSON object")

    def handle(self, **options: Any) -> None:
        if named := [name for name in SERVERS if name in os.environ]:
            raise CommandError(
                f"Chaos kills the servers it runs on, so it takes none of yours: unset"
                f" {' and '.join(named)}."
            )
        enter("chaos")
        logging.getLogger().setLevel(logging.CRITICAL)  # servers that are away, mostly
        from gridbalance.chaos.disk import SmallDisk
        from gridbalance.chaos.run import Run, Tally
        from gridbalance.chaos.stack import Stack
        from gridbalance.processes import AlreadyRunning, ProcessFailed, Supervisor

        disk = SmallDisk(settings.DATA_DIR)
        run: Run | None = None
        status = 0
        try:
            with Supervisor(settings.DATA_DIR, say=lambda line: None) as house:
                disk.mount()
                stack = Stack(house, disk)
                run = Run(
                    stack,
                    say=self._say,
                    shrink_tries=options["shrink"],
                    cars=options["cars"],
                )
                try:
                    stack.prepare()
                    _run(run, options)
                finally:
                    stack.close()
        except (AlreadyRunning, ProcessFailed) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            status = 130
        finally:
            connection.close()
        disk.unmount()
        tally = run.tally if run else Tally()
        if options["json"]:
            sys.stdout.write(json.dumps(tally.as_dict()) + "\n")
            sys.stdout.flush()
        if status or tally.failures:
            sys.exit(status or 1)

    def _say(self, line: str) -> None:
        self.stderr.write(line, ending="\n", style_func=str)


def _run(run: Any, options: dict[str, Any]) -> None:
    if options["round"] is not None:
        run.again(options["round"], only=_numbers(options["only"]))
        return
    run.by_seed(options["seed"], minutes=options["minutes"], rounds=options["rounds"])


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    return [int(word) for word in text.split(",") if word]
