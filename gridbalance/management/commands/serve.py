"""`manage.py serve`: the whole house on one machine."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from gridbalance.embedded import EmbeddedError
from gridbalance.processes import (
    AlreadyRunning,
    ProcessFailed,
    Supervisor,
    beat,
    web,
    worker,
)

USUAL_PORT = 8000


class Command(BaseCommand):
    """Run everything on this machine: servers, web, workers and beat."""

    help = "Run everything on this machine: servers, web, workers and beat."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--fanout",
            type=int,
            default=2,
            metavar="N",
            help="processes that send commands (default: 2)",
        )

    def handle(self, *, fanout: int, **options: Any) -> None:
        try:
            with contextlib.suppress(KeyboardInterrupt):
                self._run(fanout)
        except AlreadyRunning as error:
            self.stderr.write(str(error))
            sys.exit(1)
        except (EmbeddedError, ProcessFailed) as error:
            raise CommandError(str(error)) from None

    def _run(self, fanout: int) -> None:
        with Supervisor(settings.DATA_DIR) as house:
            house.start_services()
            house.run_manage("migrate", "--no-input")
            port = house.port("web", wish=USUAL_PORT)
            address = f"http://127.0.0.1:{port}/"
            house.announce(address)
            house.start(web(port))
            house.start(beat(house.data_dir))
            house.start(worker("control"), worker("fanout", processes=fanout))
            house.wait_until_answers("web", port, "/healthz")
            self.stdout.write(f"Gridbalance runs at {address} (Ctrl-C stops it)")
            self.stdout.flush()
            house.watch()
