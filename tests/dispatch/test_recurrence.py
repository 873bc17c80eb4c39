"""When recurring windows begin, in zones whose clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.recurrence import days_between, starts_on

DAY = timedelta(days=1)
# Changes at night, by half an hour, at midnight, never, and one that skipped a day.
ZONES = (
    "Europe/Oslo", "America/Los_Angeles", "Australia/Lord_Howe", "America/Santiago",
    "Asia/Tokyo", "Pacific/Apia",
)  # fmt: skip


@pytest.mark.parametrize(
    ("zone", "day", "at", "begins"),
    [
        # An ordinary evening, before and after the clock is put forward.
        ("Europe/Oslo", date(2026, 3, 28), time(17), "2026-03-28T16:00"),
        ("Europe/Oslo", date(2026, 3, 29), time(17), "2026-03-29T15:00"),
        # 02:30 is skipped: it begins at what the clock then calls 03:30.
        ("Europe/Oslo", date(2026, 3, 29), time(2, 30), "2026-03-29T01:30"),
        # 02:30 comes twice: the first.
        ("Europe/Oslo", date(2026, 10, 25), time(2, 30), "2026-10-25T00:30"),
        # Midnight is skipped in Santiago.
        ("America/Santiago", date(2026, 9, 6), time(0, 0), "2026-09-06T04:00"),
        # Samoa had no 30 December 2011.
        ("Pacific/Apia", date(2011, 12, 30), time(18), None),
        ("Pacific/Apia", date(2011, 12, 31), time(18), "2011-12-31T04:00"),
    ],
)
def test_it_begins_by_the_clock_on_the_wall(
    zone: str, day: date, at: time, begins: str | None
) -> None:
    expected = begins and datetime.fromisoformat(begins).replace(tzinfo=UTC)

    assert starts_on(day, at, ZoneInfo(zone)) == expected


@settings(deadline=None)
@given(
    st.sampled_from(ZONES),
    st.dates(date(2011, 1, 1), date(2030, 12, 31)),
    st.times(),
)
def test_each_day_has_one_start_and_later_days_have_later_ones(
    zone: str, day: date, at: time
) -> None:
    begins = [
        starts_on(day + n * DAY, at.replace(fold=0), ZoneInfo(zone)) for n in range(3)
    ]

    there = [moment for moment in begins if moment]
    assert there == sorted(set(there))
    assert len(there) >= 2


def test_days_are_counted_by_weekday_both_ends_included() -> None:
    monday = date(2026, 1, 12)

    assert list(days_between(monday, monday + 7 * DAY, [0, 6])) == [
        monday, monday + 6 * DAY, monday + 7 * DAY,
    ]  # fmt: skip
    assert not list(days_between(monday, monday - DAY, [0]))
