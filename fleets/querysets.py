"""Questions asked of the records of `fleets`, as sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from fleets.models import Enrolment, Program, Vehicle  # noqa: F401


class VehicleQuerySet(models.QuerySet["Vehicle"]):
    def enrolled(self, program: Program) -> VehicleQuerySet:
        """Keep cars whose customers consent to this program now."""
        return self.filter(
            enrolments__program=program, enrolments__status="active"
        ).distinct()

    def plugged_in(self) -> VehicleQuerySet:
        """Keep cars that said so last."""
        return self.filter(is_plugged_in=True)

    def charging(self) -> VehicleQuerySet:
        """Keep cars that said so last."""
        return self.filter(is_charging=True)

    def fresh(self, now: datetime, *, age: timedelta) -> VehicleQuerySet:
        """Keep cars whose last reading is not older than `age`."""
        return self.filter(observed_at__gte=now - age)


class EnrolmentQuerySet(models.QuerySet["Enrolment"]):
    def active(self) -> EnrolmentQuerySet:
        """Keep enrolments whose consent stands."""
        return self.filter(status="active")
