"""Questions asked of the records of `fleets`, as sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from fleets.models import Enrolment, Program, Vehicle  # noqa: F401


class VehicleQuerySet(models.QuerySet["Vehicle"]):
    def enrolled(self, program: Program) -> VehicleQuerySet:
        """Keep cars whose customers consent to this program now.

        A car has one active enrolment at most, so each is there once. No `distinct()`:
        it would drop equal values, should only some columns be asked for.
        """
        return self.filter(enrolments__program=program, enrolments__status="active")

    def charging(self) -> VehicleQuerySet:
        """Keep cars that said so last."""
        return self.filter(is_charging=True)


class EnrolmentQuerySet(models.QuerySet["Enrolment"]):
    def active(self) -> EnrolmentQuerySet:
        """Keep enrolments whose consent stands."""
        return self.filter(status="active")
