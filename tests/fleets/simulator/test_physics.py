"""One battery: tables without a server."""

from __future__ import annotations

import pytest

from fleets.simulator.physics import SECONDS_PER_HOUR, Battery

HOUR = SECONDS_PER_HOUR


def battery(soc_percent: float, *, limit_percent: int = 100) -> Battery:
    """Return 100 kWh at 10 kW, so that an hour is ten percent below the knee."""
    return Battery(100.0, 10.0, soc_percent, at=0.0, limit_percent=limit_percent)


@pytest.mark.parametrize(
    ("soc_percent", "limit_percent", "hours", "expected_percent"),
    [
        # flat charging
        (50, 100, 2, 70),
        # ends at the limit
        (70, 80, 2, 80),
        # a limit below the charge takes nothing away
        (70, 60, 2, 70),
        # nothing happens before it begins
        (50, 100, -1, 50),
        # above the knee it slows: less than ten percent in an hour
        (90, 100, 1, 97.1917),
        # it arrives in the end
        (90, 100, 100, 100),
    ],
)
def test_it_charges_to_the_limit(
    soc_percent: float, limit_percent: int, hours: float, expected_percent: float
) -> None:
    charging = battery(soc_percent, limit_percent=limit_percent).started(0)

    reached = charging.soc_percent_at(hours * HOUR)

    assert reached == pytest.approx(expected_percent, abs=0.001)


@pytest.mark.parametrize("soc_percent", [10, 60, 89, 90, 95, 99])
def test_it_is_full_when_it_says_it_will_be(soc_percent: float) -> None:
    charging = battery(soc_percent).started(0)

    full_at = charging.full_at()

    assert not charging.is_full_at(full_at - 60)
    assert charging.is_full_at(full_at)
    assert charging.power_kw_at(full_at) == 0


def test_its_energy_is_the_integral_of_its_power() -> None:
    charging = battery(85).started(0)
    minutes = range(120)

    drawn_kwh = sum(charging.power_kw_at(60 * minute + 30) / 60 for minute in minutes)

    assert charging.energy_at(2 * HOUR) - 85 == pytest.approx(drawn_kwh, rel=1e-4)


def test_told_from_a_later_instant_it_goes_on_the_same() -> None:
    charging = battery(80).started(0)

    later = charging.known(1.5 * HOUR)

    assert later.energy_at(3 * HOUR) == pytest.approx(charging.energy_at(3 * HOUR))


def test_a_stopped_battery_keeps_what_it_has() -> None:
    stopped = battery(50).started(0).stopped(HOUR)

    assert stopped.energy_at(9 * HOUR) == pytest.approx(60)
    assert stopped.power_kw_at(9 * HOUR) == 0


def test_a_limit_below_the_charge_stops_it() -> None:
    limited = battery(70).started(0).limited(HOUR, percent=50)

    assert not limited.is_charging
    assert limited.soc_percent_at(2 * HOUR) == pytest.approx(80)


def test_it_reports_at_every_fifth_percent() -> None:
    charging = battery(52).started(0)

    first_at = charging.next_step_at()
    second_at = charging.known(first_at).next_step_at()

    assert charging.soc_percent_at(first_at) == pytest.approx(55)
    assert charging.soc_percent_at(second_at) == pytest.approx(60)
