"""What a cap costs, on nights that can be reckoned by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.rehearsal import bound, frontier
from dispatch.rehearsal.evening import Evening
from dispatch.rehearsal.frontier import Debts
from dispatch.rehearsal.play import Rules, play
from tests.dispatch.rehearsal.nights import night, step

WINDOW = step(16), step(20)


def debts(
    cars: Evening, *, managed: bool = False, within: float = float("inf")
) -> Debts:
    return frontier.debts_after(cars, WINDOW, managed=managed, within_steps=within)


def test_it_owes_what_the_event_took_and_no_more() -> None:
    """Ada charges already, Ben comes meanwhile, Chloé has no time, one comes late."""
    ada, ben, chloe, late = (15, 31, 3), (18, 31, 2), (15.5, 20.5, 4.9), (22, 31, 1)

    owed = debts(night(ada, ben, chloe, late))

    # Ada drew for an hour, Ben for the five minutes until he was seen.
    assert owed.owed_kwh == pytest.approx([12.0, 11.5])
    assert owed.others_kw[step(18)] == pytest.approx(6.0 + 6.0)  # Chloé, and Ben
    assert owed.others_kw[step(22)] == pytest.approx(6.0)


def test_who_comes_after_the_event_queues_if_that_is_managed() -> None:
    owed = debts(night((18, 31, 2), (22, 31, 1)), managed=True)

    assert owed.ready.tolist() == [step(20), step(22) + 1]


def test_all_at_once_is_the_highest_peak_and_the_shortest_wait() -> None:
    owed = debts(night(*[(16, 31, 2)] * 4))

    at_once = frontier.point(owed, float("inf"))

    assert (at_once.peak_kw, at_once.hours_to_restore_max) == (24.0, 0.0)


def test_the_lowest_cap_spreads_four_cars_over_the_night() -> None:
    """They drew for five minutes before they were seen; the rest fits one by one."""
    lowest = frontier.lowest_cap(debts(night(*[(16, 31, 2)] * 4)))

    assert lowest.peak_kw == pytest.approx(6.0)
    assert lowest.hours_to_restore_max == pytest.approx(5.75)
    assert lowest.late == 0


def test_a_deadline_lifts_the_cap() -> None:
    """Eight hours of charging within four: two at a time."""
    lowest = frontier.lowest_cap(debts(night(*[(16, 31, 2)] * 4), within=48))

    assert lowest.peak_kw == pytest.approx(12.0)
    assert lowest.hours_to_restore_max <= 2.0


def test_arrivals_after_the_event_count_against_the_cap() -> None:
    """Nobody starts at eight who would still charge when others come at nine."""
    owed = debts(night((15, 31, 3), (21, 31, 2)))

    starts, load = frontier.restore(owed, 6.0)

    assert starts[0] == step(23)
    assert load[step(20) :].max() == pytest.approx(6.0)


def test_a_low_cap_makes_nobody_late() -> None:
    tight = frontier.point(debts(night(*[(16, 26, 4)] * 5)), 6.0)

    assert tight.late == 0
    assert tight.peak_kw == pytest.approx(30.0)  # all at their latest start


nights = st.lists(
    st.tuples(
        st.integers(13, 23), st.integers(24, 34), st.sampled_from([0.5, 1.0, 2.5, 4.0])
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=30)
@given(nights, st.booleans(), st.sampled_from([24.0, 48.0, float("inf")]))
def test_no_cap_beats_the_bound(
    cars: list[tuple[float, float, float]], managed: bool, within: float
) -> None:
    owed = debts(night(*cars), managed=managed, within=within)
    others = owed.others_kw.copy()
    others[: owed.ends] = 0.0

    found = frontier.lowest_cap(owed)

    until = owed.leaves if np.isinf(within) else owed.until
    least = bound.divisible(owed.ready, until, owed.owed_kwh, owed.power_kw, others)
    # A car that cannot be back within the deadline goes on after it.
    assert found.peak_kw >= least - 1e-6
    assert found.late == frontier.point(owed, float("inf")).late


@settings(max_examples=30)
@given(
    nights,
    st.sampled_from([6.0, 12.0, 18.0, float("inf")]),
    st.sampled_from([1, 3, 12]),
)
def test_it_foresees_what_the_planner_decides(
    cars: list[tuple[float, float, float]], cap_kw: float, catch_steps: int
) -> None:
    """Left alone, nobody comes whom the planner does not know: they must agree."""
    known = night(*[car for car in cars if car[0] < 20], catch_steps=catch_steps)
    if not len(known):
        return
    owed = debts(known)

    _, load = frontier.restore(owed, cap_kw)
    course = play(known, Rules(WINDOW, cap_kw=cap_kw))

    ends = WINDOW[1]
    assert course.load_kw[ends:] == pytest.approx(load[ends:], abs=1e-6)
