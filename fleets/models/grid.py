"""The part of the grid that a home hangs on."""

from __future__ import annotations

from django.db import models


class Substation(models.Model):
    code = models.SlugField(unique=True)
    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Feeder(models.Model):
    """A line out of a substation; events may be aimed at it."""

    substation = models.ForeignKey(
        Substation, on_delete=models.PROTECT, related_name="feeders"
    )
    code = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    capacity_kw = models.FloatField(null=True, blank=True)
    # Restores: charging kW that enrolled cars on it may add up to, and how fast they
    # may come, whatever their program (null: no bound of its own).
    restore_cap_kw = models.FloatField(null=True, blank=True)
    restore_ramp_kw_per_minute = models.FloatField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(capacity_kw__gt=0), name="feeder_capacity_positive"
            ),
            # A null passes: no bound.
            models.CheckConstraint(
                condition=models.Q(
                    restore_cap_kw__gt=0, restore_ramp_kw_per_minute__gt=0
                ),
                name="feeder_restore_bounds_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.name}"
