"""Areas in which nobody is held, whatever an event wants."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from dispatch.lifecycle import AreaKind
from fleets.models import Feeder, Program


class AreaHoldOff(models.Model):
    """While it lasts, no car of the area is held, and open holds are given back.

    Lifting sets its end. Rows stay: after an outage, what was held through it is
    recognised by its end.
    """

    kind = models.CharField(max_length=12, choices=AreaKind.choices)
    # Null: of all programs.
    program = models.ForeignKey(
        Program, on_delete=models.PROTECT, null=True, related_name="area_hold_offs"
    )
    # Said in a column of its own: an empty list of feeders must not become everywhere
    # because a feeder was taken out of service.
    is_everywhere = models.BooleanField()
    feeders = models.ManyToManyField(Feeder, related_name="area_hold_offs")
    reason = models.CharField(max_length=200)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)  # null: until somebody lifts it
    declared_at = models.DateTimeField()
    declared_by = models.CharField(max_length=150)  # user or client
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.CharField(max_length=150, blank=True)

    class Meta:
        indexes = [
            # Every turn and claim: what lasts, or has ended lately.
            models.Index(fields=["ends_at"], name="area_hold_off_end")
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=AreaKind.values), name="area_hold_off_kind_known"
            ),
            # Equal when it is lifted before it began.
            models.CheckConstraint(
                condition=Q(ends_at=None) | Q(ends_at__gte=F("starts_at")),
                name="area_hold_off_ends_after_start",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
