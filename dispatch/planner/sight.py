"""What counts towards a target, and whether enough is seen to hold any more."""

from __future__ import annotations

from dispatch.planner.shapes import ON_HOLD, Area, Bools, Cars, Debt, Event, Program

# A fleet that charges reports all the time; even a slow car with a large battery, every
# 80 minutes or so. If none does, the way to us is broken.
SILENCE_SECONDS = 90 * 60.0
# Of the cars that are said to charge, so many must have been heard of lately.
LEAST_KNOWN_SHARE = 0.5


def counting(cars: Cars, wanted: Bools) -> Bools:
    """Say which of the cars that an event wants count towards its target (n)."""
    counts: Bools = wanted & cars.owes(*ON_HOLD) & (cars.area == Area.NONE)
    return counts


def is_blind(program: Program, cars: Cars, event: Event, now: float) -> bool:
    """Say whether too little is known to hold any more."""
    asked = event.aimed & cars.consented
    said = asked & cars.charging & cars.owes(Debt.NONE)
    number = int(said.sum())
    if not number:
        return not (asked & cars.known).any()
    known = int((said & cars.known).sum())
    is_silent = now - program.newest_reading_at > SILENCE_SECONDS
    return is_silent or known < LEAST_KNOWN_SHARE * number
