"""Charging sessions by evening."""

from __future__ import annotations

from datetime import date, datetime

from dispatch.charging_sessions import Session
from dispatch.rehearsal.sessions import Sessions, winter_weekdays


def ada(day: int, *, hour: int = 16) -> Session:
    return Session(
        "ada",
        datetime(2020, 1, day, hour),  # noqa: DTZ001 - by the clock on the wall
        datetime(2020, 1, day, 23),  # noqa: DTZ001
        energy_kwh=5.0,
        power_kw=3.5,
    )


def test_an_evening_goes_from_noon_to_noon() -> None:
    found = Sessions.of([ada(13, hour=12), ada(14, hour=11)])

    assert list(found.by_evening) == [date(2020, 1, 13)]


def test_a_user_is_there_between_the_first_and_the_last_session() -> None:
    found = Sessions.of([ada(13), ada(20)])

    days = [date(2020, 1, day) for day in (12, 13, 17, 20, 21)]
    assert [found.enrolled(day) for day in days] == [0, 1, 1, 1, 0]


def test_power_can_be_multiplied() -> None:
    found = Sessions.of([ada(13)]).with_power(2.0)

    assert found.by_evening[date(2020, 1, 13)][0].power_kw == 7.0


def test_winter_weekdays_leave_out_weekends_and_yule() -> None:
    days = winter_weekdays(date(2019, 12, 18), date(2020, 1, 8))

    assert [day.isoformat() for day in days] == [
        "2019-12-18", "2019-12-19", "2020-01-06", "2020-01-07", "2020-01-08",
    ]  # fmt: skip
