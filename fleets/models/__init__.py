"""Who: people, their grid, their cars, what they agreed to, what was read."""

from __future__ import annotations

from fleets.models.departures import Departure
from fleets.models.grid import Feeder, Substation
from fleets.models.people import Customer, CustomerGroup, ProviderAccount, User
from fleets.models.programs import (
    Enrolment,
    EnrolmentStatus,
    Program,
    RestoreStyle,
    Tactic,
)
from fleets.models.readings import Reading, WebhookDelivery
from fleets.models.running import Bucket, ProviderToken, SystemClock, VehicleBucket
from fleets.models.vehicles import Vehicle

__all__ = [
    "Bucket",
    "Customer",
    "CustomerGroup",
    "Departure",
    "Enrolment",
    "EnrolmentStatus",
    "Feeder",
    "Program",
    "ProviderAccount",
    "ProviderToken",
    "Reading",
    "RestoreStyle",
    "Substation",
    "SystemClock",
    "Tactic",
    "User",
    "Vehicle",
    "VehicleBucket",
    "WebhookDelivery",
]
