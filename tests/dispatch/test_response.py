"""Whether a car responds: a prior, what was seen, and what is still unseen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch import response, shed

COUNTS = st.floats(0, 20)


def chance(*, obeyed: float = 0.0, missed: float = 0.0, missing: bool = False) -> float:
    """Return the chance of a car beside two of its make, of which nothing is known."""
    (found, *_) = response.chances(
        np.zeros(3, dtype=np.int64),
        np.array([obeyed, 0.0, 0.0]),
        np.array([missed, 0.0, 0.0]),
        np.array([missing, False, False]),
    )
    return float(found)


def test_nine_of_ten_respond_before_anything_is_known() -> None:
    assert chance() == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("seen", "low", "high"),
    [
        # one good evening says more than its make
        ({"obeyed": 1.0}, 0.95, 1.0),
        # one that ignores a stop mostly ignores the next
        ({"missed": 1.0}, 0.2, 0.4),
        ({"missed": 2.0}, 0.0, 0.25),
        # it was asked, and nobody knows
        ({"missing": True}, 0.2, 0.4),
        # once in a while anybody sleeps
        ({"obeyed": 15.0, "missed": 1.0}, 0.9, 0.96),
    ],
)
def test_a_car_is_known_by_what_it_did(
    seen: dict[str, float], low: float, high: float
) -> None:
    assert low < chance(**seen) < high  # type: ignore[arg-type]


def test_a_make_that_is_down_is_known_whatever_it_did_for_years() -> None:
    n = 200
    make = np.repeat([0, 1], n)
    obeyed = np.full(2 * n, 10.0)
    missing = make == 0

    found = response.chances(
        np.append(make, [0, 1]),
        np.append(obeyed, [0.0, 0.0]),
        np.zeros(2 * n + 2),
        np.append(missing, [False, False]),
    )

    down, up = found[-2:].tolist()
    assert down < 0.3
    assert up > 0.9


@given(obeyed=COUNTS, missed=COUNTS, missing=st.booleans(), more=st.floats(0.1, 5))
def test_it_is_a_chance_and_only_misses_lower_it(
    obeyed: float, missed: float, missing: bool, more: float
) -> None:
    now = chance(obeyed=obeyed, missed=missed, missing=missing)

    assert 0.0 < now < 1.0
    assert chance(obeyed=obeyed, missed=missed + more, missing=missing) < now


@given(
    chances=st.lists(st.floats(0, 1), min_size=1, max_size=5),
    waited=st.floats(0, 3),
    more=st.floats(0, 3),
)
def test_the_longer_it_is_unseen_the_less_it_counts(
    chances: list[float], waited: float, more: float
) -> None:
    of = np.array(chances)
    then = response.unseen(of, np.full(len(of), waited))
    later = response.unseen(of, np.full(len(of), waited + more))

    assert np.all((then >= 0.0) & (then <= of + 1e-9))
    assert np.all(later <= then + 1e-9)


def test_those_still_unseen_when_all_should_be_seen_mostly_do_not_obey() -> None:
    (left,) = response.unseen(np.array([0.9]), np.array([1.0])).tolist()

    assert left < 0.2


@given(to_full=st.floats(0, 30), held=st.floats(0, 30), longer=st.floats(0, 10))
def test_what_a_car_would_draw_decays_as_it_would_have_filled(
    to_full: float, held: float, longer: float
) -> None:
    now, later = shed.would_draw_share(
        np.array([to_full, to_full]), np.array([held, held + longer])
    ).tolist()

    assert 0.0 <= later <= now <= 1.0


def test_a_car_would_draw_until_it_is_full() -> None:
    share = shed.would_draw_share(np.full(3, 4.0), np.array([1.0, 4.0, 7.0]))

    assert share.round(2).tolist() == [1.0, 0.5, 0.0]
