"""Rows that keep every process in step: the clock, the buckets, the token."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from fleets.models.vehicles import Vehicle


class SystemClock(models.Model):
    """The one row behind `fleets.clock`; without it, time is the machine's."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    real = models.DateTimeField()
    simulated = models.DateTimeField()
    speed = models.FloatField(default=1.0)
    paused = models.BooleanField(default=False)

    class Meta:
        db_table = "fleets_clock"
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="one_clock"),
            models.CheckConstraint(condition=Q(speed__gt=0), name="clock_runs_forward"),
        ]

    def __str__(self) -> str:
        return "paused" if self.paused else f"{self.speed:g} x"


class Bucket(models.Model):
    """Calls that an application or a make has left (`application`, `make:TESLA`)."""

    name = models.CharField(max_length=60, primary_key=True)
    capacity = models.FloatField()
    refill_per_minute = models.FloatField()
    tokens = models.FloatField(default=0)  # a new bucket starts empty
    refilled_at = models.DateTimeField()
    blocked_until = models.DateTimeField(null=True)  # the provider's Retry-After

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(tokens__gte=0, tokens__lte=models.F("capacity")),
                name="bucket_never_overdrawn",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.tokens:.0f} of {self.capacity:.0f}"


class VehicleBucket(models.Model):
    """Calls that one car has left, in the short run and this month."""

    vehicle = models.OneToOneField(
        Vehicle, on_delete=models.CASCADE, primary_key=True, related_name="bucket"
    )
    tokens = models.FloatField(default=0)
    refilled_at = models.DateTimeField()
    blocked_until = models.DateTimeField(null=True)
    month = models.DateField()  # its first day
    calls_this_month = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(tokens__gte=0), name="vehicle_bucket_never_overdrawn"
            )
        ]

    def __str__(self) -> str:
        return f"vehicle {self.vehicle_id}: {self.tokens:.1f}"


class ProviderToken(models.Model):
    """The application token all processes share; its row lock makes renewal single."""

    provider = models.CharField(max_length=30, primary_key=True)
    sealed = models.BinaryField(default=b"")  # fleets.secrets.seal
    expires_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.provider
