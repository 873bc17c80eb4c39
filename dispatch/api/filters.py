"""Which events a list shows, and its pages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination

from dispatch.api.fields import RFC_3339
from dispatch.lifecycle import EventStatus
from dispatch.models import Forecast, GridEvent
from dispatch.models.forecasts import Measure


class MomentFormField(forms.CharField):
    def clean(self, value: Any) -> datetime | None:
        """Return the moment in UTC, or None when nothing was asked."""
        text = super().clean(value)
        if not text:
            return None
        # A + in a query string arrives as a space unless it is escaped.
        text = text.replace(" ", "+").upper()
        try:
            moment = datetime.fromisoformat(text) if RFC_3339.fullmatch(text) else None
            if moment is not None and moment.tzinfo is not None:
                return moment.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        raise DjangoValidationError(
            "Must be a moment with its offset, such as 2026-01-12T17:00:00Z.",
            code="invalid",
        )


class MomentFilter(django_filters.IsoDateTimeFilter):  # type: ignore[misc]
    field_class = MomentFormField


class EventFilter(django_filters.FilterSet):  # type: ignore[misc]
    status = django_filters.ChoiceFilter(choices=EventStatus.choices)
    program = django_filters.CharFilter("program__code", help_text="Its code.")
    starts_after = MomentFilter("starts_at", "gte", help_text="At or after it.")
    starts_before = MomentFilter("starts_at", "lt", help_text="Before it.")

    class Meta:
        model = GridEvent
        fields = ("status", "program", "starts_after", "starts_before")


class ForecastFilter(django_filters.FilterSet):  # type: ignore[misc]
    program = django_filters.CharFilter("program__code", help_text="Its code.")
    feeder = django_filters.CharFilter("feeder__code", help_text="Its code.")
    measure = django_filters.ChoiceFilter(choices=Measure.choices)
    issued_after = MomentFilter("issued_at", "gte", help_text="At or after it.")
    issued_before = MomentFilter("issued_at", "lt", help_text="Before it.")

    class Meta:
        model = Forecast
        fields = ("program", "feeder", "measure", "issued_after", "issued_before")


class CheckedCursorPages(CursorPagination):
    """Pages that stay right while rows are added."""

    def paginate_queryset(self, *args: Any, **kwargs: Any) -> Any:
        """Return a page; a cursor that we never gave is a bad request."""
        try:
            return super().paginate_queryset(*args, **kwargs)
        except (NotFound, DjangoValidationError, ValueError, OverflowError):
            raise ValidationError(
                {"cursor": "Use a cursor as it was given in next or previous."}
            ) from None


class EventPages(CheckedCursorPages):
    """Newest start first."""

    page_size = 50
    ordering = ("-starts_at", "-id")


class ForecastPages(CheckedCursorPages):
    """Newest first. Each is 96 quarter hours, so a page has few."""

    page_size = 8
    ordering = ("-issued_at", "-id")
