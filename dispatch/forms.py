"""What an operator fills in before load is moved."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms

from dispatch import area_hold_offs, envelope_changes
from dispatch.event_rules import Finding
from dispatch.lifecycle import AreaKind, EventKind
from dispatch.models import Envelope
from fleets.models import CustomerGroup, Feeder, Program, Substation


class WhyForm(forms.Form):
    """A reason, for the audit trail."""

    why = forms.CharField(
        label="Why",
        max_length=200,
        help_text="Kept with your name.",
    )


class EventForm(WhyForm):
    """A reason, and room for all that is wrong with an event."""

    def refuse(self, findings: Iterable[Finding]) -> None:
        """Show each finding at its field, or above them all."""
        for finding in findings:
            field = finding.field if finding.field in self.fields else None
            self.add_error(field, finding.message)


class ApproveForm(EventForm):
    """A reason, and the version of the event that was looked at."""

    version = forms.IntegerField(widget=forms.HiddenInput)


class EnvelopeOfForm(forms.Form):
    """Which program or feeder; neither is everything."""

    program = forms.ModelChoiceField(
        Program.objects.order_by("name"), required=False, empty_label="None"
    )
    feeder = forms.ModelChoiceField(
        Feeder.objects.order_by("code"), required=False, empty_label="None"
    )

    def clean(self) -> dict[str, Any]:
        """Refuse both at once: an envelope is of one thing."""
        asked = super().clean() or {}
        if asked.get("program") and asked.get("feeder"):
            raise forms.ValidationError("Choose a program or a feeder, not both.")
        return asked


class WhichHoldsForm(WhyForm, EnvelopeOfForm):
    """A reason, and whether a program, a feeder or everything is meant."""

    field_order = ["program", "feeder", "why"]


class BoundsForm(WhyForm):
    """All bounds of one envelope, as they are to be."""

    def __init__(self, *args: Any, envelope: Envelope, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._names = envelope_changes.words_of(envelope)
        now = envelope_changes.bounds_of(envelope)
        optional = envelope_changes.may_be_empty(envelope)
        for name, words in self._names.items():
            kind = (
                forms.IntegerField
                if name in envelope_changes.WHOLE
                else forms.FloatField
            )
            self.fields[name] = kind(
                label=words,
                initial=now[name],
                required=name not in optional,
                min_value=0,
                help_text=f"Empty: {optional[name]}." if name in optional else "",
            )
        self.order_fields([*self._names, "why"])

    def bounds(self) -> dict[str, float | int | None]:
        """Return what was asked for, by name."""
        return {name: self.cleaned_data[name] for name in self._names}


class AreaForm(WhyForm):
    """Where nobody is to be held, why, and for how long."""

    kind = forms.ChoiceField(choices=AreaKind.choices)
    program = forms.ModelChoiceField(
        Program.objects.order_by("name"), required=False, empty_label="All programs"
    )
    substations = forms.ModelMultipleChoiceField(
        Substation.objects.order_by("code"), required=False
    )
    feeders = forms.ModelMultipleChoiceField(
        Feeder.objects.order_by("code"), required=False
    )
    everywhere = forms.BooleanField(required=False)
    hours = forms.FloatField(
        label="Ends after, hours",
        required=False,
        min_value=0.1,
        max_value=24 * area_hold_offs.LONGEST.days,
        help_text="Empty: until somebody lifts it.",
    )
    field_order = [
        "kind", "program", "substations", "feeders", "everywhere", "hours", "why",
    ]  # fmt: skip

    def clean(self) -> dict[str, Any]:
        """Refuse to guess whether nothing chosen means everywhere."""
        asked = super().clean() or {}
        named = bool(asked.get("feeders") or asked.get("substations"))
        if named == bool(asked.get("everywhere")):
            raise forms.ValidationError(
                "Choose feeders or substations, or say that it is everywhere."
            )
        return asked


class MomentField(forms.DateTimeField):
    """A moment by the clock of the time zone that the form is handled in.

    One that a clock change skips or shows twice is refused: nobody knows which.
    """

    widget = forms.DateTimeInput(
        attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M:%S"
    )


class EventChangesForm(EventForm):
    """What of an event may change later; also the common part of a new one."""

    starts_at = MomentField(label="Starts")
    ends_at = MomentField(label="Ends")
    target_kw = forms.FloatField(
        label="Target, kW", required=False, help_text="Empty: all that can be held."
    )
    substations = forms.ModelMultipleChoiceField(
        Substation.objects.order_by("code"),
        required=False,
        help_text="No substation and no feeder is everywhere.",
    )
    feeders = forms.ModelMultipleChoiceField(
        Feeder.objects.order_by("code"), required=False
    )
    groups = forms.ModelMultipleChoiceField(
        CustomerGroup.objects.order_by("code"),
        label="Customer groups",
        required=False,
        help_text="None is all customers.",
    )
    priority = forms.IntegerField(
        min_value=0, max_value=32_767, initial=0, help_text="0 is the most urgent."
    )
    field_order = [
        "starts_at", "ends_at", "target_kw", "substations", "feeders", "groups",
        "priority", "why",
    ]  # fmt: skip


class RestoreCapForm(EventForm):
    """Under which cap an event's cars are given back."""

    cap_kw = forms.FloatField(
        label="Restore cap, kW",
        required=False,
        help_text="Empty: once it is over, the lowest that gives all back in time.",
    )
    field_order = ["cap_kw", "why"]


class NewEventForm(EventChangesForm):
    kind = forms.ChoiceField(choices=EventKind.choices)
    field_order = ["kind", *EventChangesForm.field_order]


class AmendEventForm(EventChangesForm):
    """What changes, and the version of the event that was looked at."""

    version = forms.IntegerField(widget=forms.HiddenInput)
