"""What a program promised about its events, and the windows that make events."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from dispatch.event_policy import DaysOff, Rules
from dispatch.lifecycle import EventKind
from dispatch.models.events import GridEvent
from fleets.models import CustomerGroup, Feeder, Program, Substation

MONTH = [MinValueValidator(1), MaxValueValidator(12)]
HOURS = [MinValueValidator(0.0), MaxValueValidator(366 * 24.0)]


class EventPolicy(models.Model):
    """The rules for events of one kind in one program; without a row there are none."""

    program = models.ForeignKey(
        Program, on_delete=models.CASCADE, related_name="event_policies"
    )
    kind = models.CharField(max_length=10, choices=EventKind.choices)
    notice_hours = models.FloatField(
        validators=HOURS, help_text="From writing the event to its start."
    )
    season_from_month = models.PositiveSmallIntegerField(validators=MONTH)
    season_to_month = models.PositiveSmallIntegerField(
        validators=MONTH, help_text="Included; 11 to 3 is a winter."
    )
    on_weekends = models.BooleanField()
    on_holidays = models.BooleanField()
    in_blackouts = models.BooleanField(
        help_text="Also on days off that are blackouts, not holidays."
    )
    max_events_per_day = models.PositiveSmallIntegerField(null=True, blank=True)
    max_days_per_season = models.PositiveSmallIntegerField(null=True, blank=True)
    max_consecutive_days = models.PositiveSmallIntegerField(null=True, blank=True)
    max_hours_per_season = models.FloatField(null=True, blank=True, validators=HOURS)
    max_hours_per_year = models.FloatField(null=True, blank=True, validators=HOURS)
    restore_hours = models.FloatField(
        validators=HOURS,
        help_text="What giving back is reckoned to take; it counts in the hours. Once "
        "an event is completed, what it took counts.",
    )
    min_participants = models.PositiveIntegerField(
        help_text="Enrolled cars that an event must aim at."
    )

    class Meta:
        verbose_name_plural = "event policies"
        constraints = [
            models.UniqueConstraint(
                fields=["program", "kind"], name="one_event_policy_per_program_and_kind"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=EventKind.values), name="event_policy_kind_known"
            ),
            models.CheckConstraint(
                condition=Q(
                    season_from_month__gte=1, season_from_month__lte=12,
                    season_to_month__gte=1, season_to_month__lte=12,
                ),
                name="event_policy_season_in_months",
            ),
            models.CheckConstraint(
                condition=Q(notice_hours__gte=0, restore_hours__gte=0)
                & (Q(max_hours_per_season=None) | Q(max_hours_per_season__gte=0))
                & (Q(max_hours_per_year=None) | Q(max_hours_per_year__gte=0)),
                name="event_policy_hours_not_negative",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.kind} events of {self.program}"

    @property
    def rules(self) -> Rules:
        """Return them for the judge."""
        return Rules(
            notice=timedelta(hours=self.notice_hours),
            season_from_month=self.season_from_month,
            season_to_month=self.season_to_month,
            on_weekends=self.on_weekends,
            on_holidays=self.on_holidays,
            in_blackouts=self.in_blackouts,
            max_events_per_day=self.max_events_per_day,
            max_days_per_season=self.max_days_per_season,
            max_consecutive_days=self.max_consecutive_days,
            max_hours_per_season=self.max_hours_per_season,
            max_hours_per_year=self.max_hours_per_year,
            restore_time=timedelta(hours=self.restore_hours),
            min_participants=self.min_participants,
        )


class DayOff(models.Model):
    """A holiday or a blackout: whether an event minds it is its kind's policy."""

    class Sort(models.TextChoices):
        HOLIDAY = "holiday"  # customers celebrate
        BLACKOUT = "blackout"  # nobody is to be held, for whatever reason

    # Null: of all programs.
    program = models.ForeignKey(
        Program, on_delete=models.CASCADE, null=True, blank=True,
        related_name="days_off", help_text="Empty: of all programs.",
    )  # fmt: skip
    sort = models.CharField(max_length=10, choices=Sort.choices)
    name = models.CharField(max_length=100)
    first_on = models.DateField()
    last_on = models.DateField()

    class Meta:
        verbose_name_plural = "days off"
        constraints = [
            models.CheckConstraint(
                condition=Q(last_on__gte=F("first_on")),
                name="day_off_ends_after_start",
                violation_error_message="It would end before it begins.",
            ),
            models.CheckConstraint(
                condition=Q(sort__in=["holiday", "blackout"]), name="day_off_sort_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def days(self) -> DaysOff:
        """Return them for the judge."""
        return DaysOff(
            self.name, self.first_on, self.last_on, self.sort == self.Sort.HOLIDAY
        )


class RecurringWindow(models.Model):
    """A window that comes again on some weekdays; each time it makes an event.

    What is changed here concerns events that are not made yet.
    """

    program = models.ForeignKey(
        Program, on_delete=models.PROTECT, related_name="recurring_windows"
    )
    name = models.CharField(max_length=100)
    kind = models.CharField(
        max_length=10, choices=EventKind.choices, default=EventKind.ECONOMIC
    )
    # Monday is 0.
    weekdays = ArrayField(
        models.PositiveSmallIntegerField(validators=[MaxValueValidator(6)]),
        help_text="0 is Monday, 6 is Sunday: 0,1,2,3,4 are workdays.",
    )
    starts_at = models.TimeField(help_text="By the clock of the program's time zone.")
    # A length and no end by the clock, which on two nights a year would lie before the
    # start or make the window longer than the program allows.
    hours = models.FloatField(
        validators=[MinValueValidator(0.25), MaxValueValidator(24.0)]
    )
    first_on = models.DateField()
    last_on = models.DateField(null=True, blank=True)
    is_paused = models.BooleanField(default=False)
    target_kw = models.FloatField(
        null=True, blank=True, help_text="Empty: all that can be held."
    )
    feeders = models.ManyToManyField(Feeder, related_name="+", blank=True)
    substations = models.ManyToManyField(Substation, related_name="+", blank=True)
    groups = models.ManyToManyField(CustomerGroup, related_name="+", blank=True)
    priority = models.PositiveSmallIntegerField(default=0)
    # Whoever saved it last wrote its events, and approves none of them.
    written_by = models.CharField(max_length=150, editable=False)
    written_at = models.DateTimeField(editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(hours__gt=0)
                & (Q(target_kw=None) | Q(target_kw__gt=0))
                & (Q(last_on=None) | Q(last_on__gte=F("first_on"))),
                name="recurring_window_makes_sense",
                violation_error_message="Hours and target must be above 0, and the "
                "last day must not lie before the first.",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=EventKind.values),
                name="recurring_window_kind_known",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a window that never comes."""
        if not self.weekdays:
            raise ValidationError({"weekdays": "Name at least one weekday."})


class Occurrence(models.Model):
    """One day of a recurring window: the event that it made, or why there is none."""

    window = models.ForeignKey(
        RecurringWindow, on_delete=models.PROTECT, related_name="occurrences"
    )
    on = models.DateField()
    event = models.OneToOneField(
        GridEvent, on_delete=models.PROTECT, null=True, related_name="occurrence"
    )
    skipped = models.TextField(blank=True)  # all reasons, in words
    decided_at = models.DateTimeField()

    class Meta:
        constraints = [
            # Whatever wakes twice, a day is decided once.
            models.UniqueConstraint(
                fields=["window", "on"], name="one_occurrence_per_window_and_day"
            ),
            models.CheckConstraint(
                condition=Q(event__isnull=False, skipped="")
                | (Q(event=None) & ~Q(skipped="")),
                name="occurrence_made_or_explained",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.window} on {self.on}"
