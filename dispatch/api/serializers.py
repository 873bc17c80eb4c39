"""The shapes that go in and out of the REST interface."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from dispatch.api.fields import (
    LARGEST_ID,
    KilowattField,
    MomentField,
    StrictSerializer,
    TextField,
    WholeField,
)
from dispatch.event_rules import listed
from dispatch.lifecycle import (
    AreaKind,
    EventKind,
    EventStatus,
    HoldStatus,
    ParticipationStatus,
)
from dispatch.models import AreaHoldOff, GridEvent
from fleets.models import CustomerGroup, Feeder, Program, Substation, Vehicle

MOST_FEEDERS = 1_000
MOST_VEHICLES = 100_000
LOWEST_PRIORITY = 32_767  # what the column holds


def codes_field(help_text: str) -> serializers.ListField:
    """Return a field for codes of what events are aimed at."""
    return serializers.ListField(
        child=TextField(), required=False, max_length=MOST_FEEDERS, help_text=help_text
    )


class Place(StrictSerializer):
    """Feeders and substations by their codes."""

    feeders = codes_field("Codes of feeders.")
    substations = codes_field("Codes of substations: all feeders that they have now.")

    def validate_feeders(self, codes: list[str]) -> list[Feeder]:
        """Return the feeders, each as often as it was named."""
        known = {row.code: row for row in Feeder.objects.filter(code__in=codes)}
        return _all("feeders", codes, known)

    def validate_substations(self, codes: list[str]) -> list[Substation]:
        """Return the substations, each as often as it was named."""
        known = {row.code: row for row in Substation.objects.filter(code__in=codes)}
        return _all("substations", codes, known)


class EventChanges(Place):
    """What of an event may change later; also the common part of a new one."""

    priority = WholeField(
        min_value=0,
        max_value=LOWEST_PRIORITY,
        required=False,
        help_text="0 is the most urgent; decides when events overlap.",
    )
    starts_at = MomentField(required=False)
    ends_at = MomentField(required=False)
    target_kw = KilowattField(
        required=False,
        allow_null=True,
        help_text="Load to take off, in kW; null: all that can be held.",
    )
    feeders = codes_field(
        "Codes of the feeders it aims at. No feeder and no substation is everywhere."
    )
    substations = codes_field(
        "Codes of the substations it aims at: whatever hangs on them at any "
        "moment, beside the feeders."
    )
    groups = codes_field(
        "Codes of the customer groups it aims at; empty: all customers."
    )
    vehicles = serializers.ListField(
        child=WholeField(min_value=1, max_value=LARGEST_ID),
        required=False,
        max_length=MOST_VEHICLES,
        help_text="Numbers of the cars it aims at; empty: all of the program.",
    )
    reason = TextField(required=False, allow_blank=True, max_length=200)

    def validate_groups(self, codes: list[str]) -> list[CustomerGroup]:
        """Return the groups, each as often as it was named."""
        known = {row.code: row for row in CustomerGroup.objects.filter(code__in=codes)}
        return _all("groups", codes, known)

    def validate_vehicles(self, ids: list[int]) -> list[Vehicle]:
        """Return the cars, each as often as it was named."""
        return _all("vehicles", ids, Vehicle.objects.in_bulk(ids))


class NewEvent(EventChanges):
    """A grid event as a grid system asks for it."""

    program = TextField(max_length=50, help_text="The program's code.")
    kind = serializers.ChoiceField(
        choices=EventKind.choices, default=EventKind.ECONOMIC
    )
    starts_at = MomentField(
        help_text="With its offset from UTC; up to 5 minutes ago counts as now."
    )
    ends_at = MomentField(help_text="At most the program's longest event later.")

    def validate_program(self, code: str) -> Program:
        """Return the program."""
        return program_of(code)


class Amendment(EventChanges):
    """What changes; what is left out stays as it is."""

    version = WholeField(
        required=False,
        min_value=1,
        max_value=2**31 - 1,
        help_text="The version that you saw; or send it as If-Match.",
    )


class Approval(StrictSerializer):
    version = WholeField(
        min_value=1, max_value=2**31 - 1, help_text="The version that you saw."
    )


class Lifting(StrictSerializer):
    reason = TextField(required=False, allow_blank=True, max_length=200)


class Cancellation(StrictSerializer):
    reason = TextField(required=False, allow_blank=True, max_length=200)


class NewOptOut(StrictSerializer):
    vehicle = WholeField(
        min_value=1, max_value=LARGEST_ID, help_text="The car's number."
    )

    def validate_vehicle(self, pk: int) -> Vehicle:
        """Return the car."""
        vehicle = Vehicle.objects.filter(pk=pk).first()
        if vehicle is None:
            raise serializers.ValidationError(f"There is no car {pk}.", code="unknown")
        return vehicle


class OptOut(serializers.Serializer[Any]):
    """A car that left an event."""

    event = serializers.IntegerField(source="event_id")
    vehicle = serializers.IntegerField(source="vehicle_id")
    opted_out_at = MomentField()


class EventSummary(serializers.ModelSerializer[GridEvent]):
    """An event as it stands in the list."""

    program = serializers.CharField(source="program.code")
    status = serializers.ChoiceField(choices=EventStatus.choices)
    kind = serializers.ChoiceField(choices=EventKind.choices)
    starts_at = MomentField()
    ends_at = MomentField()
    target_kw = serializers.FloatField(allow_null=True)
    feeders = serializers.SerializerMethodField()
    substations = serializers.SerializerMethodField()
    groups = serializers.SerializerMethodField()
    pending_reason = serializers.CharField(
        help_text="Why it waits for a second person, if it does."
    )
    cap_kw = serializers.FloatField(
        allow_null=True,
        help_text="What the program's cars may draw together while it is given back."
        " Null: not known yet, or the program's own cap holds.",
    )
    cap_by = serializers.CharField(
        help_text="Who chose that cap; empty: it is the lowest that gives all back in"
        " time."
    )
    created_at = MomentField()
    started_at = MomentField(allow_null=True)
    restoring_at = MomentField(allow_null=True)
    completed_at = MomentField(allow_null=True)
    cancelled_at = MomentField(allow_null=True)

    class Meta:
        model = GridEvent
        fields: tuple[str, ...] = (
            "id", "version", "status", "program", "kind", "priority", "starts_at",
            "ends_at", "target_kw", "feeders", "substations", "groups", "reason",
            "pending_reason", "cap_kw", "cap_by",
            "created_at", "created_by", "started_at", "restoring_at", "completed_at",
            "cancelled_at",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_feeders(self, event: GridEvent) -> list[str]:
        return sorted(feeder.code for feeder in event.feeders.all())

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_substations(self, event: GridEvent) -> list[str]:
        return sorted(station.code for station in event.substations.all())

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_groups(self, event: GridEvent) -> list[str]:
        return sorted(group.code for group in event.groups.all())


class ParticipationCount(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=ParticipationStatus.choices)
    reason = serializers.CharField()
    cars = serializers.IntegerField()


class HoldCount(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=HoldStatus.choices)
    cars = serializers.IntegerField()


class Load(serializers.Serializer[Any]):
    """What the newest tick saw, in kW."""

    at = MomentField()
    confirmed_kw = serializers.FloatField(
        help_text="Stopped, which is measured: drawn before their stops by cars that a"
        " reading shows stopped."
    )
    unconfirmed_kw = serializers.FloatField(help_text="Commanded, not shown yet.")
    blind_kw = serializers.FloatField(help_text="Held, but nothing fresh is known.")
    charging_kw = serializers.FloatField(help_text="Still charging in the program.")
    shed_kw = serializers.FloatField(
        allow_null=True,
        help_text="An estimate: what the confirmed cars would be drawing by now.",
    )
    shed_low_kw = serializers.FloatField(
        allow_null=True, help_text="Of a 90 % interval."
    )
    shed_high_kw = serializers.FloatField(
        allow_null=True, help_text="Of a 90 % interval."
    )
    cautions = serializers.ListField(
        child=serializers.CharField(),
        help_text="What a person must know of these figures, in words.",
    )


class Left(serializers.Serializer[Any]):
    """Cars that the event held and that have left home since."""

    cars = serializers.IntegerField()
    weighed = serializers.IntegerField(help_text="Of these, their charge is known.")
    late = serializers.IntegerField(
        help_text="Left with over 0.25 kWh less than they would have had."
    )
    late_per_1000 = serializers.FloatField(help_text="Of those weighed.")
    short_kwh = serializers.FloatField(help_text="What the late ones lacked.")
    short_kwh_per_1000 = serializers.FloatField(help_text="Of those weighed.")


class Broken(serializers.Serializer[Any]):
    """What gave way: to opt-outs, departures and hold-offs, or for want of cars."""

    over_cap = serializers.IntegerField(
        help_text="Cars given back although a restore cap had no room."
    )
    over_ramp = serializers.IntegerField(help_text="Cars given back beyond a ramp.")
    minutes_out_of_reach = serializers.IntegerField(
        help_text="In which the target was above what could be held."
    )


class Caught(serializers.Serializer[Any]):
    """Cars that plugged in during the event, and how late they were judged."""

    make = serializers.CharField()
    cars = serializers.IntegerField()
    was_read = serializers.IntegerField(help_text="Of these, those that were asked.")
    half_within_seconds = serializers.FloatField(
        help_text="From the plug-in, by the car's own time, until it was judged."
    )
    most_within_seconds = serializers.FloatField(help_text="Nine of ten.")
    all_within_seconds = serializers.FloatField()


class Live(serializers.Serializer[Any]):
    """What has come of an event so far."""

    participations = ParticipationCount(many=True)
    holds = HoldCount(many=True)
    left = Left()
    broken = Broken()
    caught = Caught(many=True)
    load = Load(allow_null=True)


class EventDetail(EventSummary):
    """An event with its aim and what has come of it."""

    vehicles = serializers.SerializerMethodField()
    live = Live(read_only=True)

    class Meta(EventSummary.Meta):
        fields = (*EventSummary.Meta.fields, "vehicles", "live")
        read_only_fields = fields

    @extend_schema_field({"type": "array", "items": {"type": "integer"}})
    def get_vehicles(self, event: GridEvent) -> list[int]:
        return sorted(vehicle.pk for vehicle in event.vehicles.all())


def program_of(code: str) -> Program:
    """Return the program with a code, or raise what to tell the client."""
    program = Program.objects.filter(code=code).first()
    if program is None:
        raise serializers.ValidationError(
            f"There is no program {code!r}.", code="unknown"
        )
    return program


def _all(name: str, keys: Iterable[Any], known: dict[Any, Any]) -> list[Any]:
    keys = list(keys)
    if unknown := [key for key in dict.fromkeys(keys) if key not in known]:
        raise serializers.ValidationError(
            f"There are no such {name}: {listed(unknown)}.", code="unknown"
        )
    return [known[key] for key in keys]


class NewAreaHoldOff(Place):
    """An area to be kept free of holds. Nothing named is refused: say `everywhere`."""

    kind = serializers.ChoiceField(choices=AreaKind.choices)
    program = TextField(
        max_length=50, required=False, help_text="The program's code; left out: all."
    )
    everywhere = serializers.BooleanField(default=False)
    starts_at = MomentField(required=False, help_text="Left out: now.")
    ends_at = MomentField(required=False, help_text="Left out: until it is lifted.")
    reason = TextField(max_length=200)

    def validate_program(self, code: str) -> Program:
        """Return the program."""
        return program_of(code)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse to guess whether nothing named means everywhere."""
        named = bool(attrs.get("feeders") or attrs.get("substations"))
        if named == attrs["everywhere"]:
            raise serializers.ValidationError(
                {"everywhere": "Name feeders or substations, or say everywhere."},
                code="ambiguous",
            )
        return attrs


class AreaHoldOffShape(serializers.ModelSerializer[AreaHoldOff]):
    """An area on hold-off."""

    program = serializers.SerializerMethodField()
    everywhere = serializers.BooleanField(source="is_everywhere")
    feeders = serializers.SerializerMethodField()
    starts_at = MomentField()
    ends_at = MomentField(allow_null=True)
    declared_at = MomentField()
    lifted_at = MomentField(allow_null=True)

    class Meta:
        model = AreaHoldOff
        fields = (
            "id", "kind", "program", "everywhere", "feeders", "reason", "starts_at",
            "ends_at", "declared_at", "declared_by", "lifted_at", "lifted_by",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field({"type": "string", "nullable": True})
    def get_program(self, hold_off: AreaHoldOff) -> str | None:
        return hold_off.program.code if hold_off.program else None

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_feeders(self, hold_off: AreaHoldOff) -> list[str]:
        return sorted(feeder.code for feeder in hold_off.feeders.all())
