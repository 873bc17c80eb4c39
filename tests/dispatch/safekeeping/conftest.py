"""A second place in a folder, and sheets that owe what a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from dispatch.lifecycle import HoldStatus
from dispatch.models import Hold
from dispatch.safekeeping import guard, place, sheet
from dispatch.safekeeping.place import Place
from dispatch.safekeeping.sheet import Calls, Give, Head, Owed
from fleets import clock
from tests.dispatch.conftest import House
from tests.factories import NOW
from tests.fleets.simulator.conftest import Simulator, make_simulator

__all__ = ["make_simulator"]

Make = Callable[..., Any]
KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
CALLS = Calls(capacity=120, refill_per_minute=2, left=0, vehicle_capacity=6)
FIVE_MINUTES = 300.0


def head(**more: Any) -> Head:
    """Return the head of a sheet that was written at NOW."""
    values: dict[str, Any] = {
        "installation": "test",
        "written_at": NOW,
        "written_real_at": NOW,
        "heartbeat_real_at": NOW,
        "clock_real": NOW,
        "clock_simulated": NOW,
        "clock_speed": 1.0,
        "calls": CALLS,
    }
    return Head(**{**values, **more})


def owed(hold_id: int = 1, **more: Any) -> Owed:
    """Return what Ada's Tesla is owed: it was stopped half an hour ago."""
    values: dict[str, Any] = {
        "hold_id": hold_id,
        "vehicle_id": f"vehicle-{hold_id}",
        "user_id": f"user-{hold_id}",
        "make": "TESLA",
        "program": "evening-peak",
        "give": Give.START,
        "power_kw": 7.0,
        "taken_from": NOW - timedelta(minutes=31),
        "freshness_seconds": FIVE_MINUTES,
        "stop_answered_at": NOW - timedelta(minutes=30),
        "calls_left": 6.0,
        "month_calls_left": 100,
    }
    return Owed(**{**values, **more})


@pytest.fixture
def second_place(settings: Settings, tmp_path: Path) -> Place:
    """Return a second place in a folder, that the settings name."""
    settings.SAFEKEEPING_URL = f"file://{tmp_path}/second"
    settings.SAFEKEEPING_KEYS = KEY
    settings.SAFEKEEPING_INSTALLATION = "test"
    settings.DATA_DIR = tmp_path / "data"
    guard._born.clear()
    there = place.of_settings()
    assert there is not None
    return there


@pytest.fixture
def taken(
    house: House, make_event: Make, make_enrolment: Make, give_calls: Make, program: Any
) -> Hold:
    """Return the hold of Ada's car, whose stop was accepted; nothing shows it yet."""
    enrolment = make_enrolment(program)
    make_event(program)
    give_calls(enrolment.vehicle)
    house.turn()
    house.send()
    hold = Hold.objects.get()
    assert hold.status == HoldStatus.TAKING
    return hold


@pytest.fixture
def evening(
    make_simulator: Callable[..., Simulator], settings: Settings
) -> Iterator[Callable[..., Simulator]]:
    """Return a maker of fast evenings at the provider; the clock goes back after."""

    def make(**limits: Any) -> Simulator:
        simulator = make_simulator(
            **{
                "speed": 600.0,
                "application_bucket": 1000,
                "application_refill": 1000,
                "freshness_scale": 0.1,
                **limits,
            }
        )
        origin = f"http://127.0.0.1:{simulator.port}"
        settings.SMARTCAR_IAM_ORIGIN = settings.SMARTCAR_VEHICLE_ORIGIN = origin
        settings.SMARTCAR_CLIENT_ID = simulator.options.client_id
        settings.SMARTCAR_CLIENT_SECRET = simulator.options.client_secret
        settings.PROVIDER_TIMEOUT_SECONDS = 5.0
        return simulator

    yield make
    clock.follow(clock.REAL_TIME)
    clock._cache.read_at = float("-inf")


def stopped(simulator: Simulator, count: int, **form: Any) -> list[dict[str, Any]]:
    """Return cars that we have stopped."""
    cars = [
        simulator.add(
            make="TESLA", soc_percent=40.0, limit_percent=80.0, power_kw=7.0, **form
        )
        for _ in range(count)
    ]
    for car in cars:
        assert simulator.call(car, "stop").status == 200
    return cars


def sheet_of(
    simulator: Simulator, cars: list[dict[str, Any]], *, calls: Calls, **more: Any
) -> bytes:
    """Return a sealed sheet that owes each of these cars a start, as of now."""
    told = simulator.get("clock")
    now = datetime.fromisoformat(told["now"])
    real_now = clock.real_now()
    rows = [
        owed(
            number,
            vehicle_id=car["id"],
            user_id=car["user"],
            taken_from=now - timedelta(minutes=20),
            stop_answered_at=now,
            **more,
        )
        for number, car in enumerate(cars, 1)
    ]
    described = head(
        written_at=now,
        written_real_at=real_now,
        heartbeat_real_at=real_now - timedelta(hours=1),
        clock_real=datetime.fromisoformat(told["real"]),
        clock_simulated=datetime.fromisoformat(told["simulated"]),
        clock_speed=told["speed"],
        calls=calls,
    )
    return sheet.sealed(described, rows, keys=[KEY])


def one_of(car: Owed, **changes: Any) -> Owed:
    """Return the same car with differences."""
    return replace(car, **changes)
