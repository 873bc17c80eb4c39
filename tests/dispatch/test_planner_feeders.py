"""Feeders' own caps and ramps for giving back, beside the program's."""

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
    Area,
    Cars,
    Caution,
    Feeder,
    Intents,
    Program,
    Reason,
)
from dispatch.room import AHEAD_SECONDS, AHEAD_STEPS
from tests.dispatch.fleet import HOUR, NOW, PROGRAM, PROVIDER, cars, held, over

FREE = Feeder(
    restore_cap_kw=np.inf,
    restore_ramp_kw_per_minute=np.inf,
    ahead_kw=np.zeros(1),
    restored_kw_last_minute=0.0,
)
FULL = replace(FREE, restore_cap_kw=7.0, ahead_kw=np.array([7.0]))


def bounded(*feeders: Feeder, **more: Any) -> Program:
    return replace(PROGRAM, feeders=feeders, **more)


def given_back(program: Program, fleet: Cars) -> set[int]:
    """Return the vehicles that go back now that their event is over."""
    intents = planner.decide(program, fleet, [over(fleet.n)], PROVIDER, now=NOW)
    return set(fleet.vehicle_id[intents.to(Act.RESTORE).place].tolist())


@pytest.mark.parametrize(
    ("feeder", "back"),
    [
        (FREE, {1, 2, 3}),
        # room for one beside what charges there already
        (replace(FREE, restore_cap_kw=20.0, ahead_kw=np.array([10.0])), {1}),
        # and for none
        (FULL, set()),
        # two may come in this minute, of which one came
        (
            replace(FREE, restore_ramp_kw_per_minute=14.0, restored_kw_last_minute=7.0),
            {1},
        ),
        # below a single car: one may go where nothing charges
        (replace(FREE, restore_cap_kw=1.0), {1}),
        (replace(FREE, restore_ramp_kw_per_minute=1.0), {1}),
    ],
)
def test_a_feeder_bounds_what_goes_back_on_it(feeder: Feeder, back: set[int]) -> None:
    fleet = cars(ada=held(feeder=0), ben=held(feeder=0), chloe=held(feeder=0))

    assert given_back(bounded(feeder), fleet) == back


def test_a_full_feeder_keeps_back_its_own_cars_alone() -> None:
    """Nor does a car of it, who is first in line, take the program's room."""
    soon = NOW + 4 * HOUR
    fleet = cars(
        ada=held(feeder=0, latest_start=soon), ben=held(feeder=1), chloe=held(feeder=-1)
    )

    assert given_back(bounded(FULL, FREE, restore_cap_kw=14.0), fleet) == {2, 3}


def test_the_program_bounds_beside_its_feeders() -> None:
    fleet = cars(ada=held(feeder=0), ben=held(feeder=1), chloe=held(feeder=1))

    assert given_back(bounded(FREE, FREE, restore_cap_kw=14.0), fleet) == {1, 2}


def test_who_cannot_wait_goes_and_counts() -> None:
    pressing = held(feeder=0, latest_start=NOW + MARGIN_SECONDS)
    fleet = cars(ada=pressing, ben=held(feeder=0))
    feeder = replace(FREE, restore_cap_kw=13.0)

    assert given_back(bounded(FULL), fleet) == {1}
    assert given_back(bounded(feeder), fleet) == {1}


def test_an_evacuation_waits_for_the_ramp_of_its_feeder_not_for_its_cap() -> None:
    row = held(feeder=0, area=Area.OFF)
    fleet = cars(ada=row, ben=row)

    assert given_back(bounded(FULL), fleet) == {1, 2}
    ramped = replace(FULL, restore_ramp_kw_per_minute=7.0)
    assert given_back(bounded(ramped), fleet) == {1}


def test_a_feeder_that_is_full_is_told_of() -> None:
    fleet = cars(ada=held(feeder=0), ben=held(feeder=1))
    told = [
        list(planner.cautions(program, fleet, over(2), Intents.none(), now=NOW))
        for program in (bounded(FULL, FREE), bounded(FREE, FREE))
    ]

    assert told == [[Caution.FEEDER_CAP_BELOW], []]


KW = st.sampled_from([3.7, 7.4, 11.0])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "held_kw": KW,
            "feeder": st.integers(-1, 2),
            "charge_seconds": st.sampled_from([600.0, HOUR, 3 * HOUR, 9 * HOUR]),
            # the first two cannot wait
            "latest_start": st.sampled_from(
                [NOW, NOW + MARGIN_SECONDS, NOW + 5 * HOUR, NOW + 9 * HOUR]
            ),
            "consented": st.sampled_from([True, True, True, False]),
        }
    ),
    min_size=1,
    max_size=24,
)
BOUND = st.sampled_from([1.0, 12.0, 30.0, np.inf])
AHEAD = st.sampled_from([[0.0], [5.0], [2.0, 2.0, 20.0, 0.0]])
FEEDERS = st.lists(
    st.builds(
        Feeder,
        restore_cap_kw=BOUND,
        restore_ramp_kw_per_minute=BOUND,
        ahead_kw=AHEAD.map(np.array),
        restored_kw_last_minute=st.sampled_from([0.0, 6.0]),
    ),
    min_size=3,
    max_size=3,
)
PROGRAMS = st.builds(
    bounded, restore_cap_kw=BOUND, restore_ramp_kw_per_minute=st.just(1000.0)
)


def load_kw(
    feeder: Feeder, kw: planner.Floats, seconds: planner.Floats
) -> planner.Floats:
    """Return the feeder's load with these cars, step by step."""
    ahead = np.pad(
        feeder.ahead_kw, (0, AHEAD_STEPS - len(feeder.ahead_kw)), mode="edge"
    )
    for one, length in zip(kw, seconds, strict=True):
        share = np.clip(length / AHEAD_SECONDS - np.arange(AHEAD_STEPS), 0.0, 1.0)
        ahead = ahead + one * share
    return ahead


@given(rows=ROWS, feeders=FEEDERS, program=PROGRAMS)
def test_a_feeders_bounds_are_broken_only_by_who_cannot_wait(
    rows: list[dict[str, Any]], feeders: list[Feeder], program: Program
) -> None:
    fleet = cars(**{f"car{i}": held(**row) for i, row in enumerate(rows)})
    program = replace(program, feeders=feeders)

    found = planner.decide(program, fleet, [over(fleet.n)], PROVIDER, now=NOW)

    back = found.to(Act.RESTORE)
    could_wait = back.by_reason().get(Reason.EVENT_OVER, np.zeros(0, dtype=int))
    for place, feeder in enumerate(feeders):
        here = back.place[fleet.feeder[back.place] == place]
        waiting = np.isin(here, could_wait)
        if not waiting.any():
            continue
        kw, seconds = fleet.held_kw[here], fleet.charge_seconds[here]
        during = load_kw(feeder, kw[waiting], seconds[waiting]) > load_kw(
            feeder, kw[:0], seconds[:0]
        )
        over_cap = load_kw(feeder, kw, seconds) > feeder.restore_cap_kw + 1e-6
        alone = len(here) == 1
        assert alone or not (over_cap & during).any()
        started = feeder.restored_kw_last_minute + kw.sum()
        assert alone or started <= feeder.restore_ramp_kw_per_minute + 1e-6


@given(rows=ROWS, feeders=FEEDERS, data=st.data())
def test_no_feeder_is_kept_back_by_another(
    rows: list[dict[str, Any]], feeders: list[Feeder], data: st.DataObject
) -> None:
    """What goes back on one is the same whatever the others can bear."""
    fleet = cars(**{f"car{i}": held(**row) for i, row in enumerate(rows)})
    place = data.draw(st.integers(0, 2))
    others = [
        one if i == place else replace(FULL, restored_kw_last_minute=1e6)
        for i, one in enumerate(feeders)
    ]

    def back(bounds: list[Feeder]) -> set[int]:
        there = fleet.vehicle_id[fleet.feeder == place].tolist()
        return given_back(bounded(*bounds), fleet) & set(there)

    assert back(feeders) == back(others)
