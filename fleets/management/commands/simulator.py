"""Run a stand-in for Smartcar v3 with a fleet of cars behind it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from fleets.simulator import options, server


class Command(BaseCommand):
    """`manage.py simulator`: it touches neither the database nor the models."""

    help = __doc__ or ""
    requires_system_checks = []
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the simulator's flags."""
        options.add_to(parser)

    def handle(self, *args: str, **values: Any) -> None:
        """Serve until stopped."""

        def announce(line: str) -> None:
            self.stdout.write(line)
            self.stdout.flush()

        server.run(options.from_namespace(values), announce=announce)
