"""Charging sessions by evening, and who is enrolled on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from dispatch.charging_sessions import Session

# A day's cars plug in from noon to noon: nothing that matters here happens at noon.
EVENING_BEGINS = timedelta(hours=12)


@dataclass(frozen=True)
class Sessions:
    """Sessions by evening, and between which days each user was there."""

    by_evening: Mapping[date, list[Session]]
    first: Mapping[str, date]
    last: Mapping[str, date]

    @classmethod
    def of(cls, found: Iterable[Session]) -> Sessions:
        """Sort sessions by evening."""
        by_evening: dict[date, list[Session]] = {}
        first: dict[str, date] = {}
        last: dict[str, date] = {}
        for one in found:
            day = evening_of(one.plugged_in)
            by_evening.setdefault(day, []).append(one)
            first[one.user] = min(first.get(one.user, day), day)
            last[one.user] = max(last.get(one.user, day), day)
        return cls(by_evening, first, last)

    def with_power(self, times: float) -> Sessions:
        """Return the same evenings with every car's power multiplied."""
        by_evening = {
            day: [replace(one, power_kw=one.power_kw * times) for one in found]
            for day, found in self.by_evening.items()
        }
        return replace(self, by_evening=by_evening)

    def enrolled(self, day: date) -> int:
        """Return how many users are there: between their first and last session."""
        return sum(self.first[user] <= day <= self.last[user] for user in self.first)


def evening_of(moment: datetime) -> date:
    """Return the day at whose noon the evening of this moment began."""
    return (moment - EVENING_BEGINS).date()


def winter_weekdays(since: date, until: date) -> list[date]:
    """Return the weekdays of a span but for 20 December to 5 January."""
    days = [since + timedelta(days=n) for n in range((until - since).days + 1)]
    return [day for day in days if day.weekday() < 5 and not _is_yule(day)]


def _is_yule(day: date) -> bool:
    return (day.month, day.day) >= (12, 20) or (day.month, day.day) <= (1, 5)
