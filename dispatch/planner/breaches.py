"""What goes back over a cap or a ramp, because something else comes first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dispatch.planner.bounds import Bounds
from dispatch.planner.intents import Intents, code
from dispatch.planner.shapes import Act, Bools, Cars, Ints, Program, Reason

# Opt-out, ready-by and a hold-off come before the cap; all but the last before the
# ramp; a pick-up goes by one of its own.
WHATEVER_THE_CAP = (
    Reason.OPTED_OUT, Reason.WITHDRAWN, Reason.LATEST_START, Reason.AREA_OFF,
    Reason.PICK_UP,
)  # fmt: skip
WHATEVER_THE_RAMP = (
    Reason.OPTED_OUT, Reason.WITHDRAWN, Reason.LATEST_START, Reason.PICK_UP,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Breaches:
    """Places of cars that are given back although a bound has no room for them."""

    cap: Ints
    ramp: Ints


def breaches(program: Program, cars: Cars, intents: Intents) -> Breaches:
    """Return whose restores break a bound of the program or of a feeder."""
    restores = intents.to(Act.RESTORE)
    over_cap, over_ramp = Bounds(program, cars).broken(restores.place)
    return Breaches(
        cap=restores.place[over_cap & _for(restores, WHATEVER_THE_CAP)],
        ramp=restores.place[over_ramp & _for(restores, WHATEVER_THE_RAMP)],
    )


def _for(intents: Intents, reasons: tuple[Reason, ...]) -> Bools:
    found: Bools = np.isin(intents.reason_code, [code(reason) for reason in reasons])
    return found
