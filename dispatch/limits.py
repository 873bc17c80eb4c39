"""Charge limits: which one we write, and whose the one is that a car shows. Pure.

A limit is written in two calls: a *look*, and the write only if the look shows the
limit that it is meant to replace. So neither taking nor giving back overwrites what the
customer chose meanwhile, but for the moment between the two calls and for what the
maker has not heard of yet.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from fleets.providers.base import Report

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

# What providers write: whole percents from here on.
LEAST_PERCENT = 50
# A look and a write.
CALLS = 2
# A limit is read as a fraction by some makers: 0.55 * 100 is not 55.
ROUNDING_PERCENT = 0.01


class Whose(StrEnum):
    """Whose limit a car shows."""

    UNSAID = ""  # it says none
    OURS = "ours"
    OWN = "own"  # the one from before us
    THEIRS = "theirs"  # the customer chose another one since


def whose(percent: float | None, *, ours: int | None, own: float | None) -> Whose:
    """Return whose limit this is."""
    if percent is None:
        return Whose.UNSAID
    if ours is not None and round(percent) == ours:
        return Whose.OURS
    if own is not None and round(percent) == round(own):
        return Whose.OWN
    return Whose.THEIRS


def lowered(soc_percent: Floats) -> Floats:
    """Return the limit that stops each car at its charge: the highest of them (n)."""
    return np.maximum(np.floor(soc_percent), LEAST_PERCENT)


def can_lower(soc_percent: Floats, own_percent: Floats) -> Bools:
    """Say whose limit can be lowered so that it stops charging, and be set back (n).

    `own_percent` is NaN where it is not known: that could not be given back, nor could
    one that is no whole percent.
    """
    whole = np.abs(own_percent - np.round(own_percent)) <= ROUNDING_PERCENT
    stops = soc_percent >= LEAST_PERCENT
    found: Bools = whole & stops & (lowered(soc_percent) < np.round(own_percent))
    return found


def may_write(seen: Report, *, instead_of: int, takes: bool) -> bool:
    """Say whether a look lets the write go.

    Giving back asks for our limit alone. What takes asks for a car that charges, too:
    one that left or finished meanwhile would be limited for nothing.
    """
    if seen.limit_percent is None or round(seen.limit_percent) != instead_of:
        return False
    return not takes or (seen.is_plugged_in is not False and bool(seen.is_charging))
