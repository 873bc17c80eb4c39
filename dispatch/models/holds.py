"""What each car is owed, and the commands that take and give."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from dispatch.lifecycle import (
    COMMAND_MOVES,
    HOLD_MOVES,
    OPEN_COMMAND,
    OPEN_HOLD,
    CommandKind,
    CommandStatus,
    HoldStatus,
)
from dispatch.models.events import GridEvent
from dispatch.models.running import Sender
from dispatch.querysets import CommandQuerySet, HoldQuerySet
from fleets.models import Tactic, Vehicle


class Hold(models.Model):
    """What one car is owed: its state from before the first event that took it."""

    vehicle = models.ForeignKey(Vehicle, on_delete=models.PROTECT, related_name="holds")
    event = models.ForeignKey(
        GridEvent, on_delete=models.PROTECT, related_name="holds"
    )  # the first; further ones claim it by their participations
    status = models.CharField(
        max_length=12, choices=HoldStatus.choices, default=HoldStatus.TAKING
    )
    tactic = models.CharField(max_length=10, choices=Tactic.choices)
    # Before us:
    was_charging = models.BooleanField()
    soc_percent = models.FloatField(null=True)
    limit_percent = models.FloatField(null=True)  # its own limit
    power_kw = models.FloatField()  # what it drew
    state_observed_at = models.DateTimeField()  # when that was read
    plugged_in_at = models.DateTimeField(null=True)
    # The limit that we hold it by; its own is written back only in place of this one.
    our_limit_percent = models.PositiveSmallIntegerField(null=True)
    # The last moment at which a start still has it ready by its departure.
    latest_start_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=40)  # why taken
    restore_reason = models.CharField(max_length=40, blank=True)  # why given back
    close_reason = models.CharField(max_length=40, blank=True)  # how it ended
    opened_at = models.DateTimeField()
    held_at = models.DateTimeField(null=True)
    restoring_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    # A stop of unknown outcome may land until then; nothing read before counts.
    owed_until = models.DateTimeField(null=True)
    # When the car left the plug-in in which it was held, and how much less it had then
    # than without us; null: it has not, or nobody can say.
    left_at = models.DateTimeField(null=True)
    short_kwh = models.FloatField(null=True)

    # Given back although a restore cap, or a ramp, had no room: what comes first did.
    over_cap = models.BooleanField(default=False, db_default=False)
    over_ramp = models.BooleanField(default=False, db_default=False)

    objects = HoldQuerySet.as_manager()
    MOVES = HOLD_MOVES
    SUBJECT = "hold"

    class Meta:
        indexes = [
            # Every tick: all that is owed.
            models.Index(
                fields=["id"],
                condition=Q(status__in=[str(status) for status in OPEN_HOLD]),
                name="hold_open",
            ),
            # Every tick: how often each car was held today.
            models.Index(fields=["opened_at"], name="hold_opened"),
        ]
        constraints = [
            # Promise 2: a car is owed once, whatever number of events claim it.
            models.UniqueConstraint(
                fields=["vehicle"],
                condition=Q(status__in=[str(status) for status in OPEN_HOLD]),
                name="one_open_hold_per_vehicle",
            ),
            models.CheckConstraint(
                condition=Q(status__in=HoldStatus.values), name="hold_status_known"
            ),
            models.CheckConstraint(
                condition=Q(power_kw__gte=0), name="hold_power_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(limit_percent=None)
                | Q(limit_percent__gte=0, limit_percent__lte=100),
                name="hold_limit_is_a_percentage",
            ),
            # A lowered limit can be set back: it is known, and ours is below it.
            models.CheckConstraint(
                condition=Q(tactic=Tactic.STOP, our_limit_percent=None)
                | Q(
                    tactic=Tactic.LIMIT,
                    our_limit_percent__isnull=False,
                    limit_percent__isnull=False,
                    our_limit_percent__gte=50,
                    limit_percent__gt=F("our_limit_percent"),
                ),
                name="hold_lowers_a_known_limit",
            ),
        ]

    def __str__(self) -> str:
        return f"hold {self.pk} of vehicle {self.vehicle_id}: {self.status}"


class Command(models.Model):
    """One thing that one car shall do, over all its attempts."""

    vehicle = models.ForeignKey(
        Vehicle, on_delete=models.PROTECT, related_name="commands"
    )
    hold = models.ForeignKey(Hold, on_delete=models.PROTECT, related_name="commands")
    # Its index would cost every move a write; what is queued is found by its own.
    event = models.ForeignKey(
        GridEvent, on_delete=models.PROTECT, related_name="commands", db_index=False
    )
    event_version = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=CommandKind.choices)
    percent = models.PositiveSmallIntegerField(null=True)  # of a set limit
    is_restore = models.BooleanField()  # outranks everything that takes
    status = models.CharField(
        max_length=10, choices=CommandStatus.choices, default=CommandStatus.QUEUED
    )
    attempt = models.PositiveSmallIntegerField(default=0)  # guards late outcomes
    ineffective = models.PositiveSmallIntegerField(default=0)  # ignored by the car
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    # Of the hold that a restore serves: least slack first.
    latest_start_at = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True)  # a restore never expires
    # No constraint: it would look the sender up at every move.
    sender = models.ForeignKey(
        Sender,
        on_delete=models.DO_NOTHING,
        null=True,
        related_name="commands",
        db_constraint=False,
        db_index=False,
    )
    sent_at = models.DateTimeField(null=True)  # begin of the last call
    answered_at = models.DateTimeField(null=True)  # end of the last call
    # True once any attempt may have reached the car.
    may_have_landed = models.BooleanField(default=False)
    read_due_at = models.DateTimeField(null=True)  # when to ask the car itself
    reads = models.PositiveSmallIntegerField(default=0)
    confirmed_at = models.DateTimeField(null=True)
    code = models.CharField(max_length=80, blank=True)  # the provider's last word
    request_id = models.CharField(max_length=80, blank=True)

    objects = CommandQuerySet.as_manager()
    MOVES = COMMAND_MOVES
    SUBJECT = "command"

    class Meta:
        indexes = [
            # The claim: restores by least slack, then stops that are due longest.
            models.Index(
                fields=["is_restore", "latest_start_at", "due_at", "id"],
                condition=Q(status="queued"),
                name="command_in_order",
            ),
            # Due reads of cars whose obedience is not proven.
            models.Index(
                fields=["read_due_at"],
                condition=Q(status__in=["unknown", "accepted"]),
                name="command_to_read",
            ),
            # What a dead sender held.
            models.Index(
                fields=["sender"],
                condition=Q(status="sending"),
                name="command_in_flight",
            ),
        ]
        constraints = [
            # Promise 5: one outstanding command per car.
            models.UniqueConstraint(
                fields=["vehicle"],
                condition=Q(status__in=[str(status) for status in OPEN_COMMAND]),
                name="one_open_command_per_vehicle",
            ),
            models.CheckConstraint(
                condition=Q(status__in=CommandStatus.values),
                name="command_status_known",
            ),
            models.CheckConstraint(
                condition=Q(kind="set limit", percent__gte=50, percent__lte=100)
                | (~Q(kind="set limit") & Q(percent=None)),
                name="command_limit_is_50_to_100",
            ),
            models.CheckConstraint(
                condition=Q(is_restore=True) | Q(deadline_at__isnull=False),
                name="command_that_takes_has_a_deadline",
            ),
        ]

    def __str__(self) -> str:
        return f"command {self.pk}: {self.kind} vehicle {self.vehicle_id}"
