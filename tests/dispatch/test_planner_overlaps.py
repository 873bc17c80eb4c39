"""The control law where events overlap: who joins, who stays, who goes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch import planner
from dispatch.planner import (
    MARGIN_SECONDS,
    Act,
    Area,
    Cars,
    Debt,
    Event,
    Intent,
    Reason,
    Standing,
)
from tests.dispatch.fleet import HOUR, NOW, PROGRAM, PROVIDER, cars, event, held, over

CLAIMED, NONE = Standing.CLAIMED, Standing.NONE
RETURNING = {"debt": Debt.RETURNING, "held_kw": 7.0, "charging": False}


def decide(fleet: Cars, *events: Event) -> list[Intent]:
    return list(planner.decide(PROGRAM, fleet, events, PROVIDER, now=NOW))


def test_an_event_that_begins_as_another_ends_keeps_its_cars() -> None:
    ended = over(2, event_id=1)
    begins = event(2, event_id=2)

    assert decide(cars(ada=held(), ben=held()), ended, begins) == [
        Intent(Act.HOLD, 0, 2, Reason.ALL),
        Intent(Act.HOLD, 1, 2, Reason.ALL),
    ]


def test_it_keeps_no_more_than_its_target_and_lets_the_rest_go() -> None:
    fleet = cars(
        soon=held(latest_start=NOW + 5 * HOUR), ada=held(), free={}, ben=held()
    )
    ended = over(4, event_id=1)
    begins = event(4, event_id=2, target_kw=14.0)

    assert decide(fleet, ended, begins) == [
        Intent(Act.RESTORE, 0, 0, Reason.EVENT_OVER),
        Intent(Act.HOLD, 1, 2, Reason.TARGET),
        Intent(Act.HOLD, 3, 2, Reason.TARGET),
        Intent(Act.SPARE, 0, 2, Reason.ENOUGH),
        Intent(Act.SPARE, 2, 2, Reason.ENOUGH),
    ]


@pytest.mark.parametrize("debt", [Debt.UNTAKEN, Debt.BUSY, Debt.TAKEN])
def test_what_another_event_is_about_to_hold_counts_before_anybody_new(
    debt: Debt,
) -> None:
    fleet = cars(ada={"debt": debt, "held_kw": 7.0}, ben={})
    first = event(2, event_id=1, standing=[CLAIMED, NONE], target_kw=7.0)
    second = event(2, event_id=2, target_kw=7.0)

    assert [
        (intent.act, intent.place)
        for intent in decide(fleet, first, second)
        if intent.event_id == 2
    ] == [(Act.HOLD, 0), (Act.SPARE, 1)]


@pytest.mark.parametrize(
    ("state", "more", "reason"),
    [
        # it would be late for it, though not for the event that holds it
        ({"latest_start": NOW + 2 * HOUR}, {}, Reason.READY_BY),
        # held longer is as good as held anew
        ({}, {"holds_stopped": True}, Reason.STOPPED),
        ({"feeder_stopped": True}, {}, Reason.STOPPED),
    ],
)
def test_it_does_not_join_what_it_might_not_take(
    state: dict[str, Any], more: dict[str, Any], reason: Reason
) -> None:
    first = event(1, event_id=1, standing=[CLAIMED], ends_at=NOW + HOUR)
    second = event(1, event_id=2, **more)

    assert decide(cars(ada=held(**state)), first, second) == [
        Intent(Act.SPARE, 0, 2, reason)
    ]


def test_nobody_joins_a_car_that_must_go_back_now() -> None:
    line = {f"car{i}": held(latest_start=NOW + 3 * HOUR) for i in range(181)}
    slow = replace(PROVIDER, reserve_calls=0.0, restores_per_minute=1.0)

    intents = planner.decide(
        PROGRAM, cars(**line), [event(181, event_id=2)], slow, now=NOW
    )

    back = {one.place for one in intents if one.act is Act.RESTORE}
    kept = {one.place for one in intents if one.act is Act.HOLD}
    assert {one.reason for one in intents} == {Reason.LATEST_START, Reason.ALL}
    assert (len(back), len(kept)) == (21, 160)
    assert not back & kept


@pytest.mark.parametrize(
    ("state", "found"),
    [
        (held(), [Intent(Act.RESTORE, 0, 0, Reason.OPTED_OUT)]),
        # its start is queued already, and stays so
        (RETURNING, []),
    ],
)
def test_nobody_joins_a_car_whose_customer_just_left_another_event(
    state: dict[str, Any], found: list[Intent]
) -> None:
    left = event(1, event_id=1, standing=[Standing.ENDED], opted_out=[True])
    short_of_cars = event(1, event_id=2, target_kw=70.0)

    assert decide(cars(ada=state), left, short_of_cars) == found


def test_a_start_that_has_not_left_is_called_back() -> None:
    begins = event(2, event_id=2, target_kw=7.0)

    assert decide(cars(ada=RETURNING, ben={}), over(2, event_id=1), begins) == [
        Intent(Act.HOLD, 0, 2, Reason.TARGET),
        Intent(Act.SPARE, 1, 2, Reason.ENOUGH),
    ]


def test_a_car_that_is_aimed_at_once_more_is_called_back_too() -> None:
    again = event(1, standing=[CLAIMED])

    assert decide(cars(ada=RETURNING), again) == [Intent(Act.HOLD, 0, 1, Reason.ALL)]


@pytest.mark.parametrize(
    ("state", "begins"),
    [
        ({}, {"opted_out": [True]}),
        ({}, {"aimed": [False]}),
        ({}, {"standing": [Standing.ENDED]}),
        ({"consented": False}, {}),
        ({"area": Area.OFF}, {}),
        ({"area": Area.DARK}, {}),
        ({"area": Area.PICK_UP}, {}),
    ],
)
def test_it_calls_nobody_back_who_must_not_be_held(
    state: dict[str, Any], begins: dict[str, Any]
) -> None:
    fleet = cars(ada={**RETURNING, **state})

    assert decide(fleet, over(1, event_id=1), event(1, event_id=2, **begins)) == []


def test_a_car_on_its_way_back_needs_a_substitute() -> None:
    fleet = cars(ada={"debt": Debt.RESTORING, "held_kw": 7.0}, ben={})
    running = event(2, standing=[CLAIMED, NONE], target_kw=7.0)

    assert decide(fleet, running) == [Intent(Act.HOLD, 1, 1, Reason.TARGET)]


def test_a_lower_target_takes_no_more_and_gives_the_rest_back() -> None:
    soon = held(latest_start=NOW + 9 * HOUR)
    fleet = cars(ada=held(), ben=soon, free={})
    lowered = event(3, standing=[CLAIMED, CLAIMED, NONE], target_kw=7.0)

    assert decide(fleet, lowered) == [
        Intent(Act.RESTORE, 1, 0, Reason.ENOUGH),
        Intent(Act.SPARE, 1, 1, Reason.ENOUGH),
        Intent(Act.SPARE, 2, 1, Reason.ENOUGH),
    ]


def test_a_car_out_of_a_new_aim_goes_back_and_one_in_it_comes() -> None:
    fleet = cars(ada=held(), ben={})
    aimed_anew = event(2, standing=[CLAIMED, NONE], aimed=[False, True])

    assert decide(fleet, aimed_anew) == [
        Intent(Act.RESTORE, 0, 0, Reason.EVENT_OVER),
        Intent(Act.HOLD, 1, 1, Reason.ALL),
    ]


def test_the_more_urgent_event_takes_first_and_the_other_joins_what_it_needs() -> None:
    fleet = cars(
        long={"latest_start": NOW + 12 * HOUR}, ada={}, ben={}, soon={
            "latest_start": NOW + 2 * HOUR + MARGIN_SECONDS
        },
    )  # fmt: skip
    urgent = event(4, event_id=1, target_kw=14.0)
    other = event(4, event_id=2, target_kw=21.0)

    taken = [
        (intent.event_id, intent.place)
        for intent in decide(fleet, urgent, other)
        if intent.act is Act.HOLD
    ]

    assert taken == [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "consented": st.booleans(),
            "charging": st.booleans(),
            "power_kw": st.floats(1, 22),
            "latest_start": st.floats(NOW - HOUR, NOW + 20 * HOUR),
            "debt": st.sampled_from([str(debt) for debt in Debt]),
            "area": st.sampled_from([str(area) for area in Area]),
        }
    ),
    min_size=1,
    max_size=8,
)


def events_over(n: int) -> st.SearchStrategy[list[Event]]:
    """Return one to three events over n cars, in any standing with each."""
    flags = st.lists(st.booleans(), min_size=n, max_size=n)
    standings = st.lists(
        st.sampled_from([str(one) for one in Standing]), min_size=n, max_size=n
    )
    one = st.builds(
        event,
        st.just(n),
        holding=st.booleans(),
        target_kw=st.none() | st.floats(1, 60),
        aimed=flags,
        opted_out=flags,
        standing=standings,
    )
    return st.lists(one, min_size=1, max_size=3).map(
        lambda found: [replace(e, event_id=i + 1) for i, e in enumerate(found)]
    )


@given(data=st.data(), rows=ROWS)
def test_whatever_overlaps_nobody_is_both_kept_and_given_back(
    data: st.DataObject, rows: list[dict[str, Any]]
) -> None:
    fleet = cars(
        **{
            f"car{i}": {**row, "held_kw": row["power_kw"] if row["debt"] else 0.0}
            for i, row in enumerate(rows)
        }
    )
    events = data.draw(events_over(len(rows)))

    intents = decide(fleet, *events)

    holding = {one.event_id: one for one in events if one.holding}
    kept = {one.place for one in intents if one.act is Act.HOLD}
    back = {one.place: one.reason for one in intents if one.act is Act.RESTORE}
    assert not kept & back.keys()
    for place, reason in back.items():
        claims = [
            one.standing[place] == CLAIMED and one.aimed[place]
            for one in holding.values()
            if not one.opted_out[place]
        ]
        if reason is Reason.EVENT_OVER:
            assert not any(claims)
    for place in kept:
        owed = rows[place]["debt"] not in {Debt.NONE, Debt.LAPSED}
        assert rows[place]["debt"] != Debt.RESTORING
        assert rows[place]["area"] == Area.NONE
        assert not (owed and any(one.opted_out[place] for one in events))
    for pk, one in holding.items():
        taken = [i.place for i in intents if i.act is Act.HOLD and i.event_id == pk]
        assert all(one.aimed[place] and not one.opted_out[place] for place in taken)
        if one.target_kw is not None:
            kw = [rows[place]["power_kw"] for place in taken]
            assert sum(kw[:-1]) < one.target_kw
