"""Make a machine client for a grid system."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from oauth2_provider.generators import generate_client_secret

from dispatch import audit
from dispatch.models import GridClient
from fleets import clock

LONGEST_NAME = 100  # it stands in the audit trail behind `client:`


class Command(BaseCommand):
    help = "Make a machine client and print its id and secret: the secret only once."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the name."""
        parser.add_argument("name", help="What people shall read in the audit trail.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make it, or say why not."""
        name = options["name"].strip()
        if not 0 < len(name) <= LONGEST_NAME:
            raise CommandError(f"A name has 1 to {LONGEST_NAME} characters.")
        if GridClient.objects.filter(name=name).exists():
            raise CommandError(f"There is a client named {name!r} already.")
        secret = generate_client_secret()
        client = GridClient.objects.create(
            name=name,
            client_secret=secret,
            client_type=GridClient.CLIENT_CONFIDENTIAL,
            authorization_grant_type=GridClient.GRANT_CLIENT_CREDENTIALS,
        )
        audit.write(
            "make client", subject=f"client {name}", actor="console", now=clock.now()
        )
        self.stdout.write(f"client_id={client.client_id}")
        self.stdout.write(f"client_secret={secret}")
