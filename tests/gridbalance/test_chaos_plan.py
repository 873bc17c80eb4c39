"""Rounds drawn from seeds, and made smaller: pure."""

from __future__ import annotations

from itertools import islice

import pytest

from fleets.simulator import faults
from gridbalance.chaos import plan
from gridbalance.chaos.plan import PHASE_SECONDS, draw_plan
from gridbalance.chaos.shrinking import shrink

SEEDS = range(300)


@pytest.fixture(scope="module")
def many() -> list[plan.Plan]:
    return [draw_plan(seed) for seed in SEEDS]


def test_the_same_seed_gives_the_same_plan() -> None:
    assert draw_plan(7) == draw_plan(7)
    assert draw_plan(7) != draw_plan(8)
    assert [*islice(plan.seeds(3), 5)] == [*islice(plan.seeds(3), 5)]


def test_the_number_of_cars_changes_no_fault() -> None:
    assert draw_plan(7, cars=30).faults == draw_plan(7).faults


def test_some_rounds_lower_limits(many: list[plan.Plan]) -> None:
    by_limit = [drawn for drawn in many if drawn.tactic == "limit"]

    assert 0.2 * len(many) < len(by_limit) < 0.4 * len(many)


def test_it_draws_every_kind_of_fault_on_every_target(many: list[plan.Plan]) -> None:
    drawn = {(one.kind, one.target) for drawn in many for one in drawn.faults}
    lines = [*plan.LINES, *plan.second_lines(), *plan.GROUPS, "-2>"]
    processes = [*plan.FIRST_MACHINE, *plan.SECOND_MACHINE, *plan.SERVERS]

    assert drawn >= {("provider", name) for name in faults.NAMES}
    assert drawn >= {("kill", name) for name in [*processes, "machine"]}
    assert drawn >= {("freeze", name) for name in processes}
    assert {name for kind, name in drawn if kind in {"cut", "hang", "delay"}} == {
        *lines
    }
    assert drawn >= {("step", "clock"), ("fill", "disk"), ("lose", "car")}
    assert {one.amount > 0 for p in many for one in p.faults if one.kind == "step"} == {
        True,
        False,
    }


def test_each_phase_has_two_faults_at_once(many: list[plan.Plan]) -> None:
    for drawn in many:
        for phase in plan.PHASES:
            moments = [one.at for one in drawn.faults if one.phase == phase]
            assert len(moments) > len({*moments})


def test_what_begins_in_a_phase_begins_before_its_end(many: list[plan.Plan]) -> None:
    assert all(0 <= one.at <= PHASE_SECONDS for drawn in many for one in drawn.faults)


def test_no_process_of_a_second_machine_is_harmed_where_there_is_one_only(
    many: list[plan.Plan],
) -> None:
    alone = [one for drawn in many if drawn.machines == 1 for one in drawn.faults]

    assert not [
        one for one in alone if one.target.partition(">")[0].endswith(plan.SECOND)
    ]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        # a line is itself
        ("web>valkey", {"web>valkey"}),
        # a server's lines are everybody's
        (">provider", {"fanout>provider", "fanout-2>provider"}),
        # a process's lines are not those of its twin
        ("control>", {"control>postgres", "control>valkey"}),
        # a whole machine
        ("-2>", {*plan.second_lines()}),
    ],
)
def test_a_target_means_lines(target: str, expected: set[str]) -> None:
    lines = [*plan.LINES, *plan.second_lines()]

    assert {*plan.meant(target, lines)} == expected


def test_a_plan_with_some_of_its_faults_keeps_their_numbers() -> None:
    drawn = draw_plan(7)

    left = drawn.only([1, 3])

    assert left.numbers == (1, 3)
    assert left.faults == (drawn.faults[1], drawn.faults[3])
    assert left.only([3]).faults == (drawn.faults[3],)


@pytest.mark.parametrize(
    "guilty",
    [
        # one alone
        {5},
        # a pair, far apart
        {0, 9},
        # none: it fails without any fault
        set(),
    ],
)
def test_it_shrinks_to_what_it_takes(guilty: set[int]) -> None:
    left = shrink(range(10), fails=lambda some: guilty <= {*some}, tries=100)

    assert {*left} == guilty


def test_it_shrinks_no_longer_than_it_may() -> None:
    tried: list[list[int]] = []

    def fails(some: list[int]) -> bool:
        tried.append(some)
        return False

    assert shrink(range(10), fails=fails, tries=3) == [*range(10)]
    assert len(tried) == 3
