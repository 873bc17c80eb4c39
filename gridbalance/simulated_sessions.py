"""Charging sessions of the simulator's cars, as a record of them would tell.

`dispatch` does not know the simulator, so what a rehearsal takes from it is brought
here: who comes when, and what goes in while nobody holds the car. A car with a timer of
its own comes when that begins, for before there is nothing to hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

from dispatch.charging_sessions import Session
from dispatch.rehearsal.sessions import Sessions
from fleets.simulator.cars import Car, draw_cars
from fleets.simulator.lives import DAY_SECONDS, Evenings
from fleets.simulator.world import stream

# Evenings before the first one, by which it is forecast: four weeks, as in a record.
BEFORE = timedelta(weeks=4)
TOP_UP_KWH = 0.1  # less is a full car's


def draw(vehicles: int, *, seed: int, since: date, until: date) -> Sessions:
    """Return the evenings of a fleet, and of the weeks before them.

    They are the cars and the evenings of `manage.py simulator` with the same seed.
    """
    began = since - BEFORE
    at = _seconds(began)
    cars = list(draw_cars(stream(seed, "cars"), count=vehicles, at=at))
    life = Evenings(seed, utc_offset_hours=0.0)  # all is by the clock on the wall
    found = Sessions.of(
        session
        for day in range((until - began).days + 1)
        for car in cars
        for session in _charged(car, life, int(at // DAY_SECONDS) + day)
    )
    users = [car.id for car in cars]
    return replace(
        found,
        first=dict.fromkeys(users, began),  # also who stays away at first
        last=dict.fromkeys(users, until),
    )


def _charged(car: Car, life: Evenings, day: int) -> Iterator[Session]:
    """Yield what a car charges at home in an evening."""
    for stay in life.sessions(car.index, day):
        begins = car.timer_at(stay.plug_in, life.utc_offset_hours) or stay.plug_in
        if begins >= stay.plug_out:
            begins = stay.plug_in
        battery = car.battery.arrived(
            begins, soc_percent=stay.soc_percent, power_kw=car.power_kw
        ).started(begins)
        energy_kwh = battery.energy_at(stay.plug_out) - battery.energy_kwh
        if stay.is_home and energy_kwh >= TOP_UP_KWH:
            yield Session(
                car.id, _wall(begins), _wall(stay.plug_out), energy_kwh, car.power_kw
            )


def _seconds(day: date) -> float:
    return datetime.combine(day, time(), UTC).timestamp()


def _wall(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None)
