"""What a program promised its customers about events: the judge, and the usual numbers.

Pure: plain values in, every broken rule out. Days are those of the program's time zone;
an event belongs to the season and the year in which it starts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from dispatch.lifecycle import EventKind

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SATURDAY = 5


class Rule(StrEnum):
    """What an event can break."""

    NOTICE = "too_short_notice"
    SEASON = "out_of_season"
    WEEKEND = "weekend"
    HOLIDAY = "holiday"
    BLACKOUT = "blackout"
    EVENTS_PER_DAY = "too_many_events_a_day"
    DAYS_PER_SEASON = "too_many_days_a_season"
    CONSECUTIVE_DAYS = "too_many_consecutive_days"
    HOURS_PER_SEASON = "too_many_hours_a_season"
    HOURS_PER_YEAR = "too_many_hours_a_year"
    PARTICIPANTS = "too_few_participants"


@dataclass(frozen=True)
class Broken:
    """One rule that an event would break, and the field that could mend it."""

    rule: Rule
    field: str
    message: str


@dataclass(frozen=True)
class Rules:
    """What holds for events of one kind in one program; None is no cap."""

    notice: timedelta = timedelta(0)
    # Months, both included: 11 to 3 is a winter, 1 to 12 the whole year.
    season_from_month: int = 1
    season_to_month: int = 12
    on_weekends: bool = True
    on_holidays: bool = True
    in_blackouts: bool = True
    max_events_per_day: int | None = None
    max_days_per_season: int | None = None
    max_consecutive_days: int | None = None
    max_hours_per_season: float | None = None
    max_hours_per_year: float | None = None
    # What giving back is reckoned to take until it is done: it counts in the hours.
    restore_time: timedelta = 4 * HOUR
    min_participants: int = 0


# Day-ahead by the afternoon, workdays, 15 events and 100 hours at most are what tariffs
# usually say; three days running is where customers begin to leave. An emergency waits
# for nobody, but the customer's opt-out is no rule of this table: it holds for all.
_WORKDAYS = Rules(
    notice=21 * HOUR,
    on_weekends=False,
    on_holidays=False,
    in_blackouts=False,
    max_events_per_day=1,
    min_participants=1,
)
USUAL = {
    EventKind.ECONOMIC: replace(
        _WORKDAYS,
        max_days_per_season=15,
        max_consecutive_days=3,
        max_hours_per_season=100.0,
        max_hours_per_year=200.0,
    ),
    EventKind.EMERGENCY: Rules(),
    EventKind.TEST: replace(
        _WORKDAYS,
        max_days_per_season=4,
        max_consecutive_days=1,
        max_hours_per_season=20.0,
        max_hours_per_year=40.0,
    ),
}


@dataclass(frozen=True)
class DaysOff:
    """Days on which a program holds nobody, as far as a kind minds them."""

    name: str
    first_on: date
    last_on: date
    is_holiday: bool  # else a blackout

    def has(self, day: date) -> bool:
        """Return whether this day is one of them."""
        return self.first_on <= day <= self.last_on


@dataclass(frozen=True)
class Span:
    """An event's window, and when giving back is done or reckoned to be."""

    starts_at: datetime
    ends_at: datetime
    restored_at: datetime

    @property
    def hours(self) -> float:
        """Return the hours that count: those of giving back too."""
        return (self.restored_at - self.starts_at) / HOUR

    def days(self, zone: ZoneInfo) -> list[date]:
        """Return the local days that the window touches."""
        first = self.starts_at.astimezone(zone).date()
        # An end at midnight touches no further day.
        last = (self.ends_at - timedelta(microseconds=1)).astimezone(zone).date()
        return [first + n * DAY for n in range((last - first).days + 1)]


def judge(
    rules: Rules,
    span: Span,
    *,
    others: Sequence[Span],
    days_off: Iterable[DaysOff],
    participants: int | None,
    zone: ZoneInfo,
    now: datetime,
    was: Span | None = None,
) -> list[Broken]:
    """Return every rule that an event of this span would break beside the others.

    `others` are events of the same program and kind that were not called off before
    they began. `participants` None is not judged. `was` is what an amended event was:
    within its old window nothing that was allowed then is judged anew, and its notice
    counts again only when its start moves.
    """
    broken: list[Broken] = []
    within = (
        was is not None
        and was.starts_at <= span.starts_at
        and span.ends_at <= was.ends_at
    )
    if not within:
        if was is None or span.starts_at != was.starts_at:
            broken += _notice(rules, span, now)
        days = span.days(zone)
        broken += _calendar(rules, days, days_off)
        broken += _caps(rules, span, days, others, zone)
    if participants is not None and participants < rules.min_participants:
        broken.append(
            Broken(
                Rule.PARTICIPANTS,
                "program",
                f"The event aims at {participants:,} enrolled cars; the program needs "
                f"{rules.min_participants:,}.",
            )
        )
    return broken


def season_of(rules: Rules, day: date) -> tuple[date, date] | None:
    """Return the season that has this day, as first day and first day after it."""
    months = (rules.season_to_month - rules.season_from_month) % 12 + 1
    if (day.month - rules.season_from_month) % 12 >= months:
        return None
    year = day.year - (day.month < rules.season_from_month)
    after = rules.season_from_month + months
    return (
        date(year, rules.season_from_month, 1),
        date(year + (after > 12), (after - 1) % 12 + 1, 1),
    )


def _notice(rules: Rules, span: Span, now: datetime) -> Iterator[Broken]:
    notice = max(span.starts_at - now, timedelta(0))
    if notice < rules.notice:
        yield Broken(
            Rule.NOTICE,
            "starts_at",
            f"The start is {notice / HOUR:.3g} hours ahead; the program gives "
            f"{rules.notice / HOUR:.3g} hours' notice.",
        )


def _calendar(
    rules: Rules, days: Sequence[date], days_off: Iterable[DaysOff]
) -> Iterator[Broken]:
    if outside := [day for day in days if season_of(rules, day) is None]:
        yield Broken(
            Rule.SEASON,
            "starts_at",
            f"{outside[0]} is out of season: the program's months are "
            f"{rules.season_from_month} to {rules.season_to_month}.",
        )
    weekend = [day for day in days if day.weekday() >= SATURDAY]
    if weekend and not rules.on_weekends:
        yield Broken(Rule.WEEKEND, "starts_at", f"{weekend[0]} is a {weekend[0]:%A}.")
    for off in days_off:
        if (rules.on_holidays if off.is_holiday else rules.in_blackouts) or not any(
            map(off.has, days)
        ):
            continue
        rule = Rule.HOLIDAY if off.is_holiday else Rule.BLACKOUT
        yield Broken(
            rule,
            "starts_at",
            f"{off.name} ({off.first_on} to {off.last_on}) is a {rule} of the program.",
        )


def _caps(
    rules: Rules,
    span: Span,
    days: Sequence[date],
    others: Sequence[Span],
    zone: ZoneInfo,
) -> Iterator[Broken]:
    taken = [other.days(zone) for other in others]
    a_day = max(1 + sum(day in theirs for theirs in taken) for day in days)
    yield from _cap(
        Rule.EVENTS_PER_DAY, a_day, rules.max_events_per_day, "events on one day"
    )
    running = _run({day for theirs in taken for day in theirs} | set(days), days)
    yield from _cap(
        Rule.CONSECUTIVE_DAYS, running, rules.max_consecutive_days, "days running"
    )
    season = season_of(rules, days[0])
    if season is not None:
        mine = [
            (other, theirs)
            for other, theirs in zip(others, taken, strict=True)
            if season[0] <= theirs[0] < season[1]
        ]
        event_days = {day for _, theirs in mine for day in theirs} | set(days)
        yield from _cap(
            Rule.DAYS_PER_SEASON,
            len(event_days),
            rules.max_days_per_season,
            "event days in the season",
        )
        yield from _cap(
            Rule.HOURS_PER_SEASON,
            span.hours + sum(other.hours for other, _ in mine),
            rules.max_hours_per_season,
            "hours in the season, with giving back",
        )
    yield from _cap(
        Rule.HOURS_PER_YEAR,
        span.hours
        + sum(
            other.hours
            for other, theirs in zip(others, taken, strict=True)
            if theirs[0].year == days[0].year
        ),
        rules.max_hours_per_year,
        "hours in the year, with giving back",
    )


def _cap(
    rule: Rule, found: float, allowed: float | None, what: str
) -> Iterator[Broken]:
    if allowed is not None and found > allowed:
        field = "ends_at" if "hours" in rule else "starts_at"
        yield Broken(
            rule,
            field,
            f"That would make {found:.4g} {what}; the program allows {allowed:.4g}.",
        )


def _run(event_days: Collection[date], own: Sequence[date]) -> int:
    """Return how many event days run on end through an event's own days."""
    first, last = own[0], own[-1]
    while first - DAY in event_days:
        first -= DAY
    while last + DAY in event_days:
        last += DAY
    return (last - first).days + 1
