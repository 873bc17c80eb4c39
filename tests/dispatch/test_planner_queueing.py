"""Cars that plug in while others wait for their start, by tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dispatch import planner
from dispatch.planner import Act, Cars, Debt, Reason, Standing
from tests.dispatch.fleet import HOUR, NOW, PROGRAM, PROVIDER, cars, event, held

FULL = replace(PROGRAM, restore_cap_kw=7.0, ahead_kw=np.array([7.0]))


def turn(
    fleet: Cars,
    *,
    program: planner.Program = FULL,
    standing: tuple[Standing, ...] = (),
    reason: tuple[str, ...] = (),
    queues: bool = True,
) -> dict[int, tuple[Act, Reason]]:
    """Return what is done with each place an hour after the event."""
    n = len(fleet.vehicle_id)
    past = event(
        n,
        holding=False,
        queues=np.full(n, queues),
        ends_at=NOW - HOUR,
        standing=list(standing) or [Standing.NONE] * n,
        reason=list(reason) or [""] * n,
    )
    intents = planner.decide(program, fleet, [past], PROVIDER, now=NOW)
    assert len({intent.place for intent in intents}) == len(intents)
    return {intent.place: (intent.act, intent.reason) for intent in intents}


def test_an_arrival_waits_behind_those_with_less_slack() -> None:
    fleet = cars(ada=held(latest_start=NOW + 5 * HOUR), ben={})

    assert turn(fleet) == {1: (Act.HOLD, Reason.QUEUED)}


def test_an_arrival_with_less_slack_goes_first() -> None:
    fleet = cars(ada=held(latest_start=NOW + 5 * HOUR), ben={"latest_start": NOW + 4e3})

    assert turn(fleet) == {}


def test_above_the_cap_an_arrival_with_less_slack_waits_as_well() -> None:
    """It is the first in the line then, and goes as soon as there is room."""
    fleet = cars(ada=held(latest_start=NOW + 5 * HOUR), ben={"latest_start": NOW + 4e3})
    over = replace(FULL, ahead_kw=np.array([14.0]))

    assert turn(fleet, program=over) == {1: (Act.HOLD, Reason.QUEUED)}


def test_nobody_waits_while_the_cap_has_room() -> None:
    fleet = cars(ada=held(), ben={})
    wide = replace(FULL, restore_cap_kw=100.0)

    assert turn(fleet, program=wide) == {0: (Act.RESTORE, Reason.EVENT_OVER)}


def test_an_arrival_that_breaks_the_cap_waits_though_nobody_else_does() -> None:
    over = replace(FULL, ahead_kw=np.array([14.0]))

    assert turn(cars(ben={}), program=over) == {0: (Act.HOLD, Reason.QUEUED)}


@pytest.mark.parametrize(
    "state",
    [
        # it must start before it could be given back
        {"latest_start": NOW + 600},
        {"soc_percent": 20.0},
        {"at_home": False, "away": True},
        # it was held today as often as it may be
        {"holds_left": 0},
        {"consented": False},
    ],
)
def test_what_spares_a_car_in_an_event_spares_it_after(state: dict[str, float]) -> None:
    over = replace(FULL, ahead_kw=np.array([14.0]))

    assert turn(cars(chloe=state), program=over) == {}


def test_who_was_given_back_is_not_taken_again() -> None:
    fleet = cars(ada=held(latest_start=NOW + 5 * HOUR), ben={})

    assert turn(fleet, standing=(Standing.CLAIMED, Standing.ENDED)) == {}


def test_arrivals_are_left_alone_unless_that_is_managed() -> None:
    fleet = cars(ada=held(latest_start=NOW + 5 * HOUR), ben={})

    assert turn(fleet, queues=False) == {}


@pytest.mark.parametrize(
    ("state", "is_let_go"),
    [
        ({}, False),
        ({"charging": False}, True),
        ({"consented": False}, True),
        ({"latest_start": NOW + 600}, True),
    ],
)
def test_its_stop_is_wanted_as_long_as_it_can_wait(
    state: dict[str, float], is_let_go: bool
) -> None:
    untaken = {"debt": Debt.UNTAKEN, "held_kw": 7.0, **state}
    fleet = cars(ada=held(latest_start=NOW + 5 * HOUR), ben=untaken)

    found = turn(
        fleet,
        standing=(Standing.CLAIMED, Standing.CLAIMED),
        reason=(Reason.ALL, Reason.QUEUED),
    )

    assert (found.get(1) == (Act.DROP, Reason.EVENT_OVER)) is is_let_go


def test_whom_a_running_event_may_take_does_not_wait() -> None:
    """That event spares it: its target is met."""
    fleet = cars(ada=held(latest_start=NOW + 5 * HOUR), ben={})
    past = event(2, holding=False, queues=[True] * 2, ends_at=NOW - HOUR)
    running = event(2, event_id=2, standing=["claimed", ""], target_kw=7.0)

    intents = planner.decide(FULL, fleet, [running, past], PROVIDER, now=NOW)

    assert [(one.act, one.reason) for one in intents] == [(Act.SPARE, Reason.ENOUGH)]


def test_a_car_that_queues_is_given_back_when_its_turn_comes() -> None:
    fleet = cars(ben=held())
    free = replace(FULL, ahead_kw=np.array([0.0]))

    assert turn(fleet, program=free, standing=(Standing.CLAIMED,)) == {
        0: (Act.RESTORE, Reason.EVENT_OVER)
    }
