"""What is known of makes: abilities, and how old their data may be.

Source: Smartcar's pages "Start & Stop Charge", "Charge Limit" and "Frequencies"
(data freshness), as collected in 2025-11 to 2026-05.
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
_USUAL_FRESHNESS_MINUTES = 10  # BMW, Ford, Nissan, Stellantis, VW EU and most others


@dataclass(frozen=True, slots=True)
class Abilities:
    """What commands a car takes."""

    can_stop: bool = True
    can_start: bool = True
    can_set_limit: bool = True
    commands_from_soc_percent: float = 0.0


def freshness(make: str) -> timedelta:
    """Return how old a car's newest data may be by its maker's habits."""
    return timedelta(
        minutes=_FRESHNESS_MINUTES.get(make.upper(), _USUAL_FRESHNESS_MINUTES)
    )


def abilities(make: str, *, region: str) -> Abilities:
    """Return what a car of this make takes in this region."""
    if make.upper() == "NISSAN" and region == "US":
        return Abilities(can_stop=False)
    if make.upper() in GENERAL_MOTORS:
        return Abilities(commands_from_soc_percent=50.0)
    return Abilities()
