"""Rows that keep senders apart and steps small."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce

from dispatch.querysets import EnvelopeQuerySet
from fleets.models import Feeder, Program, Vehicle


class Sender(models.Model):
    """A process that sends commands. Its lease is its heartbeat, in real time."""

    id = models.UUIDField(primary_key=True)
    host = models.CharField(max_length=100)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class Envelope(models.Model):
    """How big a step may be: for a program, a feeder, or (neither) for all together.

    Changed only by two people. kW and cars bound what is outstanding: held, or started
    and not shown by the car yet.
    """

    # Protected: a bound must not go because a feeder was deleted by one hand.
    program = models.OneToOneField(
        Program, on_delete=models.PROTECT, null=True, blank=True
    )
    feeder = models.OneToOneField(
        Feeder, on_delete=models.PROTECT, null=True, blank=True
    )
    max_kw = models.FloatField()
    max_cars = models.PositiveIntegerField()
    max_kw_per_minute = models.FloatField()
    # The same for giving back; null: as for holding.
    restoring_max_kw = models.FloatField(null=True, blank=True)
    restoring_max_cars = models.PositiveIntegerField(null=True, blank=True)
    restoring_max_kw_per_minute = models.FloatField(null=True, blank=True)
    # The one switch: no new holds while it is set; restores go on.
    holds_stopped_at = models.DateTimeField(null=True, blank=True)
    holds_stopped_by = models.CharField(max_length=150, blank=True)

    objects = EnvelopeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Coalesce("program", 0), Coalesce("feeder", 0), name="one_envelope_each"
            ),
            models.CheckConstraint(
                condition=Q(program=None) | Q(feeder=None),
                name="envelope_of_one_thing",
            ),
            models.CheckConstraint(
                condition=Q(max_kw__gt=0, max_cars__gt=0, max_kw_per_minute__gt=0),
                name="envelope_positive",
            ),
            # A null passes: it stands for the bound of holding.
            models.CheckConstraint(
                condition=Q(
                    restoring_max_kw__gt=0,
                    restoring_max_cars__gt=0,
                    restoring_max_kw_per_minute__gt=0,
                ),
                name="envelope_of_restoring_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"envelope of {self.of or 'everything'}"

    @property
    def of(self) -> Program | Feeder | None:
        """Return what it bounds; None: everything."""
        return self.program or self.feeder


class EnvelopeGauge(models.Model):
    """What counts against an envelope in one direction (`gauges.py`)."""

    envelope = models.ForeignKey(
        Envelope, on_delete=models.CASCADE, related_name="gauges"
    )
    is_restore = models.BooleanField()
    outstanding_kw = models.FloatField()
    outstanding_cars = models.PositiveIntegerField()
    counted_at = models.DateTimeField()  # real time
    # kW that left lately, by second: [[second since 1970, kW], ...]
    lately = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["envelope", "is_restore"], name="one_gauge_per_direction"
            )
        ]

    def __str__(self) -> str:
        return f"{self.outstanding_kw:.0f} kW of {self.envelope}"


class Poll(models.Model):
    """When a car whose webhooks are silent was asked, and is to be asked next."""

    vehicle = models.OneToOneField(
        Vehicle, on_delete=models.CASCADE, primary_key=True, related_name="poll"
    )
    due_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    expected_kw = models.FloatField()  # what an answer is worth: the most goes first
    asked_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            # The claim.
            models.Index(
                fields=["-expected_kw"],
                condition=Q(due_at__isnull=False),
                name="poll_in_order",
            )
        ]

    def __str__(self) -> str:
        return f"poll of vehicle {self.vehicle_id}"


class LoopTurn(models.Model):
    """The newest turn of the control loop: by it, people know that the engine runs."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    at = models.DateTimeField()
    real_at = models.DateTimeField()
    took_ms = models.FloatField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="one_loop_turn")]

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S}, {self.took_ms:.0f} ms"


class SecondPlace(models.Model):
    """What we know of the copy of all holds in the second place. Real time."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    kept_at = models.DateTimeField(null=True)  # the newest sheet
    kept_hold = models.BigIntegerField(default=0)  # the newest that it knows
    looked_at = models.DateTimeField(null=True)  # for somebody who gives back for us
    # False while somebody still does: nothing is decided or sent until that is learnt.
    may_act = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="one_second_place")
        ]

    def __str__(self) -> str:
        return f"up to hold {self.kept_hold} at {self.kept_at or 'no time'}"
