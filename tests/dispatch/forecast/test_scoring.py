"""Scores: by hand, and what must hold whatever came."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.forecast import scoring
from dispatch.forecast.scoring import Score

# Quantiles of one quarter hour at 5, 25, 50, 75, 95 %.
BOUNDS = np.array([[0.0], [10.0], [20.0], [30.0], [40.0]])
kw = st.floats(0.0, 1e6)


@pytest.mark.parametrize(
    ("came", "within_50", "within_90", "loss"),
    [
        # the median: (.05*20 + .25*10 + 0 + .25*10 + .05*20) / 5
        (20.0, 1, 1, 1.4),
        # on a bound is within
        (10.0, 1, 1, (0.05 * 10 + 0 + 0.5 * 10 + 0.25 * 20 + 0.05 * 30) / 5),
        (40.0, 0, 1, (0.05 * 40 + 0.25 * 30 + 0.5 * 20 + 0.75 * 10 + 0) / 5),
        # above everything
        (60.0, 0, 0, (0.05 * 60 + 0.25 * 50 + 0.5 * 40 + 0.75 * 30 + 0.95 * 20) / 5),
    ],
)
def test_one_quarter_hour_by_hand(
    came: float, within_50: int, within_90: int, loss: float
) -> None:
    found = scoring.score(BOUNDS, np.array([came]))

    assert (found.within_50, found.within_90) == (within_50, within_90)
    assert found.pinball == pytest.approx(loss)


def test_what_nobody_saw_or_foretold_is_left_out() -> None:
    bounds = np.repeat(BOUNDS, 3, axis=1)
    bounds[:, 1] = np.nan

    found = scoring.score(bounds, np.array([20.0, 20.0, np.nan]))

    assert found.quarters == 1


def test_nothing_scored_is_no_score() -> None:
    assert np.isnan(Score().pinball)
    assert np.isnan(Score().covered(0))


@given(st.lists(kw, min_size=5, max_size=5), kw)
def test_no_loss_is_negative_and_who_is_within_50_is_within_90(
    bounds: list[float], came: float
) -> None:
    found = scoring.score(np.sort(bounds)[:, None], np.array([came]))

    assert found.loss >= 0.0
    assert found.within_50 <= found.within_90 <= found.quarters


@given(st.lists(st.tuples(kw, kw), min_size=1, max_size=10))
def test_parts_add_up_to_the_whole(pairs: list[tuple[float, float]]) -> None:
    bounds = BOUNDS + np.array([[low for low, _ in pairs]])
    came = np.array([value for _, value in pairs])
    parts = [scoring.score(bounds[:, [i]], came[[i]]) for i in range(len(pairs))]

    together = scoring.together(parts)

    whole = scoring.score(bounds, came)
    assert (together.quarters, together.within_90) == (whole.quarters, whole.within_90)
    assert together.loss == pytest.approx(whole.loss)
