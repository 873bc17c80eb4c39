"""Fixtures that every test may ask for."""

from __future__ import annotations

from hypothesis import settings

from tests.factories import *  # noqa: F403

# How long an example takes says how busy the machine is, and nothing else.
settings.register_profile("gridbalance", deadline=None)
settings.load_profile("gridbalance")
