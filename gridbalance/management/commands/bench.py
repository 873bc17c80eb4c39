"""`manage.py bench WHAT`: measure, with both sides of a claim in one run.

In a data folder of its own (`.gridbalance/bench`), on its own servers and simulator;
decisions need neither.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from gridbalance.own_folder import enter

if TYPE_CHECKING:
    from gridbalance.demo.truth import Truth
    from gridbalance.processes import Supervisor


class Command(BaseCommand):
    """Measure how fast commands go out, webhooks are taken, or decisions are made."""

    help = (
        "fanout: the durable fan-out against a bare HTTP loop. "
        "machines: one sending machine against two, where the provider is the limit. "
        "webhooks: receiver and intake on one core, at a steady rate and in a storm. "
        "decide: one decision over 1,000 to 1,000,000 cars, without any server."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "what", nargs="?", default="fanout", choices=[*MEASURES, DECIDE]
        )
        parser.add_argument("--json", action="store_true", help="one JSON object last")
        of_fanout = parser.add_argument_group("fanout, machines")
        of_fanout.add_argument("--vehicles", type=int, default=2000)
        of_fanout.add_argument(
            "--workers", type=int, default=2, help="processes of the durable side"
        )
        of_webhooks = parser.add_argument_group("webhooks")
        of_webhooks.add_argument("--messages", type=int, default=20_000)
        of_webhooks.add_argument(
            "--per-second", type=float, default=2000.0, help="rate of the steady run"
        )

    def handle(self, *, what: str, **options: Any) -> None:
        figures = _decide() if what == DECIDE else _with_servers(what, **options)
        for name, value in figures.items():
            self.stderr.write(f"{name:<22} {value:>12,}", style_func=str)
        if options["json"]:
            sys.stdout.write(json.dumps(figures) + "\n")


def _decide() -> dict[str, float]:
    from gridbalance.bench import decide

    return decide.measure()


def _with_servers(what: str, **options: Any) -> dict[str, float]:
    enter("bench")
    logging.getLogger().setLevel(logging.ERROR)
    from gridbalance.processes import AlreadyRunning, ProcessFailed, Supervisor

    try:
        with Supervisor(settings.DATA_DIR) as house:
            house.start_services()
            house.run_manage("migrate", "--no-input")
            house.run_manage("flush", "--no-input")
            return MEASURES[what](house, **options)
    except (AlreadyRunning, ProcessFailed) as error:
        raise CommandError(str(error)) from None
    finally:
        connection.close()


def _fanout(
    house: Supervisor, *, vehicles: int, workers: int, **_: Any
) -> dict[str, float]:
    from gridbalance.bench import fanout, naive
    from gridbalance.processes import worker

    truth = _start_simulator(house)
    house.start(worker(naive.QUEUE, processes=2, tasks=naive.__name__))
    return fanout.measure(house, truth, vehicles=vehicles, workers=workers).as_dict()


def _machines(house: Supervisor, *, vehicles: int, **_: Any) -> dict[str, float]:
    from gridbalance.bench import machines

    longest = str(machines.LONGEST_ANSWER_SECONDS)
    truth = _start_simulator(house, "--long-answer-after", longest)
    return machines.measure(truth, vehicles=vehicles)


def _start_simulator(house: Supervisor, *words: str) -> Truth:
    """Start a simulator without cars or limits, and let all sides call it."""
    from gridbalance.bench.fleet import ENDLESS
    from gridbalance.demo.truth import Truth
    from gridbalance.processes import manage

    port = house.port("simulator")
    origin = f"http://127.0.0.1:{port}"
    _settle(
        SMARTCAR_CLIENT_ID="bench",
        SMARTCAR_CLIENT_SECRET=secrets.token_hex(20),
        SMARTCAR_MANAGEMENT_TOKEN=secrets.token_hex(20),
        SMARTCAR_IAM_ORIGIN=origin,
        SMARTCAR_VEHICLE_ORIGIN=origin,
        PROVIDER_BUCKET_CALLS=ENDLESS,
        PROVIDER_REFILL_PER_MINUTE=ENDLESS,
    )
    words = ("simulator", "--port", str(port), "--vehicles", "0", *words)
    house.start(manage("simulator", *words))
    house.wait_until_answers("simulator", port, "/_sim/clock")
    return Truth(port)


def _webhooks(
    house: Supervisor, *, messages: int, per_second: float, **_: Any
) -> dict[str, float]:
    from gridbalance.bench import webhooks

    _settle(SMARTCAR_MANAGEMENT_TOKEN=secrets.token_hex(20))
    return webhooks.measure(house, messages=messages, per_second=per_second)


def _settle(**values: str | int) -> None:
    """Let this process and those that it starts have these settings."""
    for name, value in values.items():
        os.environ[name] = str(value)  # what others read from there ...
        setattr(settings, name, value)  # ... this one has read already


DECIDE = "decide"
MEASURES: dict[str, Callable[..., dict[str, float]]] = {
    "fanout": _fanout,
    "machines": _machines,
    "webhooks": _webhooks,
}
