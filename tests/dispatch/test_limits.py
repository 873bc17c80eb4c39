"""Which limit stops a car, and whose the one is that it shows: tables, no database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch import limits, planner
from dispatch.limits import Whose
from dispatch.planner import Act, Cars, Reason
from fleets.providers.base import Report
from tests.dispatch.fleet import (
    HOUR,
    NOW,
    PROGRAM,
    PROVIDER,
    cars,
    event,
    held,
    over,
)
from tests.factories import NOW as MOMENT

LIMIT_FIRST = replace(PROGRAM, limit_first=True)


@pytest.mark.parametrize(
    ("percent", "whose"),
    [
        (None, Whose.UNSAID),
        (63.0, Whose.OURS),
        # makes report fractions: 0.63 * 100
        (63.00000001, Whose.OURS),
        (80.0, Whose.OWN),
        (90.0, Whose.THEIRS),
        (62.0, Whose.THEIRS),
    ],
)
def test_a_limit_is_somebodys(percent: float | None, whose: Whose) -> None:
    assert limits.whose(percent, ours=63, own=80.0) is whose


@pytest.mark.parametrize(
    ("soc_percent", "own_percent", "ours"),
    [
        (63.9, 80.0, 63),
        (50.0, 80.0, 50),
        # the car would still charge up to the lowest limit there is
        (49.9, 80.0, None),
        # nothing above it to give back
        (79.9, 80.0, 79),
        (80.0, 80.0, None),
        (85.0, 80.0, None),
        # what is not known, or could not be written again, is not touched
        (63.9, np.nan, None),
        (63.9, 80.4, None),
        (63.9, 80.00000001, 63),
        (np.nan, 80.0, None),
    ],
)
def test_a_limit_is_lowered_where_it_stops_and_can_be_set_back(
    soc_percent: float, own_percent: float, ours: int | None
) -> None:
    soc, own = np.array([soc_percent]), np.array([own_percent])

    can = bool(limits.can_lower(soc, own)[0])

    assert (int(limits.lowered(soc)[0]) if can else None) == ours


@given(st.floats(0, 100), st.integers(1, 100))
def test_whatever_is_lowered_stops_the_car_and_is_below_its_own(
    soc_percent: float, own_percent: int
) -> None:
    soc, own = np.array([soc_percent]), np.array([float(own_percent)])
    if limits.can_lower(soc, own)[0]:
        ours = limits.lowered(soc)[0]

        assert 50 <= ours <= soc_percent < ours + 1
        assert ours < own_percent


SEEN = Report("v-1", MOMENT, is_plugged_in=True, is_charging=True, limit_percent=80.0)


@pytest.mark.parametrize(
    ("said", "takes", "gives"),
    [
        ({}, True, True),
        # somebody else has been at it, or it says nothing
        ({"limit_percent": 90.0}, False, False),
        ({"limit_percent": None}, False, False),
        # only what charges is worth taking; whatever it does, it gets its limit back
        ({"is_charging": False}, False, True),
        ({"is_charging": None}, False, True),
        ({"is_plugged_in": False, "is_charging": False}, False, True),
    ],
)
def test_a_look_lets_a_limit_be_written(
    said: dict[str, Any], takes: bool, gives: bool
) -> None:
    seen = replace(SEEN, **said)

    assert limits.may_write(seen, instead_of=80, takes=True) == takes
    assert limits.may_write(seen, instead_of=80, takes=False) == gives


# What the planner makes of it


def decide(fleet: Cars, *events: planner.Event, **rules: Any) -> list[planner.Intent]:
    program = rules.pop("program", LIMIT_FIRST)
    provider = replace(PROVIDER, **rules)
    return list(planner.decide(program, fleet, events, provider, now=NOW))


@pytest.mark.parametrize(
    ("state", "percent"),
    [
        ({"soc_percent": 63.9}, 63),
        # what cannot be done by a limit is done by a stop
        ({"soc_percent": 45.0}, None),
        ({"limit_percent": np.nan}, None),
        ({"can_set_limit": False}, None),
        # and the other way round
        ({"soc_percent": 63.9, "able": False}, 63),
    ],
)
def test_the_tactic_is_the_programs_first_and_the_cars_ability(
    state: dict[str, Any], percent: int | None
) -> None:
    (intent,) = decide(cars(ada=state), event(1))

    assert (intent.act, intent.limit_percent) == (Act.HOLD, percent)


@pytest.mark.parametrize(
    ("able", "percent"),
    [
        # a stop is the default
        (True, None),
        # a car that cannot be stopped, or not at this charge
        (False, 63),
    ],
)
def test_without_a_choice_a_limit_is_the_second_best(
    able: bool, percent: int | None
) -> None:
    fleet = cars(ada={"soc_percent": 63.9, "able": able})

    (intent,) = decide(fleet, event(1), program=PROGRAM)

    assert (intent.act, intent.limit_percent) == (Act.HOLD, percent)


def test_a_lowered_limit_needs_room_for_two_calls() -> None:
    fleet = cars(ada={"soc_percent": 63.9}, ben={"soc_percent": 63.9})
    scarce = {"reserve_calls": 3.0, "restores_per_minute": 0.0}

    acts = [intent.act for intent in decide(fleet, event(2), **scarce)]

    assert acts == [Act.HOLD, Act.SPARE]


def test_calls_for_limits_make_the_line_before_latest_starts_longer() -> None:
    fleet = cars(
        **{
            f"car{n}": held(latest_start=NOW + HOUR, restore_calls=calls)
            for n, calls in enumerate([2] * 60)
        }
    )
    running = event(60, standing=[planner.Standing.CLAIMED] * 60)
    slow = {"reserve_calls": 0.0, "restores_per_minute": 1.0}

    by_limit = decide(fleet, running, **slow)
    by_stop = decide(
        replace(fleet, restore_calls=np.ones(60, dtype=np.int64)), running, **slow
    )

    assert len(by_limit) > len(by_stop) > 0
    assert {intent.reason for intent in by_limit} == {Reason.LATEST_START}


def test_a_limit_is_given_back_like_a_stop() -> None:
    intents = decide(cars(ada=held(restore_calls=2)), over(1))

    assert [(one.act, one.reason) for one in intents] == [
        (Act.RESTORE, Reason.EVENT_OVER)
    ]
