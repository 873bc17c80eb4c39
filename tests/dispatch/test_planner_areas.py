"""The control law where an area is on hold-off, a feeder stopped, or a day used up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch import planner
from dispatch.planner import Act, Area, Cars, Debt, Event, Program, Reason, Standing
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

OFF: dict[str, Any] = {"area": Area.OFF}
DARK: dict[str, Any] = {"area": Area.DARK}
PICK_UP: dict[str, Any] = {"area": Area.PICK_UP}


def decide(
    fleet: Cars, *events: Event, program: Program = PROGRAM
) -> dict[int, tuple[Act, Reason]]:
    intents = planner.decide(program, fleet, events, PROVIDER, now=NOW)
    return {intent.place: (intent.act, intent.reason) for intent in intents}


def claimed(n: int, **more: Any) -> Event:
    """Return an event that holds n cars."""
    return event(n, standing=[Standing.CLAIMED] * n, **more)


@pytest.mark.parametrize("area", [OFF, DARK])
def test_no_car_of_an_area_is_held(area: dict[str, Any]) -> None:
    fleet = cars(ada=area, chloe={})

    assert decide(fleet, event(2)) == {
        0: (Act.SPARE, Reason.AREA_OFF),
        1: (Act.HOLD, Reason.ALL),
    }


def test_what_is_held_there_goes_back_although_its_event_runs() -> None:
    fleet = cars(ada=held(**OFF), chloe=held())

    assert decide(fleet, claimed(2)) == {0: (Act.RESTORE, Reason.AREA_OFF)}


def test_a_stop_that_waits_there_is_called_off() -> None:
    waiting = {"debt": Debt.UNTAKEN, "held_kw": 7.0}

    assert decide(cars(ada=waiting | OFF), claimed(1)) == {
        0: (Act.DROP, Reason.AREA_OFF)
    }


def test_another_event_does_not_join_what_goes_back() -> None:
    fleet = cars(ada=held(**OFF))

    assert decide(fleet, claimed(1), event(1)) == {0: (Act.RESTORE, Reason.AREA_OFF)}


def test_a_substitute_is_taken_for_what_goes_back() -> None:
    fleet = cars(ada=held(**OFF), chloe={})
    one = event(2, target_kw=7.0, standing=[Standing.CLAIMED, Standing.NONE])

    assert decide(fleet, one)[1] == (Act.HOLD, Reason.TARGET)


def test_an_area_gives_back_least_slack_first_by_the_ramp_and_not_the_cap() -> None:
    fleet = cars(
        ada=held(latest_start=NOW + 9 * HOUR, **OFF),
        ben=held(latest_start=NOW + 5 * HOUR, **OFF),
        chloe=held(latest_start=NOW + 7 * HOUR, **OFF),
    )
    program = replace(
        PROGRAM,
        restore_ramp_kw_per_minute=14.0,
        restore_cap_kw=1.0,
        ahead_kw=np.array([50.0]),
    )

    assert set(decide(fleet, claimed(3), program=program)) == {1, 2}


def test_an_area_goes_before_those_whose_event_is_over() -> None:
    fleet = cars(
        ada=held(latest_start=NOW + 5 * HOUR),
        ben=held(latest_start=NOW + 9 * HOUR) | OFF,
    )
    program = replace(PROGRAM, restore_ramp_kw_per_minute=7.0)

    assert decide(fleet, over(2), program=program) == {
        1: (Act.RESTORE, Reason.AREA_OFF)
    }


@pytest.mark.parametrize(
    "car",
    [
        # what its event wants or not
        held(**DARK),
        # late by now: a start would be lost all the same
        held(latest_start=NOW, **DARK),
        # withdrawn
        held(consented=False, **DARK),
    ],
)
def test_nothing_is_commanded_without_power(car: dict[str, Any]) -> None:
    assert decide(cars(ada=car), claimed(1)) == {}
    assert decide(cars(ada=car), over(1)) == {}


def test_when_power_is_back_what_was_held_returns_by_its_own_ramp() -> None:
    fleet = cars(ada=held(**PICK_UP), ben=held(**PICK_UP), chloe=held(**PICK_UP))
    program = replace(PROGRAM, pick_up_ramp_kw_per_minute=14.0)

    back = decide(fleet, claimed(3), program=program)

    assert back == {
        0: (Act.RESTORE, Reason.PICK_UP),
        1: (Act.RESTORE, Reason.PICK_UP),
    }


def test_at_a_pick_up_even_the_pressing_wait_for_the_ramp_but_go_first() -> None:
    fleet = cars(
        ada=held(**PICK_UP),
        ben=held(latest_start=NOW, **PICK_UP),
        chloe=held(latest_start=NOW - HOUR, **PICK_UP),
    )
    program = replace(PROGRAM, pick_up_ramp_kw_per_minute=7.0)

    assert set(decide(fleet, over(3), program=program)) == {2}


def test_a_pick_up_keeps_to_the_cap_but_for_the_pressing() -> None:
    fleet = cars(ada=held(**PICK_UP), ben=held(latest_start=NOW, **PICK_UP))
    program = replace(PROGRAM, restore_cap_kw=10.0, ahead_kw=np.array([9.0]))

    assert set(decide(fleet, over(2), program=program)) == {1}


def test_what_was_picked_up_within_the_minute_counts() -> None:
    fleet = cars(ada=held(**PICK_UP))
    program = replace(
        PROGRAM, pick_up_ramp_kw_per_minute=14.0, picked_up_kw_last_minute=10.0
    )

    assert decide(fleet, over(1), program=program) == {}


def test_a_stopped_feeder_takes_nothing_more_and_gives_back() -> None:
    fleet = cars(ada={"feeder_stopped": True}, ben=held(feeder_stopped=True), chloe={})
    one = event(3, standing=["", Standing.ENDED, ""])

    assert decide(fleet, one) == {
        0: (Act.SPARE, Reason.STOPPED),
        1: (Act.RESTORE, Reason.EVENT_OVER),
        2: (Act.HOLD, Reason.ALL),
    }


def test_a_car_is_held_so_often_a_day_and_no_more() -> None:
    fleet = cars(ada={"holds_left": 0}, chloe={"holds_left": 1})

    assert decide(fleet, event(2)) == {
        0: (Act.SPARE, Reason.CYCLES),
        1: (Act.HOLD, Reason.ALL),
    }


cars_anywhere = st.fixed_dictionaries(
    {
        "area": st.sampled_from(list(Area)),
        "debt": st.sampled_from([Debt.NONE, Debt.UNTAKEN, Debt.TAKEN]),
        "latest_start": st.floats(NOW - HOUR, NOW + 12 * HOUR),
        "held_kw": st.floats(1, 11),
        "consented": st.booleans(),
        "holds_left": st.integers(0, 2),
    }
)


@given(
    rows=st.lists(cars_anywhere, min_size=1, max_size=20),
    holding=st.booleans(),
    ramp=st.floats(1, 50),
)
def test_whatever_the_areas_no_one_is_taken_and_no_ramp_broken(
    rows: list[dict[str, Any]], holding: bool, ramp: float
) -> None:
    fleet = cars(**{f"car{place}": row for place, row in enumerate(rows)})
    standing = [Standing.CLAIMED if row["debt"] else Standing.NONE for row in rows]
    program = replace(PROGRAM, pick_up_ramp_kw_per_minute=ramp)

    done = decide(
        fleet, event(len(rows), holding=holding, standing=standing), program=program
    )

    acts = {place: act for place, (act, _) in done.items()}
    assert all(
        act is not Act.HOLD or rows[place]["area"] == Area.NONE
        for place, act in acts.items()
    )
    assert all(
        act is not Act.HOLD or rows[place]["debt"] or rows[place]["holds_left"]
        for place, act in acts.items()
    )
    given_back = [place for place, act in acts.items() if act is Act.RESTORE]
    assert all(rows[place]["area"] != Area.DARK for place in given_back)
    picked_up = [p for p in given_back if rows[p]["area"] == Area.PICK_UP]
    kw = sum(rows[place]["held_kw"] for place in picked_up)
    assert kw <= ramp + 1e-9 or len(picked_up) == 1
