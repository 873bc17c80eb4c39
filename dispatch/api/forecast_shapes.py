"""Forecasts and their scores, as the API tells them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from dispatch.api.fields import MomentField
from dispatch.forecast import quarters
from dispatch.models import Forecast, ForecastScore
from dispatch.models.forecasts import Measure


class ForecastScoreShape(serializers.ModelSerializer[ForecastScore]):
    """What became of a forecast, over quarter hours that were seen unmanaged."""

    scored_at = MomentField()
    loss = serializers.FloatField(
        help_text="Sum of pinball losses over the compared quarter hours."
    )
    persistence_loss = serializers.FloatField(
        help_text="The same of a forecast that says: as a week before."
    )

    class Meta:
        model = ForecastScore
        fields = (
            "scored_at", "quarters", "within_50", "within_90", "compared", "loss",
            "persistence_loss",
        )  # fmt: skip
        read_only_fields = fields


class BoundField(serializers.ListField):
    """One value for each quarter hour."""

    child = serializers.FloatField(
        allow_null=True, help_text="Null where too little was known."
    )


class ForecastShape(serializers.ModelSerializer[Forecast]):
    """A day ahead of one measure, in kW or cars, as it was issued."""

    program = serializers.CharField(source="program.code", allow_null=True)
    feeder = serializers.CharField(source="feeder.code", allow_null=True)
    measure = serializers.ChoiceField(choices=Measure.choices)
    issued_at = MomentField(help_text="When the first quarter hour begins.")
    step_seconds = serializers.SerializerMethodField()
    low_90 = BoundField()
    low_50 = BoundField()
    median = BoundField()
    high_50 = BoundField()
    high_90 = BoundField()
    score = serializers.SerializerMethodField()

    class Meta:
        model = Forecast
        fields = (
            "id", "program", "feeder", "measure", "issued_at", "step_seconds", "cars",
            "low_90", "low_50", "median", "high_50", "high_90", "score",
        )  # fmt: skip
        read_only_fields = fields

    def get_step_seconds(self, forecast: Forecast) -> int:
        return quarters.SECONDS

    @extend_schema_field(ForecastScoreShape(allow_null=True))
    def get_score(self, forecast: Forecast) -> dict[str, Any] | None:
        """Return the score; none before its day has passed."""
        if not hasattr(forecast, "score"):
            return None
        return dict(ForecastScoreShape(forecast.score).data)
