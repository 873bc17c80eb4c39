"""What the makes have in common and where they differ.

Freshness is the span of minutes after which a make's cloud shows what its car does;
gaps are the commands that a make answers with "not capable".
"""

from __future__ import annotations

from dataclasses import dataclass

GENERAL_MOTORS = frozenset({"CHEVROLET", "GMC", "BUICK", "CADILLAC"})
# These answer start and stop only from this charge up.
GENERAL_MOTORS_FLOOR_PERCENT = 50
# These take a charge limit: the makes that Smartcar's announcement names, by region.
LIMIT_BY_REGION = {
    "US": frozenset({"TESLA", "FORD", "VOLKSWAGEN", "HYUNDAI", "KIA"}),
    "CA": frozenset({"TESLA", "FORD", "KIA"}),
    "EUROPE": frozenset({"TESLA", "FORD"}),
}
# Some makers refuse it while no cable is in. Which ones is not published; these two
# stand for them here.
LIMIT_NEEDS_PLUG = frozenset({"HYUNDAI", "KIA"})
# Some cars go on by themselves when their limit is raised, others wait to be told.
# Which ones is not published either.
WAITS_AFTER_LIMIT = frozenset({"VOLKSWAGEN"})
# A start where the owner has a schedule charges to 100 % and forgets the limit.
FORGETS_LIMIT = frozenset({"FORD", "LINCOLN"})


@dataclass(frozen=True, slots=True)
class Make:
    """A make as the simulator draws it."""

    name: str
    models: tuple[tuple[str, float], ...]  # name, battery in kWh
    share: float  # of the cars drawn
    fresh_after_minutes: tuple[float, float]


MAKES = (
    Make("TESLA", (("Model 3", 75.0), ("Model Y", 79.0)), 30, (0.02, 5)),
    Make("VOLKSWAGEN", (("ID.4", 77.0), ("ID.3", 58.0)), 10, (1, 3)),
    Make("HYUNDAI", (("IONIQ 5", 74.0), ("Kona Electric", 64.0)), 9, (4, 5)),
    Make("KIA", (("EV6", 77.4), ("Niro EV", 64.8)), 9, (4, 5)),
    Make("FORD", (("Mustang Mach-E", 91.0), ("F-150 Lightning", 98.0)), 8, (5, 10)),
    Make("CHEVROLET", (("Bolt EUV", 65.0), ("Equinox EV", 85.0)), 8, (30, 45)),
    Make("BMW", (("i4", 80.7), ("iX1", 64.7)), 6, (5, 10)),
    Make("NISSAN", (("LEAF", 40.0), ("ARIYA", 87.0)), 5, (5, 10)),
    Make("VOLVO", (("EX30", 64.0), ("XC40 Recharge", 75.0)), 4, (1, 3)),
    Make("AUDI", (("Q4 e-tron", 77.0),), 3, (3, 5)),
    Make("TOYOTA", (("bZ4X", 64.0),), 3, (30, 60)),
    Make("RENAULT", (("Megane E-Tech", 60.0),), 2, (30, 60)),
    Make("HONDA", (("Prologue", 85.0),), 2, (15, 30)),
    Make("CADILLAC", (("LYRIQ", 100.0),), 1, (30, 45)),
)
BY_NAME = {make.name: make for make in MAKES}
ORDINARY_FRESHNESS_MINUTES = (5.0, 10.0)  # "most others"


def fresh_after_minutes(make: str) -> tuple[float, float]:
    """Return the span of minutes after which a make shows what its car does."""
    known = BY_NAME.get(make)
    return known.fresh_after_minutes if known else ORDINARY_FRESHNESS_MINUTES


def can(make: str, *, region: str, kind: str, soc_percent: float) -> bool:
    """Return whether a car of this make, sold there, obeys this command now."""
    if kind == "set-limit":
        return make in LIMIT_BY_REGION.get(region, frozenset())
    if make == "NISSAN" and region == "US":
        return kind == "start"
    if make in GENERAL_MOTORS and kind in {"start", "stop"}:
        return soc_percent >= GENERAL_MOTORS_FLOOR_PERCENT
    return True
