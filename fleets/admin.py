"""The back office of people, cars, programs and the grid they hang on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.contrib.auth.admin import UserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest

from fleets import clock, enrolment
from fleets.models import (
    Customer,
    CustomerGroup,
    Enrolment,
    Feeder,
    Program,
    ProviderAccount,
    Substation,
    User,
    Vehicle,
)
from fleets.signals import program_made

if TYPE_CHECKING:
    CustomerBase = admin.ModelAdmin[Customer]
    GroupBase = admin.ModelAdmin[CustomerGroup]
    EnrolmentBase = admin.ModelAdmin[Enrolment]
    FeederBase = admin.ModelAdmin[Feeder]
    ProgramBase = admin.ModelAdmin[Program]
    SubstationBase = admin.ModelAdmin[Substation]
    VehicleBase = admin.ModelAdmin[Vehicle]
    AccountBase = admin.TabularInline[ProviderAccount, Customer]
else:
    GroupBase = CustomerBase = EnrolmentBase = FeederBase = admin.ModelAdmin
    ProgramBase = SubstationBase = VehicleBase = admin.ModelAdmin
    AccountBase = admin.TabularInline

admin.site.site_header = "Gridbalance back office"
admin.site.site_title = "Gridbalance"
admin.site.register(User, UserAdmin)


class AccountInline(AccountBase):
    model = ProviderAccount
    extra = 0


@admin.register(Customer)
class CustomerAdmin(CustomerBase):
    list_display = ("name", "email", "created_at")
    search_fields = ("name", "email", "provider_accounts__external_id")
    autocomplete_fields = ("user",)
    inlines = (AccountInline,)


class NoDeleting:
    """For what events are aimed at: without it, an event would aim at everybody."""

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(CustomerGroup)
class CustomerGroupAdmin(NoDeleting, GroupBase):
    """Whom events are aimed at together; who joins or leaves counts at once."""

    list_display = ("name", "code")
    search_fields = ("name", "code")
    autocomplete_fields = ("customers",)


@admin.register(Vehicle)
class VehicleAdmin(VehicleBase):
    """Cars; what they last reported is theirs to say, not ours to edit."""

    list_display = (
        "__str__", "make", "feeder", "is_plugged_in", "is_charging", "soc_percent",
        "observed_at",
    )  # fmt: skip
    list_filter = ("make", "is_charging", "feeder")
    list_select_related = ("feeder",)
    search_fields = ("external_id", "account__customer__name")
    show_full_result_count = False  # slow where there are a million cars
    raw_id_fields = ("account", "feeder")
    readonly_fields = (
        "is_plugged_in", "is_charging", "soc_percent", "limit_percent",
        "limit_observed_at", "power_kw", "plugged_in_at", "is_home", "observed_at",
        "received_at", "webhook_at",
    )  # fmt: skip

    def get_readonly_fields(
        self, request: HttpRequest, obj: Vehicle | None = None
    ) -> tuple[str, ...]:
        """Let a feeder be put on record once.

        Moved to another one, a car would leave its bounds and its area's hold-offs.
        """
        fields = self.readonly_fields
        known = obj is not None and obj.feeder_id is not None
        return (*fields, "feeder") if known else fields


@admin.register(Program)
class ProgramAdmin(ProgramBase):
    """Programs; what moves load is changed by two people, with the envelope.

    The tactic and how cars are given back are chosen here: that says how, and when at
    the latest. How many at once stays with the cap, the ramp and the envelope.
    """

    list_display = (
        "name", "code", "tactic", "restore_style", "restore_within_hours", "time_zone",
        "ready_by", "departure_quantile", "max_event_hours",
    )  # fmt: skip
    fieldsets = (
        (None, {
            "fields": (
                "code", "name", "time_zone", "tactic", "ready_by", "departure_quantile",
                "minimum_charge_percent", "max_event_hours",
            ),
        }),
        ("How cars are given back", {
            "fields": ("restore_style", "restore_within_hours"),
        }),
        ("How targets are met", {
            "fields": (
                "target_confidence_percent", "maker_outage_percent",
                "dead_band_percent", "let_go_above_percent", "slack_weight",
                "kw_weight", "rotation_weight",
            ),
        }),
        ("Changed by two people, with the envelope", {
            "fields": (
                "restore_cap_kw", "restore_ramp_kw_per_minute",
                "pick_up_ramp_kw_per_minute", "max_holds_per_day",
            ),
        }),
    )  # fmt: skip
    list_filter = ("tactic", "restore_style")
    search_fields = ("name", "code")
    readonly_fields = (
        "restore_cap_kw", "restore_ramp_kw_per_minute", "pick_up_ramp_kw_per_minute",
        "max_holds_per_day",
    )  # fmt: skip

    def save_model(
        self, request: HttpRequest, obj: Program, form: Any, change: bool
    ) -> None:
        """Tell of a new program."""
        super().save_model(request, obj, form, change)
        if not change:
            program_made.send(Program, program=obj)


class WordingForm(ActionForm):
    """What to do, and for a consent the text that was agreed to."""

    wording = forms.CharField(
        required=False, max_length=50, label="Wording agreed to for the night"
    )


@admin.register(Enrolment)
class EnrolmentAdmin(EnrolmentBase):
    """Consents, to be read: they are given and taken back by the customer.

    What a customer tells the utility about the night is recorded by an action. Moved to
    another program, a car would leave its bounds and what was agreed to.
    """

    list_display = ("vehicle", "program", "status", "consented_at", "withdrawn_at")
    list_filter = ("program", "status")
    list_select_related = ("vehicle", "program")
    search_fields = ("vehicle__external_id", "vehicle__account__customer__name")
    readonly_fields = (
        "vehicle", "program", "status", "consented_at", "consent_wording",
        "consent_source", "withdrawn_at", "learnt_departures", "learnt_at",
        "overnight_consented_at", "overnight_consent_wording",
    )  # fmt: skip

    action_form = WordingForm
    actions = ("consent_overnight", "withdraw_overnight")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody consents for somebody else."""
        return False

    @admin.action(
        description="Record a consent to be managed overnight", permissions=["change"]
    )
    def consent_overnight(
        self, request: HttpRequest, chosen: QuerySet[Enrolment]
    ) -> None:
        """Record what the customers said, in the wording they agreed to."""
        wording = request.POST.get("wording", "").strip()
        if not wording:
            messages.error(request, "Say which wording was agreed to.")
            return
        new = sum(
            enrolment.consent_overnight(
                one, wording=wording, source="back office",
                actor=request.user.get_username(), now=clock.now(),
            )
            for one in chosen
        )  # fmt: skip
        messages.success(request, f"Consents to be managed overnight recorded: {new}.")

    @admin.action(
        description="Take back a consent to be managed overnight",
        permissions=["change"],
    )
    def withdraw_overnight(
        self, request: HttpRequest, chosen: QuerySet[Enrolment]
    ) -> None:
        """Record that the customers take the night back; they stay enrolled."""
        gone = sum(
            enrolment.withdraw_overnight(
                one, source="back office",
                actor=request.user.get_username(), now=clock.now(),
            )
            for one in chosen
        )  # fmt: skip
        messages.success(request, f"Consents to be managed overnight ended: {gone}.")


@admin.register(Substation)
class SubstationAdmin(NoDeleting, SubstationBase):
    list_display = ("name", "code")
    search_fields = ("name", "code")


@admin.register(Feeder)
class FeederAdmin(NoDeleting, FeederBase):
    list_display = (
        "code", "name", "substation", "capacity_kw", "restore_cap_kw",
        "restore_ramp_kw_per_minute",
    )  # fmt: skip
    fieldsets = (
        (None, {"fields": ("substation", "code", "name", "capacity_kw")}),
        ("Changed by two people, with the envelope", {
            "fields": ("restore_cap_kw", "restore_ramp_kw_per_minute"),
        }),
    )  # fmt: skip
    readonly_fields = ("restore_cap_kw", "restore_ramp_kw_per_minute")
    list_filter = ("substation",)
    list_select_related = ("substation",)
    search_fields = ("name", "code")
