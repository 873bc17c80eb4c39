"""Battery arithmetic, and when a car must be ready."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleets.charging import (
    charge_after,
    energy_needed_kwh,
    hours_needed,
    next_departure,
    seconds_of,
)

OSLO = ZoneInfo("Europe/Oslo")
LOS_ANGELES = ZoneInfo("America/Los_Angeles")
SEVEN = time(7, 0)


@pytest.mark.parametrize(
    ("soc", "limit", "energy_kwh", "hours"),
    [
        # below the taper: 30 % of 60 kWh at 6 kW
        (50.0, 80.0, 18.0, 3.0),
        # across it: 30 % fast, 10 % at half the power
        (50.0, 90.0, 24.0, 5.0),
        # above it: all at half the power
        (90.0, 100.0, 6.0, 2.0),
        # there already, or beyond
        (80.0, 80.0, 0.0, 0.0),
        (90.0, 80.0, 0.0, 0.0),
        (95.0, 90.0, 0.0, 0.0),
        # empty to full
        (0.0, 100.0, 60.0, 12.0),
    ],
)
def test_energy_and_hours_up_to_the_limit(
    soc: float, limit: float, energy_kwh: float, hours: float
) -> None:
    assert energy_needed_kwh(soc, limit, 60.0) == pytest.approx(energy_kwh)
    assert hours_needed(soc, limit, 60.0, 6.0) == pytest.approx(hours)


def test_arrays_are_worked_out_car_by_car() -> None:
    hours = hours_needed([50.0, 90.0], [80.0, 80.0], [60.0, 60.0], [6.0, 11.0])

    assert hours.tolist() == pytest.approx([3.0, 0.0])


percents = st.floats(0, 100)


@given(soc=percents, limit=percents, more=st.floats(0, 20))
def test_a_fuller_car_never_needs_longer(soc: float, limit: float, more: float) -> None:
    fuller = hours_needed(min(soc + more, 100.0), limit, 60.0, 7.0)

    assert 0 <= fuller <= hours_needed(soc, limit, 60.0, 7.0) + 1e-9


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def departure(
    today: time, tomorrow: time, *, zone: ZoneInfo, now: datetime
) -> datetime:
    (moment,) = next_departure(
        [seconds_of(today)], [seconds_of(tomorrow)], zone=zone, now=now
    )
    return datetime.fromtimestamp(moment, UTC)


@pytest.mark.parametrize(
    ("now", "zone", "at", "expected"),
    [
        # this evening: tomorrow morning; winter in Oslo is an hour ahead of UTC
        ("2026-01-12T17:00", OSLO, SEVEN, "2026-01-13T06:00"),
        # after midnight: this morning
        ("2026-01-12T23:30", OSLO, SEVEN, "2026-01-13T06:00"),
        # the local day counts, not that of UTC
        ("2026-01-13T02:00", LOS_ANGELES, SEVEN, "2026-01-13T15:00"),
        ("2026-01-13T16:00", LOS_ANGELES, SEVEN, "2026-01-14T15:00"),
        # at the very moment it is over
        ("2026-01-13T06:00", OSLO, SEVEN, "2026-01-14T06:00"),
        ("2026-01-13T05:59", OSLO, SEVEN, "2026-01-13T06:00"),
        # at midnight a day begins
        ("2026-01-12T22:59", OSLO, time(0, 0), "2026-01-12T23:00"),
        ("2026-01-12T23:00", OSLO, time(0, 0), "2026-01-13T23:00"),
        # clocks go forward in the night: an hour less
        ("2026-03-28T18:00", OSLO, SEVEN, "2026-03-29T05:00"),
        ("2026-03-08T02:00", LOS_ANGELES, SEVEN, "2026-03-08T14:00"),
        # 02:30 does not exist that night: 03:30 instead
        ("2026-03-28T18:00", OSLO, time(2, 30), "2026-03-29T01:30"),
        ("2026-03-08T02:00", LOS_ANGELES, time(2, 30), "2026-03-08T10:30"),
        # clocks go back: an hour more
        ("2026-10-24T18:00", OSLO, SEVEN, "2026-10-25T06:00"),
        ("2026-11-01T02:00", LOS_ANGELES, SEVEN, "2026-11-01T15:00"),
        # 02:30 exists twice: the first counts, and once that is over, the next day's
        ("2026-10-24T18:00", OSLO, time(2, 30), "2026-10-25T00:30"),
        ("2026-10-25T01:00", OSLO, time(2, 30), "2026-10-26T01:30"),
        ("2026-11-01T02:00", LOS_ANGELES, time(1, 30), "2026-11-01T08:30"),
        ("2026-11-01T09:00", LOS_ANGELES, time(1, 30), "2026-11-02T09:30"),
    ],
)
def test_the_next_departure_by_the_clock_on_the_wall(
    now: str, zone: ZoneInfo, at: time, expected: str
) -> None:
    assert departure(at, at, zone=zone, now=utc(now)) == utc(expected)


def test_today_and_tomorrow_have_their_own_times() -> None:
    ready = next_departure(
        [6 * 3600.0, 19 * 3600.0, 6 * 3600.0],
        [8 * 3600.0, 8 * 3600.0, 6.5 * 3600.0],
        zone=ZoneInfo("UTC"),
        now=utc("2026-01-12T17:00"),
    )

    assert [datetime.fromtimestamp(at, UTC) for at in ready.tolist()] == [
        utc("2026-01-13T08:00"), utc("2026-01-12T19:00"), utc("2026-01-13T06:30"),
    ]  # fmt: skip


@given(
    now=st.datetimes(datetime(2025, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001
    today=st.times(),
    tomorrow=st.times(),
    zone=st.sampled_from([OSLO, LOS_ANGELES, ZoneInfo("Asia/Kolkata")]),
)
def test_the_next_departure_is_ahead_and_less_than_two_days_away(
    now: datetime, today: time, tomorrow: time, zone: ZoneInfo
) -> None:
    moment = now.replace(tzinfo=UTC)

    ready = departure(today, tomorrow, zone=zone, now=moment)

    assert moment < ready <= moment + timedelta(hours=49)


@given(
    soc=st.floats(0, 100),
    limit=st.floats(0, 100),
    power_kw=st.floats(1, 50),
    battery_kwh=st.floats(10, 120),
    share=st.floats(0, 1),
)
def test_charging_for_the_hours_needed_reaches_the_limit_and_not_before(
    soc: float, limit: float, power_kw: float, battery_kwh: float, share: float
) -> None:
    hours = hours_needed(soc, limit, battery_kwh, power_kw)
    charge = charge_after(soc, limit, battery_kwh, power_kw, hours)
    before = charge_after(soc, limit, battery_kwh, power_kw, hours * share)

    assert charge == pytest.approx(max(soc, limit))
    assert soc <= before <= charge + 1e-9
    left = hours_needed(before, limit, battery_kwh, power_kw)
    assert left == pytest.approx(hours * (1 - share), abs=1e-6)
