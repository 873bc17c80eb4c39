"""What holds of a decision whatever the fleet: asked again, it says the same."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dispatch import planner
from dispatch.planner import (
    Act,
    Area,
    Cars,
    Debt,
    Event,
    Feeder,
    Intents,
    Program,
    Provider,
    Reason,
    Standing,
)
from dispatch.planner.intents import code
from dispatch.room import ahead_kw
from tests.dispatch.fleet import GOOD, HOUR, NOW, PROGRAM, PROVIDER, cars, event

# Few different values, so that many cars are equals in a line.
LIKELY = st.fixed_dictionaries(
    {
        "power_kw": st.sampled_from([0.1, 0.2, 0.3]),
        "latest_start": st.sampled_from([NOW + 4 * HOUR, NOW + 5 * HOUR]),
        "debt": st.sampled_from([str(debt) for debt in (Debt.NONE, Debt.TAKEN)]),
    }
)
ANY = st.fixed_dictionaries(
    {},
    optional={
        "consented": st.booleans(),
        "plugged_in": st.booleans(),
        "charging": st.booleans(),
        "able": st.booleans(),
        "can_set_limit": st.booleans(),
        "soc_percent": st.sampled_from([29.9, 30.0, 50.0, 63.9, 80.0]),
        "minimum_percent": st.sampled_from([30.0, 55.0]),
        "power_kw": st.sampled_from([0.1, 0.2, 0.3, 3.7, 7.4, 11.0]),
        "latest_start": st.sampled_from([NOW + hours * HOUR for hours in range(-1, 9)]),
        "debt": st.sampled_from([str(debt) for debt in Debt]),
        "area": st.sampled_from([str(area) for area in Area]),
        "feeder_stopped": st.booleans(),
        "feeder": st.integers(-1, 1),
    },
)
T = TypeVar("T", Cars, Event)
Asked = tuple[Program, Cars, list[Event], Provider]


@st.composite
def questions(draw: st.DrawFn) -> Asked:
    """Return a fleet with its events, and little room."""
    rows: list[dict[str, Any]] = draw(st.lists(LIKELY | ANY, min_size=1, max_size=16))
    for row in rows:
        owes = row.get("debt", Debt.NONE) != Debt.NONE
        row["held_kw"] = row.get("power_kw", GOOD["power_kw"]) if owes else 0.0
        # What is learnt is never certain, and only what is held is shown.
        row["response"] = draw(st.sampled_from([0.3, 0.9]))
        row["shown"] = row.get("debt") == Debt.TAKEN and draw(st.booleans())
    n = len(rows)
    flags = st.lists(st.sampled_from([False, False, True]), min_size=n, max_size=n)
    one = st.sampled_from([Standing.NONE, Standing.NONE, *Standing])
    standings = st.lists(one, min_size=n, max_size=n)
    reasons = st.lists(st.sampled_from(["", Reason.QUEUED]), min_size=n, max_size=n)
    events = [
        event(
            n,
            event_id=event_id,
            holding=draw(st.sampled_from([True, True, False])),
            target_kw=draw(st.none() | st.sampled_from([0.3, 0.6, 11.1])),
            opted_out=draw(flags),
            standing=draw(standings),
            reason=draw(reasons),
            queues=draw(flags),
        )
        for event_id in range(1, draw(st.integers(1, 3)) + 1)
    ]
    bounds = st.sampled_from([0.4, 20.0, 1000.0])
    program = replace(
        PROGRAM,
        limit_first=draw(st.booleans()),
        restore_cap_kw=draw(bounds),
        restore_ramp_kw_per_minute=draw(bounds),
        pick_up_ramp_kw_per_minute=draw(bounds),
        feeders=[
            Feeder(
                restore_cap_kw=draw(bounds),
                restore_ramp_kw_per_minute=draw(bounds),
                ahead_kw=np.zeros(1),
                restored_kw_last_minute=0.0,
            )
            for _ in range(2)
        ],
    )
    provider = replace(
        PROVIDER,
        reserve_calls=draw(st.sampled_from([1.0, 4.0, 100.0])),
        restores_per_minute=draw(st.sampled_from([0.01, 60.0])),
    )
    return (
        program,
        cars(**{f"car{i}": row for i, row in enumerate(rows)}),
        events,
        provider,
    )


def said(asked: Asked) -> tuple[Intents, list[tuple[Any, ...]]]:
    """Return what is decided, and that by vehicle instead of by place."""
    program, fleet, events, provider = asked
    intents = planner.decide(program, fleet, events, provider, now=NOW)
    return intents, sorted(
        (one.act, int(fleet.vehicle_id[one.place]), one.event_id, one.reason,
         one.limit_percent or 0)
        for one in intents
    )  # fmt: skip


@given(asked=questions())
def test_the_same_question_gets_the_same_answer(asked: Asked) -> None:
    assert list(said(asked)[0]) == list(said(asked)[0])


@given(asked=questions(), data=st.data())
def test_the_order_of_rows_does_not_matter(asked: Asked, data: st.DataObject) -> None:
    program, fleet, events, provider = asked
    order = np.array(data.draw(st.permutations(range(fleet.n))))
    shuffled = [_by_car(one, order) for one in events]

    assert said(asked)[1] == said(
        (program, _by_car(fleet, order), shuffled, provider)
    )[1]  # fmt: skip


def _by_car(of: T, order: planner.Ints) -> T:
    columns: dict[str, Any] = {
        column.name: getattr(of, column.name)[order]
        for column in fields(of)
        if isinstance(getattr(of, column.name), np.ndarray)
    }
    return replace(of, **columns)


@given(asked=questions())
def test_nobody_below_the_minimum_charge_is_newly_held(asked: Asked) -> None:
    fleet = asked[1]
    holds = said(asked)[0].to(Act.HOLD).place
    fresh = holds[fleet.owes(Debt.NONE, Debt.LAPSED)[holds]]

    assert np.all(fleet.soc_percent[fresh] >= fleet.minimum_percent[fresh])


@given(asked=questions())
def test_what_was_done_is_not_decided_again(asked: Asked) -> None:
    once, _ = said(asked)

    again, _ = said(_done(asked, once))

    # A car that was let go is free, and is judged as such; one that goes back hears so.
    dropped = set(once.to(Act.DROP).place.tolist())
    back = set(once.to(Act.RESTORE).place.tolist())
    for one in again:
        goes_back = one.place in back and one.reason is Reason.GOING_BACK
        assert one.place in dropped or goes_back
    assert list(said(_done(_done(asked, once), again))[0]) == []


def _done(asked: Asked, intents: Intents) -> Asked:
    """Return the same moment with everything done that was decided."""
    program, fleet, events, provider = asked
    debt, held_kw = fleet.debt.copy(), fleet.held_kw.copy()
    standing = {one.event_id: one.standing.copy() for one in events}
    reason = {one.event_id: one.reason.copy() for one in events}
    restored, shown = np.zeros(fleet.n, dtype=bool), fleet.shown.copy()
    started_kw, picked_up_kw, owed = 0.0, 0.0, list(provider.owed_latest_starts)
    for one in intents:
        place = one.place
        if one.act is Act.DROP:
            debt[place], held_kw[place] = Debt.NONE, 0.0
        if one.act is Act.RESTORE:
            debt[place] = Debt.RESTORING
            started_kw += held_kw[place]
            restored[place] = True
            if one.reason is Reason.PICK_UP:
                picked_up_kw += held_kw[place]
        if one.act is Act.SPARE:
            standing[one.event_id][place] = Standing.SPARED
            reason[one.event_id][place] = one.reason
        if one.act is Act.HOLD:
            standing[one.event_id][place] = Standing.CLAIMED
            reason[one.event_id][place] = one.reason
            if debt[place] == Debt.RETURNING:
                debt[place] = Debt.TAKEN
            elif debt[place] in {Debt.NONE, Debt.LAPSED}:
                debt[place], held_kw[place] = Debt.UNTAKEN, fleet.power_kw[place]
                shown[place] = False  # no reading yet
                owed += [fleet.latest_start[place]] * (2 if one.limit_percent else 1)
    return (
        replace(
            program,
            ahead_kw=program.ahead_kw
            + ahead_kw(held_kw * restored, fleet.charge_seconds),
            restored_kw_last_minute=program.restored_kw_last_minute + started_kw,
            picked_up_kw_last_minute=program.picked_up_kw_last_minute + picked_up_kw,
            feeders=[
                _with(one, held_kw * (restored & (fleet.feeder == number)), fleet)
                for number, one in enumerate(program.feeders)
            ],
        ),
        replace(fleet, debt=debt, held_kw=held_kw, shown=shown),
        [
            replace(one, standing=standing[one.event_id], reason=reason[one.event_id])
            for one in events
        ],
        replace(provider, owed_latest_starts=np.array(owed)),
    )


def _with(feeder: Feeder, started_kw: planner.Floats, fleet: Cars) -> Feeder:
    """Return a feeder on which these cars have started (n)."""
    return replace(
        feeder,
        ahead_kw=feeder.ahead_kw + ahead_kw(started_kw, fleet.charge_seconds),
        restored_kw_last_minute=feeder.restored_kw_last_minute + started_kw.sum(),
    )


@given(asked=questions())
def test_a_cap_gives_way_only_to_what_is_counted(asked: Asked) -> None:
    """One car always may where nothing is drawn, or it would wait for ever."""
    program, fleet, _, _ = asked
    restores = said(asked)[0].to(Act.RESTORE)
    found = planner.breaches(program, fleet, restores)

    kw = fleet.held_kw[restores.place]
    drawn = program.ahead_kw + ahead_kw(kw, fleet.charge_seconds[restores.place])
    most = max(program.restore_cap_kw, program.ahead_kw.max(), kw.max(initial=0.0))
    assert len(found.cap) or drawn.max() <= most + 1e-9
    in_turn = restores.place[restores.reason_code == code(Reason.EVENT_OVER)]
    assert not np.isin(in_turn, np.append(found.cap, found.ramp)).any()
