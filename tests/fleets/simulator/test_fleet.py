"""The fleet through an evening, without a server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fleets.simulator.cars import Car
from fleets.simulator.lives import read_sessions
from fleets.simulator.options import Options
from fleets.simulator.world import World, build_world

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)  # a Monday
HOUR = 3600.0


def evening(**changes: object) -> World:
    """Return a world that stands at noon; only `advance` of its fleet moves it."""
    options = Options(vehicles=600, start=NOON, **changes)  # type: ignore[arg-type]
    return build_world(options)


def state_of(car: Car) -> tuple[object, ...]:
    """Return what a car does."""
    return (car.id, car.is_plugged_in, car.battery, car.departs_at)


def test_the_same_seed_gives_the_same_evening() -> None:
    worlds = [evening(seed=7), evening(seed=7), evening(seed=8)]

    for world in worlds:
        world.fleet.advance(NOON.timestamp() + 8 * HOUR)

    states = [[state_of(car) for car in world.fleet.cars] for world in worlds]
    assert states[0] == states[1]
    assert states[0] != states[2]


def test_a_leap_and_small_steps_come_to_the_same() -> None:
    leaping, stepping = evening(), evening()

    leaping.fleet.advance(NOON.timestamp() + 20 * HOUR)
    for step in range(1, 201):
        stepping.fleet.advance(NOON.timestamp() + step * HOUR / 10)

    assert list(map(state_of, leaping.fleet.cars)) == list(
        map(state_of, stepping.fleet.cars)
    )
    assert list(leaping.fleet.samples) == list(stepping.fleet.samples)


@pytest.mark.parametrize(
    ("hours", "plugged_in", "charging"),
    [
        # by day few are at home
        (16, (0.03, 0.15), (0.0, 0.10)),
        # at six a quarter, of these about half charge
        (18, (0.18, 0.32), (0.09, 0.21)),
        # the rest comes in the evening
        (23, (0.70, 0.85), (0.2, 0.45)),
        # by half past eight all have left
        (32.5, (0.0, 0.02), (0.0, 0.02)),
    ],
)
def test_an_evening_looks_like_the_field(
    hours: float, plugged_in: tuple[float, float], charging: tuple[float, float]
) -> None:
    world = evening()

    world.fleet.advance(NOON.timestamp() + (hours - 12) * HOUR)

    cars = world.fleet.cars
    share_plugged_in = sum(car.is_plugged_in for car in cars) / len(cars)
    share_charging = len(world.fleet.charging) / len(cars)
    assert plugged_in[0] <= share_plugged_in <= plugged_in[1]
    assert charging[0] <= share_charging <= charging[1]


def test_nobody_commanded_means_the_shadow_draws_the_same() -> None:
    world = evening()

    world.fleet.advance(NOON.timestamp() + 24 * HOUR)

    assert any(kw > 0 for _, kw, _ in world.fleet.samples)
    assert all(kw == pytest.approx(other) for _, kw, other in world.fleet.samples)


def test_a_stop_is_seen_in_the_load_and_not_in_the_shadow() -> None:
    world = evening()
    fleet = world.fleet
    at = NOON.timestamp() + 7 * HOUR
    fleet.advance(at)

    for index in sorted(fleet.charging):
        fleet.stop(fleet.cars[index], at, by="api")
    fleet.advance(at + 61)

    _, actual_kw, shadow_kw = fleet.samples[-1]
    assert actual_kw < 0.1 * shadow_kw


CSV = """\
"location";"user_id";"session_id";"plugin_time";"plugout_time";"energy_session"
"A";"Ada";"1";2019-11-28 17:00:00;2019-11-29 07:00:00;14,4
"A";"Ben";"2";2019-11-28 19:30:00;2019-11-29 08:00:00;7,2
"A";"Ben";"3";2019-11-30 12:30:00;2019-11-30 14:30:00;14,0
"A";"Chloé";"4";NA;2019-11-29 08:00:00;3,0
"A";"Chloé";"5";2019-12-01 20:00:00;2019-12-01 22:00:00;6,9
"""


def test_recorded_sessions_come_back_on_the_simulated_day(tmp_path: Path) -> None:
    path = tmp_path / "sessions.csv"
    path.write_text(CSV, encoding="utf-8")

    world = build_world(Options(start=NOON, sessions=path, utc_offset=1))
    ada, ben = world.fleet.cars
    world.fleet.advance(NOON.timestamp() + 4.5 * HOUR)  # 17:30 there

    assert (ada.label, ben.label) == ("Ada", "Ben")
    assert ada.is_plugged_in
    assert ada.battery.is_charging
    assert not ben.is_plugged_in
    world.fleet.advance(NOON.timestamp() + 17.5 * HOUR)  # 06:30 there
    assert ada.battery.soc_percent_at(world.fleet.at) == pytest.approx(100)
    world.fleet.advance(NOON.timestamp() + 18.5 * HOUR)
    assert not ada.is_plugged_in
    assert ben.is_plugged_in


def test_more_cars_than_one_evening_had_come_from_others(tmp_path: Path) -> None:
    path = tmp_path / "sessions.csv"
    path.write_text(CSV, encoding="utf-8")

    cars = read_sessions(path, vehicles=4)

    assert [car.label for car in cars] == ["Ada", "Ben", "Ben#2", "Chloé#3"]
