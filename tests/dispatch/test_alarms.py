"""What a person must look at: once while it lasts, and again when it comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dispatch import alarms
from dispatch.models import Alarm
from tests.dispatch.together import at_once
from tests.factories import HOUR, NOW

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]


def raise_one(key: str = "a", text: str = "Look", **values: Any) -> None:
    alarms.raise_alarm(key, text, **{"now": NOW, **values})


def test_an_alarm_says_what_since_when_and_of_which_event(make_event: Make) -> None:
    event = make_event()

    raise_one(event=event, severity=Alarm.Severity.WARNING)

    alarm = Alarm.objects.get()
    assert (alarm.key, alarm.text, alarm.raised_at) == ("a", "Look", NOW)
    assert (alarm.event, alarm.severity) == (event, "warning")
    assert alarm.cleared_at is None


def test_an_alarm_is_critical_unless_it_says_otherwise() -> None:
    raise_one()

    assert Alarm.objects.get().severity == "critical"


def test_it_is_raised_once_while_it_lasts() -> None:
    raise_one()
    raise_one(text="Look again", now=NOW + HOUR)

    assert Alarm.objects.get().text == "Look"


def test_it_is_raised_anew_when_it_comes_back() -> None:
    raise_one()
    alarms.clear(["a"], now=NOW + HOUR)
    raise_one(now=NOW + 2 * HOUR)

    assert list(Alarm.objects.order_by("id").values_list("cleared_at", flat=True)) == [
        NOW + HOUR,
        None,
    ]


def test_clearing_leaves_other_keys_and_what_was_cleared_before() -> None:
    for key in ("a", "b"):
        raise_one(key)
    alarms.clear(["a"], now=NOW)
    alarms.clear(iter(["a", "c"]), now=NOW + HOUR)

    assert dict(Alarm.objects.values_list("key", "cleared_at")) == {"a": NOW, "b": None}


def test_long_words_fit_their_columns() -> None:
    raise_one("k" * 200, "t" * 400)
    raise_one("k" * 200, "t" * 400)

    alarm = Alarm.objects.get()
    assert (alarm.key, alarm.text) == ("k" * 100, "t" * 300)


def test_a_hold_knows_all_its_keys() -> None:
    keys = [
        alarms.unresolved_key(7), alarms.refused_key(7), alarms.late_key(7),
        alarms.away_key(7),
    ]  # fmt: skip

    assert sorted(alarms.of_hold(7)) == sorted(keys)
    assert len(set(keys) | set(alarms.of_hold(8))) == 8


@pytest.mark.django_db(transaction=True)
def test_two_that_see_it_at_once_raise_it_once() -> None:
    at_once(*[raise_one] * 4)

    assert Alarm.objects.count() == 1
