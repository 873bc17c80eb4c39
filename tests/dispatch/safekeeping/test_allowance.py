"""Nothing leaves beyond the provider's rate, a car's own, or the ramp."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from dispatch.safekeeping.allowance import Allowance
from fleets.providers.base import Scope
from tests.dispatch.safekeeping.conftest import CALLS, owed
from tests.factories import NOW

MINUTE = timedelta(minutes=1)


def allowance(**more: Any) -> Allowance:
    calls = replace(CALLS, **more.pop("calls", {}))
    return Allowance(calls, NOW, **more)


def calls_in(found: Allowance, minutes: float) -> int:
    """Return how many calls leave when each goes as soon as it may."""
    count, now = 0, NOW
    while now <= NOW + minutes * MINUTE:
        while found.may_call(now):
            found.spend(owed(count), now, starts=True)
            count += 1
        now += timedelta(seconds=1)
    return count


def test_it_begins_with_nothing() -> None:
    assert not allowance().may_call(NOW)
    assert calls_in(allowance(), minutes=10.1) == 20


def test_what_somebody_knows_to_be_left_may_go_at_once() -> None:
    assert calls_in(allowance(calls_left=30.0), minutes=0) == 30


def test_a_wait_that_the_provider_asked_for_is_kept_and_not_made_up_for() -> None:
    found = allowance(calls_left=30.0)
    found.pause(Scope.APPLICATION, owed(), until=NOW + 5 * MINUTE, now=NOW)

    assert not found.may_call(NOW + 4 * MINUTE)
    assert calls_in(found, minutes=6.1) == 2


def test_a_wait_of_one_car_or_make_holds_up_no_other() -> None:
    found = allowance()
    found.pause(Scope.VEHICLE, owed(1), until=NOW + MINUTE, now=NOW)
    found.pause(Scope.MAKE, owed(2, make="FORD"), until=NOW + 2 * MINUTE, now=NOW)

    assert found.car_waits_until(owed(1), NOW) == NOW + MINUTE
    assert found.car_waits_until(owed(3, make="FORD"), NOW) == NOW + 2 * MINUTE
    assert found.car_waits_until(owed(4), NOW) is None


def test_a_car_has_a_bucket_of_its_own() -> None:
    found = allowance()
    car = owed(calls_left=1.0)
    found.spend(car, NOW, starts=True)

    assert found.car_waits_until(car, NOW) == NOW + 2 * MINUTE
    assert found.car_waits_until(car, NOW + 2 * MINUTE) is None


def test_a_car_has_so_many_calls_a_month() -> None:
    found = allowance()
    car = owed(month_calls_left=1)

    assert not found.month_is_spent(car)
    found.spend(car, NOW, starts=False)
    assert found.month_is_spent(car)


def test_no_minute_sees_more_than_the_ramp() -> None:
    found = allowance(ramps={"feeder f": 60.0}, calls_left=120.0)
    car = owed(power_kw=3.0, ramps=("program a", "feeder f"))
    started: list[float] = []
    for second in range(600):
        now = NOW + timedelta(seconds=second)
        while found.ramp_allows(car, now):
            found.spend(car, now, starts=True)
            started.append(second)

    busiest = max(
        sum(3.0 for one in started if begin <= one < begin + 60) for begin in started
    )
    assert 50.0 <= busiest <= 63.0
    assert len(started) * 3.0 >= 500.0


def test_a_late_car_waits_for_the_envelopes_alone() -> None:
    car = owed(power_kw=7.0, ramps=("program a", "envelope a"))
    slow_ramp = allowance(ramps={"program a": 7.0, "envelope a": 700.0})
    narrow_envelope = allowance(ramps={"program a": 700.0, "envelope a": 7.0})
    soon = NOW + MINUTE / 20

    assert not slow_ramp.ramp_allows(car, soon)
    assert slow_ramp.ramp_allows(car, soon + MINUTE / 20, is_late=True)
    assert not narrow_envelope.ramp_allows(car, soon, is_late=True)


def test_a_car_larger_than_the_ramp_still_goes() -> None:
    found = allowance(ramps={"program a": 2.0})
    car = owed(power_kw=7.0, ramps=("program a",))

    assert not found.ramp_allows(car, NOW)
    assert found.ramp_allows(car, NOW + MINUTE)
