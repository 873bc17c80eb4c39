"""`manage.py services start|stop|status`: the embedded servers without the rest."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from gridbalance.embedded import POSTGRES, VALKEY, Embedded, EmbeddedError


class Command(BaseCommand):
    """Start, stop or show the embedded PostgreSQL and Valkey of this checkout."""

    help = "Start, stop or show the embedded PostgreSQL and Valkey of this checkout."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["start", "stop", "status"])

    def handle(self, *, action: str, **options: Any) -> None:
        servers = Embedded(settings.DATA_DIR)
        try:
            if action == "start":
                servers.start()
            elif action == "stop":
                servers.stop()
        except EmbeddedError as error:
            raise CommandError(str(error)) from None
        for name in (POSTGRES, VALKEY):
            process = servers.find(name)
            runs = f"runs as process {process.pid}" if process else "does not run"
            self.stdout.write(f"{name} {runs}")
        if action != "stop":
            self.stdout.write(f"DATABASE_URL={servers.addresses.database_url}")
            self.stdout.write(f"REDIS_URL={servers.addresses.redis_url}")
