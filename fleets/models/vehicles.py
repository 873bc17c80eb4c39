"""A car: what it can do, and what is known of it now."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from fleets.models.grid import Feeder
from fleets.models.people import ProviderAccount
from fleets.querysets import VehicleQuerySet


class Vehicle(models.Model):
    """A customer's car, its abilities, and its last known state with its age."""

    account = models.ForeignKey(
        ProviderAccount, on_delete=models.PROTECT, related_name="vehicles"
    )
    external_id = models.CharField(max_length=100, unique=True)
    make = models.CharField(max_length=40)
    model = models.CharField(max_length=60, blank=True)
    year = models.PositiveSmallIntegerField(null=True, blank=True)
    region = models.CharField(max_length=10, default="US")
    feeder = models.ForeignKey(
        Feeder, on_delete=models.PROTECT, related_name="vehicles", null=True, blank=True
    )  # of the enrolled home
    battery_kwh = models.FloatField(default=60.0)
    usual_power_kw = models.FloatField(default=7.0)  # what it draws when it charges

    # Abilities, by make, model and region (providers/makes.py).
    can_stop = models.BooleanField(default=True)
    can_start = models.BooleanField(default=True)
    can_set_limit = models.BooleanField(default=True)
    commands_from_soc_percent = models.FloatField(default=0)  # GM: stop only above 50 %

    # Last known state. One reading fills all of it; `observed_at` is the car's own
    # time and guards against readings that arrive out of order.
    is_plugged_in = models.BooleanField(null=True)
    is_charging = models.BooleanField(null=True)
    soc_percent = models.FloatField(null=True)
    limit_percent = models.FloatField(null=True)
    limit_observed_at = models.DateTimeField(null=True)  # of the report that told it
    power_kw = models.FloatField(null=True)
    plugged_in_at = models.DateTimeField(null=True)  # start of the present plug-in
    # Yes or no since this plug-in; null is unknown. The track is never stored.
    is_home = models.BooleanField(null=True)
    observed_at = models.DateTimeField(null=True)
    received_at = models.DateTimeField(null=True)
    webhook_at = models.DateTimeField(null=True)  # the newest that came by itself

    objects = VehicleQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(soc_percent__gte=0, soc_percent__lte=100),
                name="vehicle_soc_is_a_percentage",
            ),
            models.CheckConstraint(
                condition=Q(limit_percent__gte=0, limit_percent__lte=100),
                name="vehicle_limit_is_a_percentage",
            ),
            models.CheckConstraint(
                condition=Q(battery_kwh__gt=0, usual_power_kw__gt=0),
                name="vehicle_battery_and_power_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.make.title()} {self.model} {self.external_id[-6:]}"
