"""How good a forecast was: how often its intervals held, and its pinball loss.

The *pinball loss* of a quantile is its distance from what came, weighted so that the
true quantile loses least: with the level above it, with the rest below. The mean over
all levels is in the unit of the values, and rewards narrow intervals that hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from dispatch.forecast.quarters import Floats
from dispatch.forecast.similar_days import LEVELS


@dataclass(frozen=True, slots=True)
class Score:
    """Of the quarter hours that were both foretold and seen."""

    quarters: int = 0
    within_50: int = 0
    within_90: int = 0
    loss: float = 0.0  # sum over the quarter hours of the mean pinball loss

    @property
    def pinball(self) -> float:
        """The mean loss, in the unit of the values."""
        return self.loss / self.quarters if self.quarters else float("nan")

    def covered(self, within: int) -> float:
        """Return a count of quarter hours as a share."""
        return within / self.quarters if self.quarters else float("nan")


def score(quantiles: Floats, came: Floats) -> Score:
    """Judge quantiles (5, n) by what came (n); what is NaN in either is left out."""
    seen = np.isfinite(came) & np.isfinite(quantiles).all(axis=0)
    bounds, value = quantiles[:, seen], came[seen]
    above = value - bounds
    levels = LEVELS[:, None]
    losses = np.maximum(levels * above, (levels - 1.0) * above).mean(axis=0)
    return Score(
        quarters=int(seen.sum()),
        within_50=int(((value >= bounds[1]) & (value <= bounds[3])).sum()),
        within_90=int(((value >= bounds[0]) & (value <= bounds[4])).sum()),
        loss=float(losses.sum()),
    )


def together(scores: Iterable[Score]) -> Score:
    """Add scores up."""
    found = list(scores)
    return Score(
        quarters=sum(one.quarters for one in found),
        within_50=sum(one.within_50 for one in found),
        within_90=sum(one.within_90 for one in found),
        loss=sum(one.loss for one in found),
    )
