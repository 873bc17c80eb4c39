"""What the simulator's cars charge, told as a record would."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from fleets.simulator.fleet import Fleet
from fleets.simulator.lives import Evenings
from fleets.simulator.options import Options
from fleets.simulator.world import build_world
from gridbalance import simulated_sessions

MONDAY = date(2020, 1, 20)
VEHICLES = 40


def simulated(seed: int) -> Fleet:
    """Return the simulator's own fleet, from the Monday on."""
    at = datetime.fromisoformat(f"{MONDAY}T00:00:00+00:00")
    return build_world(Options(vehicles=VEHICLES, seed=seed, start=at)).fleet


def test_they_are_what_the_simulator_would_let_them_charge() -> None:
    """Over one evening of the whole simulation, minute by minute, nobody held."""
    fleet = simulated(seed=4)
    noon = fleet.at + 12 * 3600.0
    drawn_kwh = 0.0
    for minute in range(24 * 60):
        fleet.advance(noon + minute * 60.0)
        drawn_kwh += sum(
            car.battery.power_kw_at(fleet.at) / 60.0
            for car in fleet.cars
            if car.is_home
        )

    found = simulated_sessions.draw(VEHICLES, seed=4, since=MONDAY, until=MONDAY)

    told_kwh = sum(one.energy_kwh for one in found.by_evening[MONDAY])
    assert told_kwh > 100.0
    assert abs(drawn_kwh / told_kwh - 1.0) < 0.01


def test_nobody_charges_more_than_fits_into_the_stay() -> None:
    found = simulated_sessions.draw(VEHICLES, seed=1, since=MONDAY, until=MONDAY)

    sessions = [one for day in found.by_evening.values() for one in day]
    assert len(sessions) > 28 * VEHICLES / 2
    for one in sessions:
        hours = (one.unplugged - one.plugged_in) / timedelta(hours=1)
        assert 0.0 < one.energy_kwh <= one.power_kw * hours * (1.0 + 1e-9)


def test_all_cars_are_enrolled_all_the_time() -> None:
    found = simulated_sessions.draw(VEHICLES, seed=1, since=MONDAY, until=MONDAY)

    assert len(found.by_evening[MONDAY]) < VEHICLES
    assert {found.enrolled(day) for day in found.by_evening} == {VEHICLES}


def test_a_car_with_a_timer_comes_when_that_begins() -> None:
    cars = {car.id: car for car in simulated(seed=1).cars}
    life = Evenings(1, utc_offset_hours=0.0)

    found = simulated_sessions.draw(VEHICLES, seed=1, since=MONDAY, until=MONDAY)

    timed = [one for one in found.by_evening[MONDAY] if cars[one.user].timer_hour]
    assert timed
    day = (MONDAY - date(1970, 1, 1)).days
    for one in timed:
        (stay,) = life.sessions(cars[one.user].index, day)
        began = one.plugged_in.hour + one.plugged_in.minute / 60.0
        assert one.plugged_in.timestamp() != stay.plug_in
        assert began >= 22.0 or began < 1.0
