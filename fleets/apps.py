"""The app that knows who: customers, vehicles, consent, readings."""

from __future__ import annotations

from django.apps import AppConfig


class FleetsConfig(AppConfig):
    name = "fleets"
