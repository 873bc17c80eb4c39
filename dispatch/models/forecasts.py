"""What cars did each quarter hour, what was foretold of it, and how right that was."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from fleets.models import Feeder, Program

ONE_OF_BOTH = Q(program=None, feeder__isnull=False) | Q(
    program__isnull=False, feeder=None
)


class OfProgramOrFeeder(models.Model):
    """Belongs to one of both."""

    program = models.ForeignKey(
        Program, on_delete=models.CASCADE, null=True, related_name="+"
    )
    feeder = models.ForeignKey(
        Feeder, on_delete=models.CASCADE, null=True, related_name="+"
    )

    class Meta:
        abstract = True


class QuarterSample(OfProgramOrFeeder):
    """A program's or a feeder's enrolled cars as a quarter hour began."""

    at = models.DateTimeField()
    cars = models.PositiveIntegerField()
    # What follows is of these: state heard of, and not too long ago.
    known_cars = models.PositiveIntegerField()
    plugged_in = models.PositiveIntegerField()
    charging = models.PositiveIntegerField()
    load_kw = models.FloatField()
    sheddable_kw = models.FloatField()  # drawn at home by cars that can be held
    # A car is held, or charges what it was held for: the load is not what it would be.
    is_managed = models.BooleanField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["program", "at"], name="one_sample_of_a_program"
            ),
            models.UniqueConstraint(
                fields=["feeder", "at"], name="one_sample_of_a_feeder"
            ),
            models.CheckConstraint(
                condition=ONE_OF_BOTH,
                name="sample_of_one_thing",
            ),
        ]
        # Retention; all of one moment.
        indexes = [models.Index(fields=["at"], name="sample_by_age")]

    def __str__(self) -> str:
        return f"{self.program or self.feeder} at {self.at:%Y-%m-%d %H:%M}"


class Measure(models.TextChoices):
    PLUGGED_IN = "plugged_in"  # cars
    CHARGING = "charging"  # cars, if nobody is held
    LOAD = "load_kw"  # kW, if nobody is held: the unmanaged load
    SHEDDABLE = "sheddable_kw"  # kW of these that could be held


class Forecast(OfProgramOrFeeder):
    """A day ahead of one measure, as it was issued. The database refuses to change it.

    Each bound is a row of quarter hours that begins at `issued_at`; null where too
    little was known.
    """

    measure = models.CharField(max_length=12, choices=Measure.choices)
    issued_at = models.DateTimeField()
    cars = models.PositiveIntegerField()
    low_90 = ArrayField(models.FloatField(null=True))
    low_50 = ArrayField(models.FloatField(null=True))
    median = ArrayField(models.FloatField(null=True))
    high_50 = ArrayField(models.FloatField(null=True))
    high_90 = ArrayField(models.FloatField(null=True))

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["program", "measure", "issued_at"],
                name="one_forecast_of_a_program",
            ),
            models.UniqueConstraint(
                fields=["feeder", "measure", "issued_at"],
                name="one_forecast_of_a_feeder",
            ),
            models.CheckConstraint(
                condition=ONE_OF_BOTH,
                name="forecast_of_one_thing",
            ),
        ]
        # The newest; retention.
        indexes = [models.Index(fields=["issued_at"], name="forecast_by_age")]

    def __str__(self) -> str:
        about = self.program or self.feeder
        return f"{self.measure} of {about} from {self.issued_at:%Y-%m-%d %H:%M}"


class ForecastScore(models.Model):
    """What became of a forecast, over its quarter hours that were seen unmanaged."""

    forecast = models.OneToOneField(
        Forecast, on_delete=models.CASCADE, related_name="score"
    )
    scored_at = models.DateTimeField()
    quarters = models.PositiveSmallIntegerField()
    within_50 = models.PositiveSmallIntegerField()
    within_90 = models.PositiveSmallIntegerField()
    # Sums of mean pinball losses in the measure's unit, over the same quarter hours:
    # ours, and that of a forecast that says "as a week before".
    loss = models.FloatField()
    persistence_loss = models.FloatField()
    # Of them those that both could tell; the losses are of these.
    compared = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    within_50__lte=F("within_90"),
                    within_90__lte=F("quarters"),
                    compared__lte=F("quarters"),
                ),
                name="score_adds_up",
            )
        ]

    def __str__(self) -> str:
        return f"{self.within_90} of {self.quarters} within 90 %: {self.forecast}"
