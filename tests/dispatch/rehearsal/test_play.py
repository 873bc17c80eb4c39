"""An evening with an event, decided by the planner."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dispatch.rehearsal import evening, figures, frontier
from dispatch.rehearsal.evening import Evening
from dispatch.rehearsal.forecast import Arrivals
from dispatch.rehearsal.play import Course, Rules, play
from tests.dispatch.rehearsal.nights import night, step

WINDOW = step(16), step(20)


def told(cars: Evening, course: Course, rules: Rules) -> figures.Figures:
    owed = frontier.debts_after(
        cars, WINDOW, managed=rules.managed, within_steps=float("inf")
    )
    return figures.of(cars, course, rules, owed)


def test_a_car_that_can_wait_is_held_and_charged_afterwards() -> None:
    cars = night((15, 31, 3))

    course = play(cars, Rules(WINDOW))

    assert course.load_kw[step(15)] == 6.0
    assert not course.load_kw[step(16) : step(20)].any()
    assert course.missing_kwh == pytest.approx([0.0])
    assert (course.stops[0], course.starts[0]) == (1, 1)


def test_a_car_without_slack_is_left_alone() -> None:
    cars = night((15.5, 20.5, 4.9))

    course = play(cars, Rules(WINDOW))

    assert course.stops.tolist() == [0]
    assert course.load_kw == pytest.approx(evening.unmanaged_kw(cars))


def test_a_late_catch_sheds_less() -> None:
    rules = Rules(WINDOW)
    quick, slow = night((17, 31, 3)), night((17, 31, 3), catch_steps=12)

    at_once = told(quick, play(quick, rules), rules)
    late = told(slow, play(slow, rules), rules)

    assert at_once.shed_kwh - late.shed_kwh == pytest.approx(11 / 12 * 6.0 * 1000)


def test_a_car_that_came_just_before_is_caught_no_sooner() -> None:
    """That an event begins makes no maker tell anything earlier."""
    cars = night((15.75, 31, 5), catch_steps=12)

    course = play(cars, Rules(WINDOW))

    assert course.load_kw[step(16) : step(16.75)] == pytest.approx(6.0)
    assert not course.load_kw[step(16.75) : step(20)].any()


def test_a_target_takes_no_more_cars_than_it_needs() -> None:
    cars = night(*[(15, 31, 6)] * 5)

    course = play(cars, rules := Rules(WINDOW, target_kw=12.0))

    assert course.stops.sum() == 2
    assert told(cars, course, rules).target_error_p95 == 0.0


def test_the_cap_holds_and_each_car_starts_once() -> None:
    cars = night(*[(15, 31, 3)] * 6)

    course = play(cars, Rules(WINDOW, cap_kw=12.0))

    assert course.load_kw[WINDOW[1] :].max() == pytest.approx(12.0)
    assert course.starts.max() == 1
    assert course.missing_kwh.max() == pytest.approx(0.0)


def test_the_ramp_is_kept_in_every_turn() -> None:
    cars = night(*[(15, 31, 3)] * 10)

    course = play(cars, Rules(WINDOW, ramp_kw_per_minute=2.4))

    assert np.diff(course.load_kw[WINDOW[1] - 1 :]).max() == pytest.approx(12.0)


def test_what_is_expected_to_come_is_left_room_for() -> None:
    """The same two evenings, with and without knowing who comes at nine."""
    cars = night((15, 31, 3), (21, 31, 3))
    rules = Rules(WINDOW, cap_kw=6.0)

    blind = play(cars, rules)
    aware = play(cars, rules, Arrivals.of(cars))

    assert blind.load_kw[WINDOW[1] :].max() == 12.0
    assert aware.load_kw[WINDOW[1] :].max() == 6.0


def test_managed_arrivals_wait_behind_those_with_less_slack() -> None:
    cars = night((15, 28, 5), (15, 28, 5), (21, 34, 2))
    rules = Rules(WINDOW, cap_kw=12.0)

    free = play(cars, rules)
    managed = play(cars, replace(rules, managed=True))

    assert free.load_kw[WINDOW[1] :].max() == 18.0
    # until it is seen, it charges
    assert managed.load_kw[step(21) + 1 :].max() == 12.0
    assert managed.starts.tolist() == [1, 1, 1]
    assert managed.missing_kwh == pytest.approx([0.0, 0.0, 0.0])


def test_a_departure_believed_too_late_makes_a_car_late() -> None:
    cars = night((15, 24, 4), (15, 30, 6))
    wrong = replace(cars, believed_leaves=cars.believed_leaves + np.array([60, 0]))

    right = told(cars, play(cars, Rules(WINDOW, cap_kw=6.0)), Rules(WINDOW))
    late = told(cars, play(wrong, Rules(WINDOW, cap_kw=6.0)), Rules(WINDOW))

    assert (right.late_share, late.late_share) == (0.0, 0.5)


def test_within_some_hours_everything_is_charged_again() -> None:
    cars = night(*[(15, 36, 3)] * 6)

    course = play(cars, Rules(WINDOW, cap_kw=6.0, within_steps=48))

    assert course.charged_hours.max() <= 4.0
