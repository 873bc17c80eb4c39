"""What rounds of chaos come to."""

from __future__ import annotations

from collections import Counter

from gridbalance.chaos import plan
from gridbalance.chaos.round import Verdict
from gridbalance.chaos.run import Tally


def verdict(seed: int, **more: object) -> Verdict:
    faults = Counter({"kill beat": 3})
    return Verdict(plan.draw_plan(seed, cars=None), faults=faults, **more)  # type: ignore[arg-type]


def test_faults_of_a_system_that_took_nothing_do_not_count() -> None:
    tally = Tally()

    tally.add(verdict(1, touched=0))
    tally.add(verdict(2, touched=5))

    assert (tally.rounds, tally.idle, tally.faults) == (2, [1], 3)
    assert tally.faults_by_kind == {"kill beat": 3}


def test_one_that_broke_a_promise_counts_whatever_it_took() -> None:
    tally = Tally()

    tally.add(verdict(1, touched=0, broken=["a stop before its row"]))

    assert (tally.idle, tally.faults, tally.promises_broken) == ([], 3, 1)
