"""The record of what happened: history, samples, alarms, audit."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from dispatch.models.events import GridClient, GridEvent
from fleets.models import Vehicle
from fleets.partitions import NextValue


class Change(models.Model):
    """One step in the life of an event, a hold or a command.

    Partitioned by month of `at`; no foreign key, partitions are dropped whole.
    """

    pk = models.CompositePrimaryKey("id", "at")
    id = models.BigIntegerField(db_default=NextValue("dispatch_change_id_seq"))
    at = models.DateTimeField()
    subject = models.CharField(max_length=15)  # event | participation | hold | command
    subject_id = models.BigIntegerField()
    before = models.CharField(max_length=20, blank=True)
    after = models.CharField(max_length=20)
    reason = models.CharField(max_length=200, blank=True)

    class Meta:
        indexes = [
            # One thing's history in order.
            models.Index(fields=["subject", "subject_id", "at"], name="change_of_one")
        ]

    def __str__(self) -> str:
        return f"{self.subject} {self.subject_id}: {self.before} -> {self.after}"


class Response(models.Model):
    """What a car did of what its stops asked; older ones count for less."""

    vehicle = models.OneToOneField(
        Vehicle, on_delete=models.CASCADE, primary_key=True, related_name="response"
    )
    obeyed = models.FloatField(default=0.0)  # a reading showed it stopped
    missed = models.FloatField(default=0.0)  # a reading showed that it was not

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(obeyed__gte=0, missed__gte=0),
                name="response_counts_not_negative",
            )
        ]

    def __str__(self) -> str:
        return f"vehicle {self.vehicle_id}: {self.obeyed:.1f} of its stops obeyed"


class LoadSample(models.Model):
    """What an event looked like at one tick, in kW."""

    event = models.ForeignKey(
        GridEvent, on_delete=models.CASCADE, related_name="samples"
    )
    at = models.DateTimeField()
    charging_kw = models.FloatField()  # of the program's cars, as last read
    # Stopped kW, which is measured: what cars drew before their stops.
    confirmed_kw = models.FloatField()  # and a reading shows it
    unconfirmed_kw = models.FloatField()  # commanded, not shown yet
    blind_kw = models.FloatField()  # held, but nothing fresh is known of the car
    target_kw = models.FloatField(null=True)
    # Shed kW, which is an estimate: what the confirmed cars would be drawing by now,
    # with its 90 % interval.
    shed_kw = models.FloatField(null=True)
    shed_low_kw = models.FloatField(null=True)
    shed_high_kw = models.FloatField(null=True)
    cautions = ArrayField(
        models.CharField(max_length=100), default=list, db_default=[], blank=True
    )  # planner.Caution

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["event", "at"], name="one_sample_per_tick")
        ]

    def __str__(self) -> str:
        return f"event {self.event_id} at {self.at:%H:%M:%S}"


class Alarm(models.Model):
    """Something that a person must look at, until it is cleared."""

    class Severity(models.TextChoices):
        CRITICAL = "critical"  # a promise is at stake
        WARNING = "warning"  # will become one if nobody looks

    key = models.CharField(
        max_length=100
    )  # what it is about, e.g. "hold:17:unresolved"
    severity = models.CharField(max_length=10, choices=Severity.choices)
    text = models.CharField(max_length=300)
    event = models.ForeignKey(
        GridEvent, on_delete=models.CASCADE, null=True, related_name="alarms"
    )
    raised_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["key"],
                condition=Q(cleared_at=None),
                name="one_open_alarm_a_key",
            )
        ]

    def __str__(self) -> str:
        return self.text


class Catch(models.Model):
    """A car that plugged in while an event ran, and when it was judged."""

    # Found by its constraint's index.
    event = models.ForeignKey(
        GridEvent, on_delete=models.CASCADE, related_name="catches", db_index=False
    )
    vehicle = models.ForeignKey(
        Vehicle, on_delete=models.CASCADE, related_name="catches"
    )
    plugged_in_at = models.DateTimeField()  # by the car's own time
    judged_at = models.DateTimeField()
    was_read = models.BooleanField()  # we asked; it did not come by itself

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["event", "vehicle", "plugged_in_at"],
                name="one_catch_a_plug_in",
            )
        ]

    def __str__(self) -> str:
        return f"vehicle {self.vehicle_id} in event {self.event_id}"


class Tally(models.Model):
    """How often something has happened, by make, and what it came to (`tallies.py`)."""

    name = models.CharField(max_length=20)
    make = models.CharField(max_length=40)
    bound = models.FloatField()  # of a histogram's class; 0: it has none
    number = models.BigIntegerField()
    total = models.FloatField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["name", "make", "bound"], name="one_tally_of_a_kind"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.make}: {self.number}"


class AuditEntry(models.Model):
    """An act that moves load or changes who may: who, when, what, why."""

    at = models.DateTimeField()
    actor = models.CharField(max_length=150)
    act = models.CharField(max_length=50)
    subject = models.CharField(max_length=50)
    why = models.CharField(max_length=200, blank=True)
    detail = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"{self.actor}: {self.act} {self.subject}"


class IdempotencyKey(models.Model):
    """A request that was answered, so that its repetition gets the same answer."""

    client = models.ForeignKey(GridClient, on_delete=models.CASCADE)
    key = models.CharField(max_length=200)
    body_hash = models.CharField(max_length=64)  # SHA-256 of the canonical body
    status = models.PositiveSmallIntegerField()
    response = models.JSONField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["client", "key"], name="one_answer_per_client_and_key"
            )
        ]

    def __str__(self) -> str:
        return self.key
