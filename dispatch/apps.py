"""The app that knows what happens: grid events, holds, commands."""

from __future__ import annotations

from django.apps import AppConfig


class DispatchConfig(AppConfig):
    name = "dispatch"

    def ready(self) -> None:
        """Listen to fleets."""
        from dispatch import receivers  # noqa: F401
