"""Grid signals, the events they become, and each car's part in them."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from oauth2_provider.models import AbstractApplication

from dispatch.lifecycle import (
    EVENT_MOVES,
    PARTICIPATION_MOVES,
    EventKind,
    EventStatus,
    ParticipationStatus,
)
from dispatch.querysets import GridEventQuerySet, ParticipationQuerySet
from fleets.models import CustomerGroup, Feeder, Program, Substation, User, Vehicle


class GridClient(AbstractApplication):  # type: ignore[misc]
    """A grid system that speaks to us by OAuth2 client credentials."""

    # Whoever registered it; nobody asks a user for the clients.
    user = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta(AbstractApplication.Meta):  # type: ignore[misc]
        swappable = "OAUTH2_PROVIDER_APPLICATION_MODEL"


class GridSignal(models.Model):
    """A message from the grid, verbatim as it came."""

    source = models.CharField(max_length=20)  # rest | openadr | operator
    client = models.ForeignKey(
        GridClient, on_delete=models.PROTECT, null=True, related_name="signals"
    )
    body = models.JSONField()
    received_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.source} {self.received_at:%Y-%m-%d %H:%M:%S}"


class GridEvent(models.Model):
    """Some hours in which load must come off the grid."""

    program = models.ForeignKey(
        Program, on_delete=models.PROTECT, related_name="events"
    )
    signal = models.ForeignKey(
        GridSignal, on_delete=models.PROTECT, null=True, related_name="events"
    )
    kind = models.CharField(
        max_length=10, choices=EventKind.choices, default=EventKind.ECONOMIC
    )
    status = models.CharField(
        max_length=20, choices=EventStatus.choices, default=EventStatus.SCHEDULED
    )
    priority = models.PositiveSmallIntegerField(default=0)  # 0 is the most urgent
    # Grows with every amendment: a tick or a send that looked before it looks again.
    version = models.PositiveIntegerField(default=1)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    target_kw = models.FloatField(null=True, blank=True)  # null: all that can be held
    # Aim: all empty means every car of the program.
    feeders = models.ManyToManyField(Feeder, related_name="events", blank=True)
    substations = models.ManyToManyField(Substation, related_name="events", blank=True)
    groups = models.ManyToManyField(CustomerGroup, related_name="events", blank=True)
    vehicles = models.ManyToManyField(Vehicle, related_name="aimed_events", blank=True)
    reason = models.CharField(max_length=200, blank=True)
    pending_reason = models.CharField(max_length=200, blank=True)
    # What a second person let it and those beside it take; null: nobody was asked.
    approved_kw = models.FloatField(null=True)
    approved_cars = models.PositiveIntegerField(null=True)
    approved_kw_per_minute = models.FloatField(null=True)
    # While it is given back: what the program's cars may draw together, who chose that
    # (empty: found by itself), and when it was chosen, or reckoned last.
    cap_kw = models.FloatField(null=True)
    cap_by = models.CharField(max_length=150, blank=True, db_default="")
    cap_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=150)  # user or client, for people
    started_at = models.DateTimeField(null=True)
    restoring_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)

    objects = GridEventQuerySet.as_manager()
    MOVES = EVENT_MOVES
    SUBJECT = "event"

    class Meta:
        permissions = [
            ("approve_gridevent", "Can approve an event larger than its envelope"),
            ("operate_gridevent", "Can run events and stop new holds"),
        ]
        indexes = [
            # Every tick: what runs or is about to.
            models.Index(
                fields=["starts_at"],
                condition=Q(status__in=["scheduled", "active", "restoring"]),
                name="event_alive",
            )
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="event_ends_after_start"
            ),
            models.CheckConstraint(
                condition=Q(target_kw=None) | Q(target_kw__gt=0),
                name="event_target_positive",
            ),
            models.CheckConstraint(
                condition=Q(cap_kw=None) | Q(cap_kw__gt=0),
                name="event_cap_positive",
            ),
            models.CheckConstraint(
                condition=Q(status__in=EventStatus.values), name="event_status_known"
            ),
        ]

    def __str__(self) -> str:
        return f"event {self.pk} of {self.program}"

    @property
    def is_running(self) -> bool:
        return self.status in {EventStatus.ACTIVE, EventStatus.RESTORING}


class Participation(models.Model):
    """One car in one event: claimed or spared, why, and what came of it."""

    event = models.ForeignKey(
        GridEvent, on_delete=models.CASCADE, related_name="participations"
    )
    vehicle = models.ForeignKey(
        Vehicle, on_delete=models.CASCADE, related_name="participations"
    )
    hold = models.ForeignKey(
        "dispatch.Hold",
        on_delete=models.SET_NULL,
        null=True,
        related_name="participations",
    )
    status = models.CharField(max_length=10, choices=ParticipationStatus.choices)
    reason = models.CharField(max_length=40)  # planner.Reason
    judged_at = models.DateTimeField()
    # When the customer opted out of this event: final, whatever the status.
    opted_out_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    objects = ParticipationQuerySet.as_manager()
    MOVES = PARTICIPATION_MOVES
    SUBJECT = "participation"

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["event", "vehicle"], name="one_participation_per_event_and_car"
            ),
            models.CheckConstraint(
                condition=Q(status__in=ParticipationStatus.values),
                name="participation_status_known",
            ),
        ]

    def __str__(self) -> str:
        return f"vehicle {self.vehicle_id} in event {self.event_id}: {self.status}"
