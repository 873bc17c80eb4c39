"""How one report changes what is known of a car."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleets.last_known import LastKnown, after, clean
from fleets.providers.base import Report

NOW = datetime(2026, 1, 12, 17, 0, tzinfo=UTC)
EARLIER = NOW - timedelta(minutes=5)

NEW = LastKnown(battery_kwh=60.0, usual_power_kw=7.0)
CHARGING = replace(
    NEW,
    is_plugged_in=True,
    is_charging=True,
    soc_percent=50.0,
    limit_percent=80.0,
    limit_observed_at=EARLIER,
    power_kw=7.0,
    plugged_in_at=EARLIER,
    is_home=True,
    observed_at=EARLIER,
    received_at=EARLIER,
)
PARKED = replace(
    CHARGING,
    is_plugged_in=False,
    is_charging=False,
    power_kw=0.0,
    plugged_in_at=None,
    is_home=None,
)


def add(state: LastKnown, **said: object) -> LastKnown:
    report = Report(**{"vehicle_id": "v-1", "observed_at": NOW, **said})  # type: ignore[arg-type]
    return after(state, report, received_at=NOW)


def test_an_older_report_changes_nothing() -> None:
    assert add(CHARGING, observed_at=EARLIER - timedelta(1), soc_percent=9) == CHARGING


def test_a_report_of_the_same_time_adds_to_it() -> None:
    assert add(CHARGING, observed_at=EARLIER, soc_percent=51.0).soc_percent == 51.0


def test_a_limit_is_as_old_as_the_report_that_told_it() -> None:
    later = NOW + timedelta(minutes=5)

    told = add(CHARGING, limit_percent=60.0)
    silent = add(told, observed_at=later)

    assert (told.limit_percent, told.limit_observed_at) == (60.0, NOW)
    assert (silent.limit_percent, silent.limit_observed_at) == (60.0, NOW)


def test_a_limit_may_have_a_time_of_its_own() -> None:
    parked = {"observed_at": EARLIER, "limit_percent": 60.0}

    newer = add(CHARGING, limit_observed_at=NOW, **parked)
    older = add(newer, limit_observed_at=EARLIER, **parked | {"limit_percent": 90.0})

    assert (newer.limit_percent, newer.limit_observed_at) == (60.0, NOW)
    assert older.limit_percent == 60.0


def test_silence_wipes_nothing() -> None:
    state = add(CHARGING)

    assert state == replace(CHARGING, observed_at=NOW, received_at=NOW)


@pytest.mark.parametrize("before", [NEW, PARKED])
def test_a_plug_in_begins_with_its_report(before: LastKnown) -> None:
    state = add(before, is_plugged_in=True)

    assert state.plugged_in_at == NOW
    assert state.is_home is None


@pytest.mark.parametrize("is_home", [True, False])
def test_a_plug_in_knows_where_it_is_if_the_report_says_so(is_home: bool) -> None:
    assert add(PARKED, is_plugged_in=True, is_home=is_home).is_home is is_home


def test_the_first_word_on_home_stands_for_this_plug_in() -> None:
    unknown = replace(CHARGING, is_home=None)

    assert add(unknown, is_plugged_in=True, is_home=False).is_home is False
    assert add(CHARGING, is_plugged_in=True, is_home=False).is_home is True
    assert add(CHARGING, is_plugged_in=True).plugged_in_at == EARLIER


def test_home_is_forgotten_with_the_plug() -> None:
    state = add(CHARGING, is_plugged_in=False, is_home=True)

    assert state.plugged_in_at is None
    assert state.is_home is None


def test_a_car_without_a_cable_does_not_charge() -> None:
    state = add(CHARGING, is_plugged_in=False)

    assert state.is_charging is False
    assert state.power_kw == 0.0


def test_a_car_that_ceased_to_charge_draws_nothing() -> None:
    assert add(CHARGING, is_charging=False).power_kw == 0.0


def test_power_is_unknown_until_a_car_that_began_to_charge_says_it() -> None:
    stopped = replace(CHARGING, is_charging=False, power_kw=0.0)

    assert add(stopped, is_charging=True).power_kw is None


def test_it_learns_what_a_car_usually_draws_at_home() -> None:
    assert add(CHARGING, power_kw=12.0).usual_power_kw == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("state", "power_kw"),
    [
        # a fast charger on a holiday
        (replace(CHARGING, is_home=False), 150.0),
        # preheating from the wall
        (replace(CHARGING, is_charging=False), 2.0),
        # balancing its cells
        (CHARGING, 0.1),
    ],
)
def test_it_does_not_learn_from_what_is_not_usual(
    state: LastKnown, power_kw: float
) -> None:
    assert add(state, power_kw=power_kw).usual_power_kw == 7.0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("soc_percent", 140.0),
        ("soc_percent", -1.0),
        ("soc_percent", math.nan),
        ("limit_percent", 101.0),
        ("power_kw", -0.5),
        ("power_kw", math.inf),
        ("power_kw", 7200.0),
        ("battery_kwh", 0.0),
        ("battery_kwh", -5.0),
    ],
)
def test_what_cannot_be_is_dropped_and_the_rest_stays(field: str, value: float) -> None:
    report = Report("v-1", NOW, is_charging=True, **{field: value})  # type: ignore[arg-type]

    cleaned = clean(report, received_at=NOW)

    assert getattr(cleaned, field) is None
    assert cleaned.is_charging is True


def test_a_time_ahead_of_ours_becomes_ours() -> None:
    report = Report("v-1", NOW + timedelta(days=400))

    assert clean(report, received_at=NOW).observed_at == NOW


maybe = st.one_of(st.none(), st.booleans())
numbers = st.one_of(st.none(), st.floats())
reports = st.builds(
    Report,
    vehicle_id=st.just("v-1"),
    observed_at=st.datetimes(timezones=st.just(UTC)),
    is_plugged_in=maybe,
    is_charging=maybe,
    soc_percent=numbers,
    limit_percent=numbers,
    power_kw=numbers,
    battery_kwh=numbers,
    is_home=maybe,
)


@given(reports=st.lists(reports, max_size=8))
def test_the_database_would_take_whatever_comes_of_it(reports: list[Report]) -> None:
    state = NEW
    for report in reports:
        state = after(state, clean(report, received_at=NOW), received_at=NOW)

    assert state.soc_percent is None or 0 <= state.soc_percent <= 100
    assert state.limit_percent is None or 0 <= state.limit_percent <= 100
    assert 0 < state.usual_power_kw < math.inf
    assert 0 < state.battery_kwh < math.inf
    assert (state.plugged_in_at is None) == (state.is_plugged_in is not True)
    assert state.is_home is None or state.is_plugged_in
