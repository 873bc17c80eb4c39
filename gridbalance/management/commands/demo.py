"""`manage.py demo`: a fleet behind a simulator, a peak event, and a page to watch it.

It lives in a data folder of its own (`.gridbalance/demo`), with its own servers: it
never touches what `make run` keeps. Ctrl-C stops every process and the clock; starting
again with the same arguments goes on where it was.
"""

from __future__ import annotations

import json
import logging
import sys
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from gridbalance.own_folder import enter

MOST_VEHICLES = 500  # without --vehicles: an evening in three minutes on two cores
DEFAULT_SPEED = 120.0


class Command(BaseCommand):
    """Let a whole evening pass on this machine."""

    help = (
        "Start everything with a simulated fleet, hold it for a peak event, give it "
        "back, and show what happened."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--vehicles", type=_positive_int, help=f"default {MOST_VEHICLES} at most")
        add("--event-minutes", type=_positive, default=90.0)
        add("--speed", type=_positive, default=DEFAULT_SPEED, help="default 120")
        add("--seed", type=int, default=1)
        add("--sessions", type=_file, help="a CSV of recorded sessions to replay")
        add("--faults", default="", help="NAME=RATE,... see `simulator --help`")
        add("--tactic", choices=("stop", "limit"), default="stop")
        add("--exit", action="store_true", help="end when all is given back")
        add("--json", action="store_true", help="the last line is one JSON object")

    def handle(self, *, exit: bool, json: bool, **options: Any) -> None:
        enter("demo")
        # Settings were read in the folder that is now known to be the demo's.
        from gridbalance.demo.arguments import Arguments
        from gridbalance.demo.evening import Evening, EveningFailed
        from gridbalance.processes import AlreadyRunning, ProcessFailed, Supervisor

        logging.getLogger().setLevel(logging.ERROR)  # people read this terminal
        arguments = Arguments.of(options)
        try:
            with Supervisor(settings.DATA_DIR, say=self._say) as house:
                status = Evening(house, arguments, self._say).run(
                    stay=not exit, print_json=_print_json if json else None
                )
        except (AlreadyRunning, ProcessFailed, EveningFailed) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            self._say("Stopped. The same command goes on where this one was.")
            status = 130
        finally:
            connection.close()
        if status:
            sys.exit(status)

    def _say(self, line: str) -> None:
        self.stderr.write(line, ending="\n", style_func=str)


def _print_json(found: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value <= 100_000:
        raise ArgumentTypeError(f"{text} is not above 0")
    return value


def _positive_int(text: str) -> int:
    return int(_positive(text))


def _file(text: str) -> str:
    if not Path(text).is_file():
        raise ArgumentTypeError(f"{text}: there is no such file")
    return str(Path(text).resolve())
