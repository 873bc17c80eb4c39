"""The peak that no restore can stay below, against cases solved by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.rehearsal import bound
from dispatch.rehearsal.evening import STEP_HOURS

NOTHING = np.zeros(4)


def ints(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


def floats(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array(values, dtype=float)


def kwh(kw: float, steps: float) -> float:
    return kw * steps * STEP_HOURS


@pytest.mark.parametrize(
    ("first", "until", "owed_steps", "others", "expected"),
    [
        # one car, all night for half of it: 6 kW for two of four steps
        ([0], [4], [2], NOTHING, 3.0),
        # no time to spare
        ([0], [2], [2], NOTHING, 6.0),
        # more than its window holds is not asked for
        ([0], [2], [9], NOTHING, 6.0),
        # two with all night, one of them without slack in the first half
        ([0, 0], [2, 4], [2, 2], NOTHING, 6.0),
        # two at once that cannot be moved
        ([0, 0], [2, 2], [2, 2], NOTHING, 12.0),
        # what nobody controls fills the first half
        ([0], [4], [2], [6.0, 6.0, 0.0, 0.0], 6.0),
        ([0], [4], [2], [9.0, 0.0, 0.0, 0.0], 9.0),
        # and leaves less room than is needed
        ([0], [4], [4], [6.0, 6.0, 0.0, 0.0], 12.0),
        # it is the load after the last car is gone
        ([0], [2], [1], [0.0, 0.0, 0.0, 8.0], 8.0),
    ],
)
def test_it_is_what_was_found_by_hand(
    first: list[int],
    until: list[int],
    owed_steps: list[int],
    others: list[float],
    expected: float,
) -> None:
    found = bound.divisible(
        ints(*first),
        ints(*until),
        floats(*[kwh(6.0, steps) for steps in owed_steps]),
        np.full(len(first), 6.0),
        np.array(others),
    )

    assert found == pytest.approx(expected)


def test_nobody_owed_leaves_the_load_that_is_there() -> None:
    others = floats(1.0, 5.0, 2.0)

    assert bound.divisible(ints(), ints(), floats(), floats(), others) == 5.0


def test_one_piece_asks_for_more_than_power_that_may_be_divided() -> None:
    """Two thirds of a window in one piece always cover its middle."""
    cars = ints(0, 0), floats(kwh(6.0, 2), kwh(6.0, 2)), floats(6.0, 6.0)
    first, owed, power = cars

    divided = bound.divisible(first, ints(3, 3), owed, power, np.zeros(3))
    in_one = bound.one_start(first, ints(1, 1), owed, power, np.zeros(3))

    assert divided == pytest.approx(8.0)
    assert in_one == pytest.approx(12.0)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(1, 3), st.integers(0, 2), st.integers(1, 5)
        ),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.integers(0, 6), min_size=8, max_size=8),
)
def test_no_way_of_starting_stays_below_it(
    cars: list[tuple[int, int, int, int]], others: list[int]
) -> None:
    """Try every choice of starts: the best of them is the truth."""
    first = ints(*[ready for ready, _, _, _ in cars])
    last = ints(*[ready + slack for ready, _, slack, _ in cars])
    power = floats(*[kw for _, _, _, kw in cars])
    steps = [length for _, length, _, _ in cars]
    owed = floats(*[kwh(kw, length) for _, length, _, kw in cars])
    best = float("inf")
    for starts in product(*[range(a, b + 1) for a, b in zip(first, last, strict=True)]):
        load = floats(*others)
        for start, length, kw in zip(starts, steps, power, strict=True):
            load[start : start + length] += kw
        best = min(best, float(load.max()))

    in_one = bound.one_start(first, last, owed, power, floats(*others))
    until = last + ints(*steps)
    divided = bound.divisible(first, until, owed, power, floats(*others))

    assert divided <= in_one + 1e-9
    assert in_one <= best + 1e-9
