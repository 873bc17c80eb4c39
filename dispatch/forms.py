"""What an operator fills in before load is moved."""

from __future__ import annotations

from django import forms

from fleets.models import Program


class WhyForm(forms.Form):
    """A reason, for the audit trail."""

    why = forms.CharField(
        label="Why",
        max_length=200,
        help_text="Kept with your name.",
    )


class WhichHoldsForm(WhyForm):
    """A reason, and whether one program is meant or everything."""

    program = forms.ModelChoiceField(
        Program.objects.order_by("name"), required=False, empty_label="Everything"
    )
    field_order = ["program", "why"]


class ApproveForm(WhyForm):
    """A reason, and the version of the event that was looked at."""

    version = forms.IntegerField(widget=forms.HiddenInput)
