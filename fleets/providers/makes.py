"""What is known of makes: abilities, and how old their data may be.

Source: Smartcar's pages "Start & Stop Charge", "Charge Limit" and "Frequencies"
(data freshness), as collected in 2025-11 to 2026-05; the makes that take a limit from
its blog on the charge limit API, which names the first of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

GENERAL_MOTORS = frozenset({"CHEVROLET", "GMC", "BUICK", "CADILLAC"})

# Slowest figure of each range; a shorter wait gives false "did not obey".
_FRESHNESS_MINUTES: dict[str, int] = {
    "TESLA": 5,
    "BYD": 3,
    "POLESTAR": 3,
    "VOLVO": 3,
    "AUDI": 5,
    "RIVIAN": 5,
    "HYUNDAI": 5,
    "KIA": 5,
    "SKODA": 5,
    "HONDA": 30,
    "JAGUAR": 30,
    "LAND_ROVER": 30,
    **dict.fromkeys(GENERAL_MOTORS, 45),
    "ACURA": 60,
    "DACIA": 60,
    "MG": 60,
    "MINI": 60,
    "PORSCHE": 60,
    "RENAULT": 60,
    "TOYOTA": 60,
}
# The makes that Smartcar's announcement of the charge limit names; of others nobody has
# said that they take one, and a car is not tried out on a customer.
_LIMIT_ANYWHERE = frozenset({"TESLA", "FORD"})
_LIMIT_IN_REGION = frozenset(
    {("VOLKSWAGEN", "US"), ("HYUNDAI", "US"), ("KIA", "US"), ("KIA", "CA")}
)
# A start where the owner has a schedule for the place charges to 100 %.
_START_FORGETS_LIMIT = frozenset({"FORD", "LINCOLN"})
_USUAL_FRESHNESS_MINUTES = 10  # BMW, Ford, Nissan, Stellantis, VW EU and most others


@dataclass(frozen=True, slots=True)
class Abilities:
    """What commands a car takes."""

    can_stop: bool = True
    can_start: bool = True
    can_set_limit: bool = False
    commands_from_soc_percent: float = 0.0


def freshness(make: str) -> timedelta:
    """Return how old a car's newest data may be by its maker's habits."""
    return timedelta(
        minutes=_FRESHNESS_MINUTES.get(make.upper(), _USUAL_FRESHNESS_MINUTES)
    )


def abilities(make: str, *, region: str) -> Abilities:
    """Return what a car of this make takes in this region."""
    name = make.upper()
    return Abilities(
        can_stop=(name, region) != ("NISSAN", "US"),
        can_set_limit=name in _LIMIT_ANYWHERE or (name, region) in _LIMIT_IN_REGION,
        commands_from_soc_percent=50.0 if name in GENERAL_MOTORS else 0.0,
    )


def start_forgets_limit(make: str) -> bool:
    """Say whether a start may charge a car of this make beyond its limit."""
    return make.upper() in _START_FORGETS_LIMIT
