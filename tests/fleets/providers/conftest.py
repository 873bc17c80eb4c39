"""The adapter against a provider on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from pytest_django import Settings

from fleets.providers.smartcar import Smartcar
from tests.fleets.simulator.conftest import Simulator, make_simulator

__all__ = ["make_simulator"]


@dataclass
class Line:
    """An adapter with the loop that it runs in."""

    adapter: Smartcar
    runner: asyncio.Runner

    def run(self, call: Callable[[Smartcar], object]) -> object:
        """Make one async call and wait for its end."""
        return self.runner.run(call(self.adapter))  # type: ignore[arg-type]


@pytest.fixture
def connect(settings: Settings) -> Iterator[Callable[..., Line]]:
    """Return a function that points a new adapter at a port of this machine."""
    lines: list[Line] = []

    def make(port: int, **changes: object) -> Line:
        settings.SMARTCAR_IAM_ORIGIN = f"http://127.0.0.1:{port}"
        settings.SMARTCAR_VEHICLE_ORIGIN = f"http://127.0.0.1:{port}"
        settings.SMARTCAR_CLIENT_ID = "gridbalance"
        settings.SMARTCAR_CLIENT_SECRET = "gridbalance-secret"
        for name, value in changes.items():
            setattr(settings, name, value)
        lines.append(Line(Smartcar(), asyncio.Runner()))
        return lines[-1]

    yield make
    for line in lines:
        line.runner.run(line.adapter.close())
        line.runner.close()


@pytest.fixture
def simulator(make_simulator: Callable[..., Simulator]) -> Simulator:
    """Return a running simulator without a car and without limits that matter."""
    return make_simulator(application_bucket=10_000, application_refill=10_000)
