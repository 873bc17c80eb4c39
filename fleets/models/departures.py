"""When cars left home: what they usually do is learnt from it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from fleets.models.vehicles import Vehicle


class Departure(models.Model):
    """A plug-in at home that ended. Kept for some weeks."""

    # Found by its constraint's index.
    vehicle = models.ForeignKey(
        Vehicle, on_delete=models.CASCADE, related_name="departures", db_index=False
    )
    plugged_in_at = models.DateTimeField()
    left_at = models.DateTimeField()  # unplugged, by the car's own time
    soc_percent = models.FloatField(null=True)  # with which it left
    # When it was asked whether the car was owed more than it left with.
    weighed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            # Every turn: who left and was not weighed yet.
            models.Index(
                fields=["id"],
                condition=Q(weighed_at=None),
                name="departure_not_weighed",
            ),
            # Pruning.
            models.Index(fields=["left_at"], name="departure_by_age"),
        ]
        constraints = [
            # What is recorded twice has happened once.
            models.UniqueConstraint(
                fields=["vehicle", "plugged_in_at"], name="one_departure_a_plug_in"
            )
        ]

    def __str__(self) -> str:
        return f"vehicle {self.vehicle_id} left at {self.left_at:%Y-%m-%d %H:%M}"
