"""What fits, asked of a whole line: the answers that each car gets in its turn."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dispatch.room import STEP_SECONDS, STEPS, Bound, Room
from tests.dispatch.fleet import HOUR, NOW

# Few different moments, so that many fall due in the same minute.
MOMENTS = st.sampled_from([NOW + minute * 60.0 for minute in (-30, 0, 5, 6, 90, 9999)])
LINES = st.lists(st.tuples(MOMENTS, st.integers(1, 2)), max_size=40)
ENDS = st.sampled_from([NOW - HOUR, NOW, NOW + HOUR])


def in_turn(
    line: list[tuple[float, int]],
    owed: list[float],
    *,
    ends_at: float,
    reserve: float,
    rate: float,
) -> list[bool]:
    """Return who fits by the definition: for every minute, is more due than carried?"""
    last = STEPS - 1
    due = [min(max(int((one - NOW) // STEP_SECONDS), 0), last) for one in owed]
    found = []
    for moment, calls in line:
        step = min(int((moment - NOW) // STEP_SECONDS), last)
        fits = step >= 0 and all(
            sum(one <= k for one in due) + calls
            <= reserve + rate * max(NOW + k * STEP_SECONDS - max(ends_at, NOW), 0) / 60
            for k in {step, *(one for one in due if one > step)}
        )
        due += [step] * calls * fits
        found.append(fits)
    return found


@given(
    lines=st.lists(st.tuples(LINES, ENDS), min_size=1, max_size=2),
    owed=st.lists(MOMENTS, max_size=5),
    reserve=st.sampled_from([0.0, 1.5, 3.0, 20.0]),
    rate=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_a_line_gets_the_answers_of_one_car_at_a_time(
    lines: list[tuple[list[tuple[float, int]], float]],
    owed: list[float],
    reserve: float,
    rate: float,
) -> None:
    room = Room(np.array(owed), reserve_calls=reserve, per_minute=rate, now=NOW)
    owed = list(owed)
    for unsorted, ends_at in lines:
        line = sorted(unsorted, key=lambda car: -car[0])
        starts = np.array([moment for moment, _ in line])
        calls = np.array([count for _, count in line], dtype=np.int64)

        fits = room.fits(starts, calls, ends_at=ends_at)
        room.book(starts[fits], calls[fits])

        expected = in_turn(line, owed, ends_at=ends_at, reserve=reserve, rate=rate)
        assert fits.tolist() == expected
        for (moment, count), fit in zip(line, expected, strict=True):
            owed += [moment] * count * fit


@given(
    most=st.sampled_from([0.0, 5.0, 20.0, np.inf]),
    already=st.sampled_from([0.0, 4.0]),
    line=st.lists(st.sampled_from([0.0, 1.5, 7.0, 11.0]), max_size=12),
)
def test_a_bound_keeps_the_line(most: float, already: float, line: list[float]) -> None:
    kw, expected = already, 0
    for one in line:
        if kw + one > most and kw > 0:
            break
        kw, expected = kw + one, expected + 1

    bound = Bound(most, already)

    assert bound.admits(np.array(line)) == expected
    bound.add(np.array(line[:expected]))
    rest = np.array(line[expected:])
    assert bound.admits(rest) == 0
