"""What fits, asked of a whole line: the answers that each car gets in its turn."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dispatch.room import (
    AHEAD_SECONDS,
    AHEAD_STEPS,
    STEP_SECONDS,
    STEPS,
    Bound,
    Ceiling,
    Room,
    ahead_kw,
)
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


def steps(*kw: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return what is drawn in the first steps, and nothing afterwards."""
    return np.array([*kw, 0.0])


def test_a_car_that_is_full_before_the_peak_goes_and_a_longer_one_waits() -> None:
    ceiling = Ceiling(10.0, steps(2.0, 2.0, 9.0))
    minutes = np.array([15.0, 10.0, 10.0]) * 60.0

    assert ceiling.fits(np.array([7.0, 7.0, 7.0]), minutes).tolist() == [
        False,  # meets the peak
        True,
        False,  # after the second, there is no room
    ]


def test_smaller_cars_do_not_overtake_one_that_charges_no_longer() -> None:
    ceiling = Ceiling(10.0, steps(5.0, 5.0))
    hour = np.full(2, HOUR)

    assert ceiling.fits(np.array([7.0, 2.0]), hour).tolist() == [False, False]


def test_a_ceiling_below_one_car_lets_one_go() -> None:
    assert Ceiling(1.0, steps(0.0)).fits(
        np.array([7.0, 7.0]), np.full(2, HOUR)
    ).tolist() == [True, False]


def test_what_is_drawn_last_goes_on() -> None:
    assert (
        not Ceiling(10.0, np.array([2.0, 9.0]))
        .fits(np.array([7.0]), np.array([HOUR]))
        .any()
    )


@given(
    kw=st.floats(0.5, 20.0),
    seconds=st.floats(1.0, 2 * 24 * HOUR),
)
def test_what_is_drawn_ahead_adds_up_to_the_energy(kw: float, seconds: float) -> None:
    drawn = ahead_kw(np.array([kw]), np.array([seconds]))

    kwh = drawn.sum() * AHEAD_SECONDS / HOUR
    assert np.isclose(kwh, kw * min(seconds, 24 * HOUR) / HOUR, rtol=1e-3)
    assert (np.diff(drawn) <= 1e-9).all()


@given(
    most=st.floats(0.0, 60.0),
    others=st.lists(st.floats(0.0, 50.0), min_size=1, max_size=AHEAD_STEPS + 5),
    line=st.lists(
        st.tuples(st.sampled_from([1.5, 3.7, 7.4, 11.0]), st.floats(0.0, 40 * HOUR)),
        max_size=15,
    ),
)
def test_who_fits_breaks_no_ceiling_and_overtakes_nobody(
    most: float, others: list[float], line: list[tuple[float, float]]
) -> None:
    kw = np.array([one for one, _ in line])
    seconds = np.array([one for _, one in line])
    before = Ceiling(most, np.array(others))
    drawn = np.pad(np.array(others)[:AHEAD_STEPS], (0, AHEAD_STEPS), mode="edge")
    drawn = drawn[:AHEAD_STEPS]

    found = before.fits(kw, seconds)

    assert before.fits(kw, seconds).tolist() == found.tolist()  # asking adds nothing
    shortest_kept_back = np.inf
    for fits, one_kw, one_seconds in zip(found, kw, seconds, strict=True):
        lasts = max(int(np.ceil(one_seconds / AHEAD_SECONDS - 1e-9)), 1)
        highest = drawn[:lasts].max()
        alone = highest <= 0.0
        within = highest + one_kw <= most + 1e-6
        if fits:
            assert alone or within
            assert lasts < shortest_kept_back
            drawn = drawn + ahead_kw(np.array([one_kw]), np.array([one_seconds]))
        else:
            shortest_kept_back = min(shortest_kept_back, lasts)
