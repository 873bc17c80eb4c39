"""Cars whose event is over are back within the hours that were promised."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dispatch import planner
from dispatch.planner import MARGIN_SECONDS, Act, Event, Reason, Standing
from tests.dispatch.fleet import HOUR, NOW, PROGRAM, PROVIDER, cars, event, held, over

FULL = replace(PROGRAM, restore_cap_kw=7.0, ahead_kw=np.array([7.0]))
# Two hours of charging must begin two hours, and the margin, before this.
JUST_NOW = NOW + 2 * HOUR + MARGIN_SECONDS


def given_back(*events: Event) -> dict[int, Reason]:
    """Return why whom of two cars that want two hours; the cap has no room."""
    fleet = cars(ada=held(), ben=held())
    intents = planner.decide(FULL, fleet, list(events), PROVIDER, now=NOW)
    return {one.place: one.reason for one in intents if one.act is Act.RESTORE}


@pytest.mark.parametrize(
    ("back_by", "found"),
    [
        # the last moment to begin
        (JUST_NOW, {0: Reason.LATEST_START}),
        # there is time yet, and the cap has no room
        (JUST_NOW + 1, {}),
        # nothing was promised
        (np.inf, {}),
        # the promise is broken already: at once
        (NOW - HOUR, {0: Reason.LATEST_START}),
    ],
)
def test_a_promise_outranks_the_cap(back_by: float, found: dict[int, Reason]) -> None:
    assert given_back(over(2, back_by=np.array([back_by, np.inf]))) == found


def test_nothing_is_promised_while_the_event_lasts() -> None:
    running = event(2, standing=[Standing.CLAIMED] * 2, back_by=np.full(2, JUST_NOW))

    assert given_back(running) == {}


def test_another_event_that_wants_the_car_keeps_it() -> None:
    past = over(2, back_by=np.full(2, JUST_NOW))
    running = event(2, event_id=2, standing=[Standing.CLAIMED, Standing.NONE])
    stopped = replace(running, aimed=np.array([True, False]))

    assert given_back(past, stopped) == {1: Reason.LATEST_START}


def test_an_event_that_begins_as_another_ends_joins_a_promised_car() -> None:
    past = over(2, back_by=np.full(2, NOW))

    assert given_back(past, event(2, event_id=2)) == {}


def test_the_last_of_its_events_counts() -> None:
    first = over(2, back_by=np.full(2, JUST_NOW))
    second = over(2, event_id=2, back_by=np.array([np.inf, JUST_NOW]))

    assert given_back(first, second) == {1: Reason.LATEST_START}


def test_a_promise_goes_before_slack_in_the_line() -> None:
    """Ben leaves first, but Ada was promised to be back sooner."""
    fleet = cars(ada=held(), ben=held(latest_start=NOW + 9 * HOUR))
    past = over(2, back_by=np.array([NOW + 5 * HOUR, np.inf]))
    room = replace(FULL, ahead_kw=np.zeros(1))

    intents = planner.decide(room, fleet, [past], PROVIDER, now=NOW)

    assert [one.place for one in intents] == [0]
