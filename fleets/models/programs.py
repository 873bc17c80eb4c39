"""Programs, and the consent by which one car takes part in one of them."""

from __future__ import annotations

from datetime import time
from zoneinfo import ZoneInfo, available_timezones

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from fleets import habits
from fleets.models.vehicles import Vehicle
from fleets.querysets import EnrolmentQuerySet


def check_time_zone(name: str) -> None:
    """Raise ValidationError unless the name is one of the IANA database."""
    if name not in available_timezones():
        raise ValidationError(f"{name} is no time zone, such as Europe/Oslo is.")


class Tactic(models.TextChoices):
    STOP = "stop"  # stop charging, start it again
    LIMIT = "limit"  # lower the charge limit, set it back


class RestoreStyle(models.TextChoices):
    EVENT_ONLY = "event only"  # back within the program's hours
    OVERNIGHT = "overnight managed"  # back by the departure, with a consent of its own


class Program(models.Model):
    """What a utility offers its customers, with its rules."""

    code = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    time_zone = models.CharField(
        max_length=50, default="UTC", validators=[check_time_zone]
    )
    tactic = models.CharField(
        max_length=10, choices=Tactic.choices, default=Tactic.STOP
    )
    # Where a customer set no own preference:
    ready_by = models.TimeField(default=time(7, 0))
    # Of departures that are learnt: the share that may come before a car is ready.
    departure_quantile = models.FloatField(default=0.1, db_default=0.1)
    minimum_charge_percent = models.FloatField(default=30.0)
    # Restores: charging kW of the program's cars that they may add up to (null: the
    # lowest that gives all back in time), and how fast they may come.
    restore_cap_kw = models.FloatField(null=True, blank=True)
    restore_ramp_kw_per_minute = models.FloatField(default=50.0)
    restore_style = models.CharField(
        max_length=20,
        choices=RestoreStyle.choices,
        default=RestoreStyle.EVENT_ONLY,
        db_default=RestoreStyle.EVENT_ONLY,
    )
    # From an event's end until what it took is charged again; of a car that consented
    # to be managed overnight, its departure alone counts.
    restore_within_hours = models.FloatField(default=4.0, db_default=4.0)
    # After an outage everything starts by itself when the power is back (cold-load
    # pickup), so what we held through it comes later and slower than otherwise.
    pick_up_ramp_kw_per_minute = models.FloatField(default=20.0)
    # Each hold is one stop and one start, which wears relays and patience.
    max_holds_per_day = models.PositiveSmallIntegerField(default=2)
    max_event_hours = models.FloatField(default=4.0)
    # How targets are met (dispatch/planner.md).
    target_confidence_percent = models.FloatField(
        default=90.0, db_default=90.0,
        help_text="How sure a target is to be met by the cars that are asked.",
    )  # fmt: skip
    maker_outage_percent = models.FloatField(
        default=1.0, db_default=1.0,
        help_text="How likely a maker's cloud is down when its cars are asked.",
    )  # fmt: skip
    dead_band_percent = models.FloatField(
        default=1.0, db_default=1.0,
        help_text="Of the target: a smaller gap is not filled.",
    )  # fmt: skip
    let_go_above_percent = models.FloatField(
        default=3.0, db_default=3.0,
        help_text="Of the target: with more than this above it, cars are given back.",
    )  # fmt: skip
    slack_weight = models.FloatField(
        default=1.0, db_default=1.0,
        help_text="Who is asked first: points for each hour that a car can wait.",
    )  # fmt: skip
    kw_weight = models.FloatField(
        default=0.1, db_default=0.1,
        help_text="Who is asked first: points for each kW that a call brings.",
    )  # fmt: skip
    rotation_weight = models.FloatField(
        default=0.25, db_default=0.25,
        help_text="Who is asked first: points off for each hour in events this week.",
    )  # fmt: skip

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    minimum_charge_percent__gte=0, minimum_charge_percent__lte=100
                ),
                name="program_minimum_is_a_percentage",
            ),
            # Beyond the middle, most cars would be late.
            models.CheckConstraint(
                condition=Q(departure_quantile__gt=0, departure_quantile__lte=0.5),
                name="program_departure_quantile_is_low",
            ),
            models.CheckConstraint(
                condition=(Q(restore_cap_kw=None) | Q(restore_cap_kw__gt=0))
                & Q(
                    restore_ramp_kw_per_minute__gt=0,
                    pick_up_ramp_kw_per_minute__gt=0,
                    max_event_hours__gt=0,
                ),
                name="program_restore_rules_positive",
            ),
            # By itself: a form validates a check only if it shows all of its fields.
            models.CheckConstraint(
                condition=Q(restore_within_hours__gt=0),
                name="program_restore_takes_some_time",
            ),
            models.CheckConstraint(
                condition=Q(
                    target_confidence_percent__gt=0,
                    target_confidence_percent__lt=100,
                    maker_outage_percent__gte=0,
                    maker_outage_percent__lte=100,
                    dead_band_percent__gte=0,
                    dead_band_percent__lt=100,
                    let_go_above_percent__gt=0,
                    slack_weight__gte=0,
                    kw_weight__gte=0,
                    rotation_weight__gte=0,
                ),
                name="program_tracking_rules_possible",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> ZoneInfo:
        """Return the clock that its days and times of day are told by."""
        return ZoneInfo(self.time_zone)


class EnrolmentStatus(models.TextChoices):
    ACTIVE = "active"  # the car may be held
    WITHDRAWN = "withdrawn"  # the customer took the consent back


class Enrolment(models.Model):
    """One car in one program: the recorded consent and the customer's preferences."""

    vehicle = models.ForeignKey(
        Vehicle, on_delete=models.CASCADE, related_name="enrolments"
    )
    program = models.ForeignKey(
        Program, on_delete=models.PROTECT, related_name="enrolments"
    )
    status = models.CharField(
        max_length=10, choices=EnrolmentStatus.choices, default=EnrolmentStatus.ACTIVE
    )
    consented_at = models.DateTimeField()
    consent_wording = models.CharField(max_length=50)  # version of the text agreed to
    consent_source = models.CharField(max_length=50)  # where it was given
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    # To be charged at any time before its departure: a consent of its own.
    overnight_consented_at = models.DateTimeField(null=True, blank=True)
    overnight_consent_wording = models.CharField(
        max_length=50, blank=True, db_default=""
    )
    # Seven times of day, Monday first; null means what was learnt, else the program's.
    ready_by = ArrayField(
        models.TimeField(null=True, blank=True), size=7, default=list, blank=True
    )
    # For each block of the week (habits.py), in slots; null: never left home.
    learnt_departures = ArrayField(models.SmallIntegerField(), null=True, blank=True)
    learnt_at = models.DateTimeField(null=True, blank=True)
    minimum_charge_percent = models.FloatField(null=True, blank=True)

    objects = EnrolmentQuerySet.as_manager()

    class Meta:
        constraints = [
            # A car answers to one program at a time, so two can never both hold it.
            models.UniqueConstraint(
                fields=["vehicle"],
                condition=Q(status=EnrolmentStatus.ACTIVE),
                name="one_active_enrolment_per_vehicle",
            ),
            models.CheckConstraint(
                condition=Q(minimum_charge_percent=None)
                | Q(minimum_charge_percent__gte=0, minimum_charge_percent__lte=100),
                name="enrolment_minimum_is_a_percentage",
            ),
            models.CheckConstraint(
                condition=Q(status=EnrolmentStatus.ACTIVE, withdrawn_at=None)
                | Q(status=EnrolmentStatus.WITHDRAWN, withdrawn_at__isnull=False),
                name="enrolment_withdrawal_has_its_time",
            ),
            models.CheckConstraint(
                condition=Q(overnight_consented_at=None, overnight_consent_wording="")
                | (
                    Q(overnight_consented_at__isnull=False)
                    & ~Q(overnight_consent_wording="")
                ),
                name="enrolment_overnight_consent_is_whole",
            ),
            models.CheckConstraint(
                condition=Q(ready_by__len=0) | Q(ready_by__len=7),
                name="enrolment_ready_by_is_a_week",
            ),
            models.CheckConstraint(
                condition=Q(learnt_departures__len=habits.DAYS * habits.BLOCKS),
                name="enrolment_learnt_departures_are_a_week",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.vehicle} in {self.program}"
