"""Whether a car does what its stop asks: learned from what cars did. Pure.

A beta prior for the make, whose mean is the prior of its cars. Counts forget: what was
a year ago says little of today's servers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Nobody publishes how often commands fail by make; planners count on 5 to 15 %. One in
# ten, believed as firmly as ten stops that were seen.
PRIOR_OBEYED, PRIOR_MISSED = 9.0, 1.0
# A car is taken to be like its make until it has shown otherwise, which is soon: one
# that ignores a stop mostly ignores the next.
MAKE_WEIGHT = 0.5
# What a make's past counts for against what is missing right now: a cloud that goes
# down shows in as many stops, whatever it did for years.
MAKE_REMEMBERS = 50.0
# Of those that obey, by the time that a make's data may be old: reports get lost.
SHOWN_IN_TIME = 0.98
TINY = 1e-12
# Each further stop of a car lets the ones before count so much less.
FORGET = 0.95


def chances(make: Ints, obeyed: Floats, missed: Floats, missing: Bools) -> Floats:
    """Return each car's chance to respond (n).

    `make` numbers the makes from 0. `obeyed` and `missed` are what each car did so
    far; `missing` says whose present stop was sent and not answered, or not shown.
    """
    size = int(make.max()) + 1 if len(make) else 0
    makes_obeyed = np.bincount(make, obeyed, size)
    makes_missed = np.bincount(make, missed, size)
    past = np.maximum((makes_obeyed + makes_missed) / MAKE_REMEMBERS, 1.0)
    good = PRIOR_OBEYED + makes_obeyed / past
    bad = PRIOR_MISSED + makes_missed / past
    bad += np.bincount(make, missing.astype(float), size)
    of_make = (good / (good + bad))[make]
    its_own = obeyed + missed + missing
    found: Floats = (MAKE_WEIGHT * of_make + obeyed) / (MAKE_WEIGHT + its_own)
    return found


def unseen(chance: Floats, waited: Floats) -> Floats:
    """Return the chances of stops that were answered and that nothing shows yet (n).

    `waited` is how long ago that was, as a share of how old the make's data may be. Of
    those that obey, the longer it lasts the fewer are still to show it; those that do
    not are all still there.
    """
    shown_by_now = np.clip(waited, 0.0, SHOWN_IN_TIME)
    left = chance * (1.0 - shown_by_now)
    found: Floats = left / np.maximum(left + 1.0 - chance, TINY)
    return found
