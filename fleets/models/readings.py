"""What cars reported, and the provider's messages that carried it."""

from __future__ import annotations

from django.db import models

from fleets.partitions import NextValue


class Reading(models.Model):
    """One report of one car. Partitioned by day of `received_at`, never updated.

    No foreign key points here or from here: partitions are dropped whole.
    """

    pk = models.CompositePrimaryKey("id", "received_at")
    id = models.BigIntegerField(db_default=NextValue("fleets_reading_id_seq"))
    received_at = models.DateTimeField()
    vehicle_id = models.BigIntegerField()
    observed_at = models.DateTimeField()  # the car's own time
    is_plugged_in = models.BooleanField(null=True)
    is_charging = models.BooleanField(null=True)
    soc_percent = models.FloatField(null=True)
    limit_percent = models.FloatField(null=True)
    power_kw = models.FloatField(null=True)
    is_home = models.BooleanField(null=True)
    source = models.CharField(max_length=10)  # webhook | read

    class Meta:
        indexes = [
            # A car's readings in order: its page, and confirmation in retrospect.
            models.Index(fields=["vehicle_id", "-observed_at"], name="reading_of_car")
        ]

    def __str__(self) -> str:
        return f"vehicle {self.vehicle_id} at {self.observed_at:%Y-%m-%d %H:%M:%S}"


class WebhookDelivery(models.Model):
    """A message that the provider delivered: durable before it was answered.

    Not partitioned, so that `event_id` is unique over all; pruned by age.
    """

    event_id = models.CharField(max_length=100, unique=True)
    body = models.BinaryField()
    received_at = models.DateTimeField()
    processed_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=200, blank=True)

    class Meta:
        indexes = [
            # The intake's queue.
            models.Index(
                fields=["id"],
                condition=models.Q(processed_at=None),
                name="webhook_not_processed",
            ),
            # Pruning.
            models.Index(fields=["received_at"], name="webhook_by_age"),
        ]

    def __str__(self) -> str:
        return self.event_id
