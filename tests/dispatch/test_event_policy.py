"""What a program promised about events: each rule, alone and with the others."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.event_policy import (
    USUAL,
    Broken,
    DaysOff,
    Rule,
    Rules,
    Span,
    judge,
    season_of,
)
from dispatch.lifecycle import EventKind

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
OSLO = ZoneInfo("Europe/Oslo")
# A Monday; 17 to 19 h in Oslo.
NOW = datetime(2026, 1, 12, 10, 0, tzinfo=UTC)
MONDAY = datetime(2026, 1, 12, 16, 0, tzinfo=UTC)


def span(starts_at: datetime = MONDAY, hours: float = 2.0, back: float = 4.0) -> Span:
    ends_at = starts_at + hours * HOUR
    return Span(starts_at, ends_at, ends_at + back * HOUR)


def found(rules: Rules, wanted: Span | None = None, **values: Any) -> list[Broken]:
    return judge(
        rules,
        wanted or span(),
        **{
            "others": [],
            "days_off": [],
            "participants": 100,
            "zone": OSLO,
            "now": NOW,
            **values,
        },
    )


def rules_of(broken: list[Broken]) -> set[Rule]:
    return {one.rule for one in broken}


HOLIDAY = DaysOff("Epiphany", date(2026, 1, 12), date(2026, 1, 12), is_holiday=True)
BLACKOUT = DaysOff("Fair", date(2026, 1, 10), date(2026, 1, 15), is_holiday=False)
WEEK = [span(MONDAY + n * DAY) for n in range(1, 5)]  # Tuesday to Friday


@pytest.mark.parametrize(
    ("rules", "values", "broken"),
    [
        # Six hours ahead: enough, and a second too little.
        (Rules(notice=6 * HOUR), {}, set()),
        (Rules(notice=6 * HOUR), {"now": NOW + timedelta(seconds=1)}, {Rule.NOTICE}),
        # No notice at all is always kept, even by an event that began.
        (Rules(), {"now": MONDAY + HOUR}, set()),
        # January is in the winter of November to March, not in a summer.
        (Rules(season_from_month=11, season_to_month=3), {}, set()),
        (Rules(season_from_month=6, season_to_month=9), {}, {Rule.SEASON}),
        # A Saturday, and a Friday night that reaches into it.
        (
            Rules(on_weekends=False),
            {"wanted": span(MONDAY + 5 * DAY)},
            {Rule.WEEKEND},
        ),
        (
            Rules(on_weekends=False),
            {"wanted": span(MONDAY + 4 * DAY, hours=8)},
            {Rule.WEEKEND},
        ),
        # Ending at midnight sharp touches no further day.
        (
            Rules(on_weekends=False),
            {"wanted": span(MONDAY + 4 * DAY, hours=7)},
            set(),
        ),
        (Rules(on_holidays=False), {"days_off": [HOLIDAY]}, {Rule.HOLIDAY}),
        (Rules(in_blackouts=False), {"days_off": [BLACKOUT]}, {Rule.BLACKOUT}),
        # Each kind minds what it minds.
        (Rules(on_holidays=False), {"days_off": [BLACKOUT]}, set()),
        (Rules(), {"days_off": [HOLIDAY, BLACKOUT]}, set()),
        # A second event of the day; one that ended in its first minutes counts.
        (
            Rules(max_events_per_day=1),
            {"others": [span(MONDAY - 4 * HOUR)]},
            {Rule.EVENTS_PER_DAY},
        ),
        (
            Rules(max_events_per_day=1),
            {"others": [span(MONDAY - 20 * HOUR, hours=4)]},
            {Rule.EVENTS_PER_DAY},
        ),
        (
            Rules(max_events_per_day=1),
            {"others": [span(MONDAY - 20 * HOUR, hours=3)]},
            set(),
        ),
        # The fifth day running, and one that joins two runs.
        (Rules(max_consecutive_days=5), {"others": WEEK}, set()),
        (Rules(max_consecutive_days=4), {"others": WEEK}, {Rule.CONSECUTIVE_DAYS}),
        (
            Rules(max_consecutive_days=2),
            {"others": [span(MONDAY - DAY), span(MONDAY + DAY)]},
            {Rule.CONSECUTIVE_DAYS},
        ),
        # The last allowed day, and the one after it.
        (Rules(max_days_per_season=5), {"others": WEEK}, set()),
        (Rules(max_days_per_season=4), {"others": WEEK}, {Rule.DAYS_PER_SEASON}),
        # A second event on an event day is no further day.
        (Rules(max_days_per_season=1), {"others": [span(MONDAY - 5 * HOUR)]}, set()),
        # 2 h and 4 h of giving back, five times: 30 h.
        (Rules(max_hours_per_season=30.0), {"others": WEEK}, set()),
        (
            Rules(max_hours_per_season=29.9),
            {"others": WEEK},
            {Rule.HOURS_PER_SEASON},
        ),
        (Rules(max_hours_per_year=29.9), {"others": WEEK}, {Rule.HOURS_PER_YEAR}),
        # What took longer to give back counts as it was.
        (
            Rules(max_hours_per_year=30.0),
            {"others": [span(MONDAY + DAY, back=23)]},
            {Rule.HOURS_PER_YEAR},
        ),
        # December is another year, and the same winter.
        (
            Rules(
                season_from_month=11,
                season_to_month=3,
                max_hours_per_season=10.0,
                max_hours_per_year=10.0,
            ),
            {"others": [span(MONDAY - 30 * DAY)]},
            {Rule.HOURS_PER_SEASON},
        ),
        (Rules(min_participants=101), {}, {Rule.PARTICIPANTS}),
        (Rules(min_participants=100), {}, set()),
        (Rules(min_participants=101), {"participants": None}, set()),
    ],
)
def test_each_rule_is_kept_and_broken_at_its_edge(
    rules: Rules, values: dict[str, Any], broken: set[Rule]
) -> None:
    assert rules_of(found(rules, **values)) == broken


def test_all_that_is_broken_is_told_at_once() -> None:
    strict = Rules(
        notice=7 * HOUR,
        season_from_month=6,
        season_to_month=9,
        on_holidays=False,
        in_blackouts=False,
        max_events_per_day=0,
        max_consecutive_days=0,
        max_hours_per_year=1.0,
        min_participants=101,
    )

    broken = found(strict, days_off=[HOLIDAY, BLACKOUT])

    assert rules_of(broken) == set(Rule) - {
        Rule.WEEKEND, Rule.DAYS_PER_SEASON, Rule.HOURS_PER_SEASON,
    }  # fmt: skip
    assert len({one.message for one in broken}) == len(broken)


def test_within_its_old_window_an_event_is_not_judged_anew() -> None:
    since = Rules(notice=48 * HOUR, on_holidays=False, max_hours_per_year=1.0)
    shorter = span(MONDAY + HOUR, hours=0.5)

    assert found(since, shorter, days_off=[HOLIDAY], was=span()) == []


def test_an_event_that_grows_is_judged_but_for_the_notice_of_its_start() -> None:
    since = Rules(notice=48 * HOUR, max_hours_per_year=6.5)

    assert rules_of(found(since, span(hours=3), was=span())) == {Rule.HOURS_PER_YEAR}
    assert Rule.NOTICE in rules_of(found(since, span(MONDAY - HOUR), was=span()))


@pytest.mark.parametrize(
    ("months", "day", "season"),
    [
        ((1, 12), date(2026, 5, 5), (date(2026, 1, 1), date(2027, 1, 1))),
        ((6, 9), date(2026, 9, 30), (date(2026, 6, 1), date(2026, 10, 1))),
        ((6, 9), date(2026, 10, 1), None),
        # A winter, from both of its years.
        ((11, 3), date(2026, 12, 31), (date(2026, 11, 1), date(2027, 4, 1))),
        ((11, 3), date(2027, 1, 1), (date(2026, 11, 1), date(2027, 4, 1))),
        ((10, 12), date(2026, 12, 1), (date(2026, 10, 1), date(2027, 1, 1))),
        # One month, and a year that begins in July.
        ((2, 2), date(2026, 2, 1), (date(2026, 2, 1), date(2026, 3, 1))),
        ((7, 6), date(2026, 6, 30), (date(2025, 7, 1), date(2026, 7, 1))),
    ],
)
def test_a_season_is_whole_months_and_may_turn_the_year(
    months: tuple[int, int], day: date, season: tuple[date, date] | None
) -> None:
    rules = Rules(season_from_month=months[0], season_to_month=months[1])

    assert season_of(rules, day) == season


def test_an_emergency_is_bound_by_nothing_and_no_rule_is_about_opting_out() -> None:
    at_any_time = span(MONDAY + 5 * DAY, hours=8)
    values = {"others": [span()] * 50, "days_off": [HOLIDAY, BLACKOUT], "now": MONDAY}

    assert found(USUAL[EventKind.EMERGENCY], at_any_time, **values) == []
    assert not [name for name in Rules.__dataclass_fields__ if "opt" in name]


MOMENTS = st.floats(-40.0, 110.0).map(lambda days: MONDAY + days * DAY)
SPANS = st.builds(span, MOMENTS, st.floats(0.25, 30.0), st.floats(0.0, 12.0))
CAPS = st.one_of(st.none(), st.integers(1, 6))
RULES = st.builds(
    Rules,
    season_from_month=st.integers(1, 12),
    season_to_month=st.integers(1, 12),
    max_events_per_day=CAPS,
    max_days_per_season=CAPS,
    max_consecutive_days=CAPS,
    max_hours_per_season=st.one_of(st.none(), st.floats(1.0, 100.0)),
    max_hours_per_year=st.one_of(st.none(), st.floats(1.0, 100.0)),
)


@settings(deadline=None)
@given(RULES, st.lists(SPANS, max_size=25))
def test_who_lets_in_only_what_the_judge_allows_keeps_every_cap(
    rules: Rules, wanted: list[Span]
) -> None:
    book: list[Span] = []
    for one in wanted:
        if not found(rules, one, others=book):
            book.append(one)

    # Counted anew from the book, day by day.
    days = [day for one in book for day in one.days(OSLO)]
    each = sorted(set(days))
    longest = run = 0
    for n, day in enumerate(each):
        run = run + 1 if n and each[n - 1] == day - DAY else 1
        longest = max(longest, run)
    a_year = [
        sum(one.hours for one in book if one.days(OSLO)[0].year == year)
        for year in (2025, 2026)
    ]
    assert all(season_of(rules, day) for day in days)
    assert max((days.count(day) for day in each), default=0) <= (
        rules.max_events_per_day or len(book)
    )
    assert longest <= (rules.max_consecutive_days or len(each))
    assert max(a_year) <= (rules.max_hours_per_year or float("inf")) + 1e-6


@settings(deadline=None)
@given(RULES, SPANS, st.lists(SPANS, max_size=15), st.randoms())
def test_the_order_of_the_others_does_not_matter_and_more_of_them_never_help(
    rules: Rules, wanted: Span, others: list[Span], chance: Any
) -> None:
    shuffled = list(others)
    chance.shuffle(shuffled)
    broken = rules_of(found(rules, wanted, others=others))

    assert rules_of(found(rules, wanted, others=shuffled)) == broken
    assert rules_of(found(rules, wanted, others=others[1:])) <= broken
