"""Proposals to move an envelope's bounds: one person writes, another one agrees."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from dispatch.lifecycle import ENVELOPE_CHANGE_MOVES, EnvelopeChangeStatus
from dispatch.models.running import Envelope
from dispatch.querysets import EnvelopeChangeQuerySet
from fleets.models import User


class EnvelopeChange(models.Model):
    """New bounds of one envelope, and who wanted and allowed them."""

    envelope = models.ForeignKey(
        Envelope, on_delete=models.PROTECT, related_name="changes"
    )
    status = models.CharField(
        max_length=10,
        choices=EnvelopeChangeStatus.choices,
        default=EnvelopeChangeStatus.PROPOSED,
    )
    # All bounds by name, as they were seen and as they are to be.
    before = models.JSONField()
    after = models.JSONField()
    why = models.CharField(max_length=200)
    # People, not names: who is renamed stays the same hand.
    proposed_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField()
    decided_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True)
    decision = models.CharField(max_length=200, blank=True)  # why so

    objects = EnvelopeChangeQuerySet.as_manager()
    MOVES = ENVELOPE_CHANGE_MOVES
    SUBJECT = "envelope change"

    class Meta:
        permissions = [
            ("propose_envelopechange", "Can propose other bounds of an envelope"),
            ("approve_envelopechange", "Can approve what somebody else proposed"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=EnvelopeChangeStatus.values),
                name="envelope_change_status_known",
            ),
            # Two people, whatever the code above believes.
            models.CheckConstraint(
                condition=~Q(status=EnvelopeChangeStatus.APPROVED)
                | (Q(decided_by__isnull=False) & ~Q(decided_by=F("proposed_by"))),
                name="envelope_change_by_two_people",
            ),
        ]

    def __str__(self) -> str:
        return f"change {self.pk} of the {self.envelope}: {self.status}"
