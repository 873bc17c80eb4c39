"""`manage.py bench fanout`: measure, with both sides in one run.

In a data folder of its own (`.gridbalance/bench`), on its own servers and simulator.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from gridbalance.own_folder import enter


class Command(BaseCommand):
    """Measure how fast commands go out."""

    help = "Measure the durable fan-out against a bare HTTP loop, in one run."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", nargs="?", default="fanout", choices=["fanout"])
        parser.add_argument("--vehicles", type=int, default=2000)
        parser.add_argument(
            "--workers", type=int, default=1, help="processes of the durable side"
        )
        parser.add_argument("--json", action="store_true", help="one JSON object last")

    def handle(self, *, what: str, vehicles: int, workers: int, **options: Any) -> None:
        enter("bench")
        logging.getLogger().setLevel(logging.ERROR)
        from gridbalance.bench import fanout, naive
        from gridbalance.demo.truth import Truth
        from gridbalance.processes import (
            AlreadyRunning,
            ProcessFailed,
            Supervisor,
            manage,
            worker,
        )

        try:
            with Supervisor(settings.DATA_DIR) as house:
                port = house.port("simulator")
                origin = f"http://127.0.0.1:{port}"
                secret = secrets.token_hex(20)
                os.environ |= {
                    "SMARTCAR_CLIENT_ID": "bench",
                    "SMARTCAR_CLIENT_SECRET": secret,
                    "SMARTCAR_MANAGEMENT_TOKEN": secret,
                    "SMARTCAR_IAM_ORIGIN": origin,
                    "SMARTCAR_VEHICLE_ORIGIN": origin,
                    "PROVIDER_BUCKET_CALLS": str(fanout.ENDLESS),
                    "PROVIDER_REFILL_PER_MINUTE": str(fanout.ENDLESS),
                }
                # What the other processes read from there, this one has read already.
                settings.SMARTCAR_CLIENT_ID = "bench"
                settings.SMARTCAR_CLIENT_SECRET = secret
                settings.SMARTCAR_IAM_ORIGIN = origin
                settings.SMARTCAR_VEHICLE_ORIGIN = origin
                settings.PROVIDER_BUCKET_CALLS = fanout.ENDLESS
                settings.PROVIDER_REFILL_PER_MINUTE = fanout.ENDLESS
                house.start_services()
                house.run_manage("migrate", "--no-input")
                house.run_manage("flush", "--no-input")
                words = ("simulator", "--port", str(port), "--vehicles", "0")
                house.start(manage("simulator", *words))
                house.wait_until_answers("simulator", port, "/_sim/clock")
                house.start(worker(naive.QUEUE, processes=2, tasks=naive.__name__))
                result = fanout.measure(Truth(port), vehicles=vehicles, workers=workers)
        except (AlreadyRunning, ProcessFailed) as error:
            raise CommandError(str(error)) from None
        finally:
            connection.close()
        for name, value in result.as_dict().items():
            self.stderr.write(f"{name:<18} {value:>12,}", style_func=str)
        if options["json"]:
            sys.stdout.write(json.dumps(result.as_dict()) + "\n")
