"""The control law, by tables: it needs no database and knows no yesterday."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch import planner
from dispatch.planner import (
    MARGIN_SECONDS,
    Act,
    Cars,
    Debt,
    Event,
    Intent,
    Program,
    Provider,
    Reason,
    Standing,
)
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


def decide(
    fleet: Cars,
    *events: Event,
    program: Program = PROGRAM,
    provider: Provider = PROVIDER,
) -> list[Intent]:
    return list(planner.decide(program, fleet, events, provider, now=NOW))


def acts(intents: list[Intent]) -> dict[int, tuple[Act, Reason]]:
    """Return what is done with each place; a car has one act at most."""
    assert len({intent.place for intent in intents}) == len(intents)
    return {intent.place: (intent.act, intent.reason) for intent in intents}


def test_it_holds_a_car_that_charges_at_home() -> None:
    assert acts(decide(cars(ada={}), event(1))) == {0: (Act.HOLD, Reason.ALL)}


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        # nobody has heard of it, or not for hours
        ({"known": False}, Reason.UNKNOWN),
        # it may come later, and is then judged again
        ({"plugged_in": False, "charging": False}, Reason.UNPLUGGED),
        # a public charger is not on the feeder
        ({"at_home": False, "away": True}, Reason.AWAY),
        # nothing said where it is since it was plugged in
        ({"at_home": False}, Reason.HOME_UNKNOWN),
        # full, or waiting for its own timer
        ({"charging": False}, Reason.NOT_CHARGING),
        # a Nissan sold in the US takes no stop
        ({"able": False, "can_set_limit": False}, Reason.UNABLE),
        # it takes a limit alone, and its own could not be given back
        ({"able": False, "limit_percent": np.nan}, Reason.LIMIT_UNKNOWN),
        ({"able": False, "limit_percent": 79.5}, Reason.LIMIT_UNFIT),
        # limits end at 50 %
        ({"able": False, "soc_percent": 49.9}, Reason.LIMIT_UNFIT),
        # the customer keeps that for an emergency
        ({"soc_percent": 29.9}, Reason.BELOW_MINIMUM),
        # it could not be ready if it waited until the event is over
        ({"latest_start": NOW + 2 * HOUR}, Reason.READY_BY),
        # what is left of this month is for giving back
        ({"calls_left": 0}, Reason.NO_CALLS),
    ],
)
def test_it_spares_a_car_and_says_why(state: dict[str, Any], reason: Reason) -> None:
    assert acts(decide(cars(chloe=state), event(1))) == {0: (Act.SPARE, reason)}


def test_it_says_a_reason_once() -> None:
    told = event(1, standing=[Standing.SPARED], reason=[Reason.UNPLUGGED])

    assert decide(cars(ada={"plugged_in": False}), told) == []


def test_it_catches_a_car_that_was_spared_and_plugs_in() -> None:
    told = event(1, standing=[Standing.SPARED], reason=[Reason.UNPLUGGED])

    assert acts(decide(cars(ada={}), told)) == {0: (Act.HOLD, Reason.ALL)}


def test_it_leaves_alone_whom_the_event_does_not_aim_at() -> None:
    assert decide(cars(ada={}), event(1, aimed=[False])) == []


def test_it_leaves_alone_who_withdrew_or_opted_out() -> None:
    fleet = cars(ada={}, ben={"consented": False})

    assert decide(fleet, event(2, opted_out=[True, False])) == []


def test_it_judges_a_car_that_refused_only_when_that_has_news() -> None:
    silent = event(1, standing=[Standing.SPARED], reason=[Reason.REFUSED])
    heard = replace(silent, has_news=np.array([True]))

    assert decide(cars(chloe={}), silent) == []
    assert acts(decide(cars(chloe={}), heard)) == {0: (Act.HOLD, Reason.ALL)}


def test_it_stops_at_the_target_and_takes_those_with_most_slack() -> None:
    fleet = cars(
        soon={"latest_start": NOW + 4 * HOUR},
        late={"latest_start": NOW + 12 * HOUR},
        later={"latest_start": NOW + 11 * HOUR},
    )

    assert acts(decide(fleet, event(3, target_kw=14.0))) == {
        0: (Act.SPARE, Reason.ENOUGH),
        1: (Act.HOLD, Reason.TARGET),
        2: (Act.HOLD, Reason.TARGET),
    }


def test_it_counts_what_is_held_already_and_replaces_what_was_lost() -> None:
    claimed = [Standing.CLAIMED, Standing.CLAIMED, Standing.NONE]
    fleet = cars(held=held(), gone={"plugged_in": False}, ada={})

    found = acts(decide(fleet, event(3, target_kw=14.0, standing=claimed)))

    assert found[2] == (Act.HOLD, Reason.TARGET)
    assert found[1] == (Act.SPARE, Reason.UNPLUGGED)
    assert 0 not in found


def test_it_takes_nothing_new_when_holds_are_stopped_but_gives_back() -> None:
    fleet = cars(ada={}, ben=held(consented=False))
    stopped = event(2, holds_stopped=True, standing=["", Standing.CLAIMED])

    assert acts(decide(fleet, stopped)) == {
        0: (Act.SPARE, Reason.STOPPED),
        1: (Act.RESTORE, Reason.WITHDRAWN),
    }


def test_an_event_joins_a_hold_that_another_took() -> None:
    first = event(1, event_id=1, standing=[Standing.CLAIMED])
    second = event(1, event_id=2)

    assert decide(cars(ada=held()), first, second) == [
        Intent(Act.HOLD, 0, 2, Reason.ALL)
    ]


def test_two_events_that_start_together_hold_a_car_once() -> None:
    intents = decide(cars(ada={}), event(1, event_id=1), event(1, event_id=2))

    assert [(intent.act, intent.event_id) for intent in intents] == [
        (Act.HOLD, 1),
        (Act.HOLD, 2),
    ]


def test_a_car_stays_held_while_one_event_still_wants_it() -> None:
    ended = over(1, event_id=1)
    running = event(1, event_id=2, standing=[Standing.CLAIMED])

    assert decide(cars(ada=held()), ended, running) == []


def test_it_restores_by_least_slack_under_the_cap() -> None:
    fleet = cars(
        last=held(latest_start=NOW + 12 * HOUR),
        first=held(latest_start=NOW + 4 * HOUR),
        second=held(latest_start=NOW + 8 * HOUR),
    )
    program = replace(PROGRAM, restore_cap_kw=20.0, ahead_kw=np.array([5.0]))

    assert acts(decide(fleet, over(3), program=program)) == {
        1: (Act.RESTORE, Reason.EVENT_OVER),
        2: (Act.RESTORE, Reason.EVENT_OVER),
    }


def test_it_restores_no_faster_than_the_ramp() -> None:
    fleet = cars(**{f"car{i}": held() for i in range(5)})
    program = replace(
        PROGRAM, restore_ramp_kw_per_minute=21.0, restored_kw_last_minute=7.0
    )

    assert len(decide(fleet, over(5), program=program)) == 2


@pytest.mark.parametrize(
    "program",
    [
        replace(PROGRAM, restore_cap_kw=1.0),
        replace(PROGRAM, restore_ramp_kw_per_minute=1.0),
    ],
)
def test_a_cap_below_one_car_does_not_keep_it_for_ever(program: Program) -> None:
    assert len(decide(cars(ada=held(), ben=held()), over(2), program=program)) == 1


def test_its_departure_outranks_cap_and_ramp() -> None:
    fleet = cars(ada=held(latest_start=NOW + MARGIN_SECONDS))
    program = replace(
        PROGRAM,
        restore_cap_kw=1.0,
        ahead_kw=np.array([50.0]),
        restore_ramp_kw_per_minute=1.0,
        restored_kw_last_minute=9.0,
    )

    assert acts(decide(fleet, over(1), program=program)) == {
        0: (Act.RESTORE, Reason.LATEST_START)
    }


def test_its_departure_outranks_an_event_that_still_holds() -> None:
    fleet = cars(ada=held(latest_start=NOW + MARGIN_SECONDS - 1))

    assert acts(decide(fleet, event(1, standing=[Standing.CLAIMED]))) == {
        0: (Act.RESTORE, Reason.LATEST_START)
    }


@pytest.mark.parametrize(
    "leaves",
    [
        held(debt=Debt.UNTAKEN),  # it stopped charging before its stop left
        held(debt=Debt.UNTAKEN, charging=True, consented=False),
        held(consented=False),
        held(latest_start=NOW),
    ],
)
def test_who_is_let_go_of_needs_a_substitute_in_the_same_turn(
    leaves: dict[str, Any],
) -> None:
    fleet = cars(ada=leaves, ben={})
    standing = [Standing.CLAIMED, Standing.NONE]

    found = acts(decide(fleet, event(2, target_kw=7.0, standing=standing)))

    assert found[0][0] in {Act.DROP, Act.RESTORE}
    assert found[1] == (Act.HOLD, Reason.TARGET)


def test_an_opt_out_is_given_back_at_once() -> None:
    fleet = cars(ada=held())
    left = event(1, standing=[Standing.ENDED], opted_out=[True])
    program = replace(PROGRAM, restore_cap_kw=1.0, ahead_kw=np.array([50.0]))

    assert acts(decide(fleet, left, program=program)) == {
        0: (Act.RESTORE, Reason.OPTED_OUT)
    }


@pytest.mark.parametrize(
    ("state", "standing", "found"),
    [
        # its stop is on the wire: the outcome comes first
        ({"debt": Debt.BUSY, "held_kw": 7.0}, Standing.CLAIMED, {}),
        # its stop waits and nobody wants it any more
        (
            {"debt": Debt.UNTAKEN, "held_kw": 7.0},
            Standing.ENDED,
            {0: (Act.DROP, Reason.EVENT_OVER)},
        ),
        # its stop waits, and it has finished meanwhile
        (
            {"debt": Debt.UNTAKEN, "held_kw": 7.0, "charging": False},
            Standing.CLAIMED,
            {0: (Act.DROP, Reason.NOT_CHARGING)},
        ),
        # being given back already
        ({"debt": Debt.RESTORING, "held_kw": 7.0}, Standing.CLAIMED, {}),
        # the same, and another event would like it: it must have it back first
        (
            {"debt": Debt.RESTORING, "held_kw": 7.0},
            Standing.NONE,
            {0: (Act.SPARE, Reason.GOING_BACK)},
        ),
    ],
)
def test_it_minds_what_is_underway(
    state: dict[str, Any],
    standing: Standing,
    found: dict[int, tuple[Act, Reason]],
) -> None:
    assert acts(decide(cars(ada=state), event(1, standing=[standing]))) == found


def test_an_overtaken_stop_is_let_go_and_decided_anew_in_one_turn() -> None:
    fleet = cars(ada={"debt": Debt.LAPSED, "held_kw": 7.0})

    intents = decide(fleet, event(1, standing=[Standing.CLAIMED]))

    assert [intent.act for intent in intents] == [Act.DROP, Act.HOLD]


def test_it_holds_nobody_whose_restore_would_not_fit() -> None:
    """Two calls a minute: half of it gives one car back a minute (promise 3)."""
    ends_at = NOW + 2 * HOUR
    fleet = cars(**{f"car{i}": {"latest_start": ends_at + 1800.0} for i in range(100)})
    provider = replace(PROVIDER, reserve_calls=24.0, restores_per_minute=1.0)

    found = acts(decide(fleet, event(100), provider=provider))

    reasons = [reason for _, reason in found.values()]
    assert reasons.count(Reason.ALL) == 24 + 30
    assert reasons.count(Reason.NO_ROOM) == 100 - 54


def test_what_is_owed_already_takes_room_away() -> None:
    fleet = cars(ada={"latest_start": NOW + 2 * HOUR + 1800.0})
    owed = np.full(54, NOW + 2 * HOUR + 1700.0)
    provider = Provider(
        reserve_calls=24.0, restores_per_minute=1.0, owed_latest_starts=owed
    )

    assert acts(decide(fleet, event(1), provider=provider)) == {
        0: (Act.SPARE, Reason.NO_ROOM)
    }


def test_a_long_line_before_it_makes_a_restore_start_earlier() -> None:
    line = {
        f"car{i}": held(latest_start=NOW + HOUR + MARGIN_SECONDS) for i in range(90)
    }
    provider = replace(PROVIDER, reserve_calls=0.0, restores_per_minute=1.0)
    program = replace(PROGRAM, restore_cap_kw=1.0, ahead_kw=np.array([50.0]))

    found = decide(cars(**line), over(90), program=program, provider=provider)

    # Sixty fit into the hour; the others would come too late in line.
    assert {intent.reason for intent in found} == {Reason.LATEST_START}
    assert len(found) == 90 - 60


fleets = st.lists(
    st.fixed_dictionaries(
        {
            "consented": st.booleans(),
            "known": st.booleans(),
            "plugged_in": st.booleans(),
            "charging": st.booleans(),
            "at_home": st.booleans(),
            "soc_percent": st.floats(0, 100),
            "power_kw": st.floats(0.1, 22),
            "latest_start": st.floats(NOW - HOUR, NOW + 20 * HOUR),
            "debt": st.sampled_from([str(debt) for debt in Debt]),
        }
    ),
    min_size=1,
    max_size=30,
)


@given(
    rows=fleets,
    target_kw=st.none() | st.floats(1, 200),
    holding=st.booleans(),
    stopped=st.booleans(),
    ramp=st.floats(1, 100),
)
def test_whatever_the_fleet_it_keeps_its_word(
    rows: list[dict[str, Any]],
    target_kw: float | None,
    holding: bool,
    stopped: bool,
    ramp: float,
) -> None:
    fleet = cars(
        **{
            f"car{i}": {**row, "held_kw": row["power_kw"] if row["debt"] else 0.0}
            for i, row in enumerate(rows)
        }
    )
    standing = [Standing.CLAIMED if row["debt"] else Standing.NONE for row in rows]
    one = event(
        len(rows),
        target_kw=target_kw,
        holding=holding,
        holds_stopped=stopped,
        standing=standing,
    )
    program = replace(PROGRAM, restore_ramp_kw_per_minute=ramp)

    intents = decide(fleet, one, program=program)

    for intent in intents:
        row = rows[intent.place]
        if intent.act is Act.HOLD:
            assert holding and not stopped and row["consented"]
            assert row["latest_start"] >= one.ends_at + MARGIN_SECONDS
            assert row["debt"] in {Debt.NONE, Debt.LAPSED, Debt.RETURNING}
            if row["debt"] != Debt.RETURNING:  # that is held already
                assert row["known"] and row["at_home"] and row["plugged_in"]
                assert row["charging"] and row["soc_percent"] >= 30.0
        if intent.act is Act.RESTORE:
            assert row["debt"] == Debt.TAKEN
        if intent.act is Act.DROP:
            assert row["debt"] in {Debt.UNTAKEN, Debt.LAPSED}
    ramped = [
        rows[intent.place]["power_kw"]
        for intent in intents
        if intent.act is Act.RESTORE and intent.reason is Reason.EVENT_OVER
    ]
    assert sum(ramped) <= ramp or len(ramped) == 1
    if target_kw is not None and holding:
        new_kw = [
            rows[intent.place]["power_kw"]
            for intent in intents
            if intent.act is Act.HOLD
        ]
        assert sum(new_kw[:-1], 0.0) < target_kw
