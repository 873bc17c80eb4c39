"""Input fields that guess nothing: no text as number, no time without its zone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)?"
)
LARGEST_ID = 2**63 - 1


@extend_schema_field(OpenApiTypes.DATETIME)
class MomentField(serializers.Field[datetime, str, str, Any]):
    """A moment with its offset, such as 2026-01-12T17:00:00+01:00; kept in UTC."""

    default_error_messages = {
        "invalid": "{name} must be a moment such as 2026-01-12T17:00:00Z.",
        "naive": "{name} has no offset from UTC: add Z or one such as +01:00.",
    }

    def to_internal_value(self, data: object) -> datetime:
        """Return the moment in UTC."""
        if not isinstance(data, str) or not RFC_3339.fullmatch(data):
            self.fail("invalid", name=self.field_name)
        try:
            moment = parse_datetime(data.upper())
            if moment is not None and moment.tzinfo is None:
                self.fail("naive", name=self.field_name)
            if moment is not None:
                return moment.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        self.fail("invalid", name=self.field_name)

    def to_representation(self, value: datetime) -> str:
        """Return it in UTC, ending in Z."""
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


@extend_schema_field(
    {
        "type": "number",
        "format": "double",
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 10_000_000,
        "nullable": True,
    }
)
class KilowattField(serializers.Field[float, float, float, Any]):
    """A bare number of kilowatts; whoever sends a unit is told which is expected."""

    default_error_messages = {
        "invalid": "{name} must be a bare number in kW, such as 5000 for 5 MW, "
        "without a unit and without quotes."
    }

    def to_internal_value(self, data: object) -> float:
        """Return the number."""
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid", name=self.field_name)
        try:
            return float(data)
        except OverflowError:
            self.fail("invalid", name=self.field_name)

    def to_representation(self, value: float) -> float:
        """Return it as it is."""
        return value


class WholeField(serializers.IntegerField):
    """A whole number that was sent as one."""

    def to_internal_value(self, data: Any) -> int:
        """Return the number; refuse texts, fractions, true and false."""
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return super().to_internal_value(data)


class TextField(serializers.CharField):
    """A text that was sent as one."""

    def to_internal_value(self, data: Any) -> str:
        """Return the text; refuse numbers."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it does not know: a misspelt one would go unnoticed."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the values, or say which names nobody knows."""
        if isinstance(data, Mapping):
            errors: dict[str, Any] = {}
            for name in sorted(set(data) - set(self.fields)):
                near = get_close_matches(name, self.fields, n=1)
                hint = f"; did you mean {near[0]}?" if near else "."
                errors[name] = ErrorDetail(
                    f"The field {name} is not known{hint}", code="unknown_field"
                )
            if errors:
                try:
                    super().to_internal_value(data)
                except serializers.ValidationError as error:
                    errors = {**error.detail, **errors}  # type: ignore[dict-item]
                raise serializers.ValidationError(errors)
        return super().to_internal_value(data)
