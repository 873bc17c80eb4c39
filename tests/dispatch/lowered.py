"""Ada's car in a program that lowers limits, and what it truly is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from dispatch.lifecycle import EventStatus, HoldStatus
from dispatch.models import GridEvent, Hold
from fleets.models import Enrolment, Tactic, Vehicle
from fleets.providers.base import Report
from tests.dispatch.conftest import House

Make = Callable[..., Any]


class Adas:
    """Ada's car, whose true state a test changes, and the house around it."""

    def __init__(self, house: House, car: Vehicle) -> None:
        self.house, self.car = house, car
        self.state: dict[str, Any] = {
            "is_plugged_in": True, "is_charging": True, "is_home": True,
            "soc_percent": 63.9, "limit_percent": 80.0,
        }  # fmt: skip

    def becomes(self, **state: Any) -> None:
        """Change what is true; nobody hears of it yet but who looks."""
        self.state |= state

    def reports(self, **state: Any) -> None:
        """Change what is true, let the car report it, and take a turn."""
        self.becomes(**state)
        self.house.report(self.car, **self.state)
        self.house.turn()

    def send(self, *, said_at: datetime | None = None) -> list[str]:
        """Send what is due; return the kinds of calls.

        Every look shows the truth, as of now or of when the car last said it.
        """
        self.house.provider.reports[self.car.external_id] = Report(
            self.car.external_id, said_at or self.house.now, **self.state
        )
        return [kind for kind, _ in self.house.send()]

    def answers(self, *errors: Any) -> None:
        """Let the next calls end in these; None is the usual answer."""
        self.house.provider.answers[self.car.external_id] = list(errors)

    @property
    def hold(self) -> Hold:
        return Hold.objects.get(vehicle=self.car)

    @property
    def event(self) -> GridEvent:
        return GridEvent.objects.get()

    def begin(self) -> None:
        """Let the event begin."""
        house = self.house
        house.wait(seconds=max(0.0, (self.event.starts_at - house.now).total_seconds()))
        house.turn()

    def lower(self) -> None:
        """Hold the car, as a reading shows."""
        self.begin()
        assert self.send() == ["read", "set limit"]
        self.reports(limit_percent=63.0, is_charging=False)
        assert self.hold.status == HoldStatus.HELD

    def end(self) -> None:
        """Let the event's time pass."""
        self.house.wait(seconds=(self.event.ends_at - self.house.now).total_seconds())
        self.house.turn()


@pytest.fixture
def ada(
    house: House,
    make_program: Make,
    make_enrolment: Make,
    make_vehicle: Make,
    make_event: Make,
    give_calls: Make,
) -> Adas:
    """Return Ada's car, at 63.9 % on its way to 80, in a program that lowers limits."""
    program = make_program("evening", tactic=Tactic.LIMIT)
    consent: Enrolment = make_enrolment(program)
    car = consent.vehicle
    Vehicle.objects.filter(pk=car.pk).update(
        soc_percent=63.9, limit_observed_at=car.observed_at
    )
    make_event(program, status=EventStatus.SCHEDULED)
    bucket = give_calls(car)
    type(bucket).objects.update(tokens=1000)
    return Adas(house, car)
