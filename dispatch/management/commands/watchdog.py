"""`manage.py watchdog`: on another host, give back when the main system is gone."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandError, CommandParser

from dispatch.safekeeping import place, watch
from dispatch.safekeeping.watch import Watch

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 15.0


class Command(BaseCommand):
    """Look for signs of life in the second place; without any, give back."""

    help = (
        "Watch the main system's signs of life in the second place, and give back "
        "when there was none for WATCHDOG_PATIENCE_MINUTES. Needs no database."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add(
            "--probe", default="", help="the main system's /readyz: gone only if silent"
        )
        add("--hours", type=float, default=12.0, help="as of give_back; default 12")
        add("--every", type=float, default=LOOK_EVERY_SECONDS, help="seconds")
        add("--once", action="store_true", help="end after the first giving")

    def handle(
        self, *, probe: str, hours: float, every: float, once: bool, **options: Any
    ) -> None:
        try:
            there = place.of_settings()
        except ValueError:
            there = None
        if there is None:
            raise CommandError("SAFEKEEPING_URL and SAFEKEEPING_KEYS must be set.")
        if probe and not probe.startswith(("http://", "https://")):
            raise CommandError("--probe takes an address that begins with http.")
        watching = Watch(there, probe=probe, patience=timedelta(hours=hours))
        self.stderr.write(f"Watching {there.store.url}.", style_func=str)
        while True:
            state = watching.look(say=self._say)
            if once and state in (watch.State.GAVE, watch.State.GIVEN):
                return
            time.sleep(every)

    def _say(self, line: str) -> None:
        log.info("watchdog", said=line)
