"""The back office of what happened, to be read, and of what programs promised.

Nothing here moves load by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from dispatch import policies, windows
from dispatch.event_policy import USUAL
from dispatch.lifecycle import EventKind
from dispatch.models import (
    Alarm,
    AreaHoldOff,
    AuditEntry,
    Command,
    DayOff,
    Envelope,
    EnvelopeChange,
    EventPolicy,
    Forecast,
    ForecastScore,
    GridEvent,
    Hold,
    Occurrence,
    RecurringWindow,
)
from fleets import clock

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Any]
else:
    Base = admin.ModelAdmin


class ReadOnlyAdmin(Base):
    """Lists and details alone: acts go through the pages, with a reason and checks."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(GridEvent)
class GridEventAdmin(ReadOnlyAdmin):
    list_display = (
        "id", "program", "kind", "status", "starts_at", "ends_at", "target_kw",
        "created_by",
    )  # fmt: skip
    list_filter = ("status", "kind", "program")
    list_select_related = ("program",)
    search_fields = ("reason", "created_by")
    date_hierarchy = "starts_at"


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin):
    list_display = (
        "id", "vehicle", "event", "status", "tactic", "our_limit_percent",
        "limit_percent", "reason", "restore_reason", "close_reason", "opened_at",
        "closed_at",
    )  # fmt: skip
    list_filter = ("status", "tactic")
    list_select_related = ("vehicle", "event__program")
    search_fields = ("vehicle__external_id",)


@admin.register(Command)
class CommandAdmin(ReadOnlyAdmin):
    list_display = (
        "id", "vehicle", "kind", "percent", "status", "attempt", "code", "created_at",
        "sent_at", "confirmed_at",
    )  # fmt: skip
    list_filter = ("status", "kind")
    list_select_related = ("vehicle",)
    search_fields = ("vehicle__external_id", "code", "request_id")


@admin.register(Alarm)
class AlarmAdmin(ReadOnlyAdmin):
    list_display = ("text", "severity", "event", "raised_at", "cleared_at")
    list_filter = ("severity",)
    list_select_related = ("event__program",)
    search_fields = ("text", "key")


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("at", "actor", "act", "subject", "why")
    list_filter = ("act",)
    search_fields = ("actor", "subject", "why")
    date_hierarchy = "at"


@admin.register(Envelope)
class EnvelopeAdmin(ReadOnlyAdmin):
    """How big a step may be; moved by two people on its page, by nobody here."""

    list_display = (
        "__str__", "max_kw", "max_cars", "max_kw_per_minute", "restoring_max_kw",
        "restoring_max_cars", "restoring_max_kw_per_minute", "holds_stopped_at",
    )  # fmt: skip
    list_select_related = ("program", "feeder")


@admin.register(EnvelopeChange)
class EnvelopeChangeAdmin(ReadOnlyAdmin):
    list_display = (
        "id", "envelope", "status", "proposed_by", "proposed_at", "decided_by",
        "decided_at", "why",
    )  # fmt: skip
    list_filter = ("status",)
    list_select_related = (
        "envelope__program", "envelope__feeder", "proposed_by", "decided_by",
    )  # fmt: skip


@admin.register(EventPolicy)
class EventPolicyAdmin(Base):
    """What a program promised about its events; what is planned already stays."""

    list_display = (
        "program", "kind", "notice_hours", "season_from_month", "season_to_month",
        "max_events_per_day", "max_days_per_season", "max_consecutive_days",
        "max_hours_per_season", "max_hours_per_year", "min_participants",
    )  # fmt: skip
    list_filter = ("kind", "program")
    list_select_related = ("program",)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Begin with the usual numbers of a kind, economic unless `kind` names one."""
        asked = super().get_changeform_initial_data(request)
        kind = str(asked.get("kind", ""))
        known = EventKind(kind) if kind in EventKind.values else EventKind.ECONOMIC
        return {**policies.as_columns(USUAL[known]), **asked, "kind": known}


@admin.register(DayOff)
class DayOffAdmin(Base):
    """Holidays and blackouts; whether an event minds them is its kind's policy."""

    list_display = ("name", "sort", "program", "first_on", "last_on")
    list_filter = ("sort", "program")
    list_select_related = ("program",)
    search_fields = ("name",)
    date_hierarchy = "first_on"


@admin.register(RecurringWindow)
class RecurringWindowAdmin(Base):
    """Windows that make events by themselves; each event passes judge and envelope."""

    list_display = (
        "name", "program", "kind", "weekdays", "starts_at", "hours", "is_paused",
        "written_by",
    )  # fmt: skip
    list_filter = ("program", "kind", "is_paused")
    list_select_related = ("program",)
    search_fields = ("name",)
    filter_horizontal = ("feeders", "substations", "groups")
    readonly_fields = ("written_by", "written_at")

    def save_model(
        self, request: HttpRequest, obj: RecurringWindow, form: Any, change: bool
    ) -> None:
        """Save it in the name of whoever is signed in."""
        windows.written(obj, actor=request.user.get_username(), now=clock.now())
        super().save_model(request, obj, form, change)

    def save_related(
        self, request: HttpRequest, form: Any, formsets: Any, change: bool
    ) -> None:
        """Put it on record once its aim is saved."""
        super().save_related(request, form, formsets, change)
        windows.tell_written(form.instance)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Keep what explains the events that it made; pausing ends it."""
        return False


@admin.register(Occurrence)
class OccurrenceAdmin(ReadOnlyAdmin):
    """Days of recurring windows: the event, or why there is none."""

    list_display = ("window", "on", "event", "skipped", "decided_at")
    list_filter = ("window",)
    list_select_related = ("window", "event__program")
    date_hierarchy = "on"


@admin.register(AreaHoldOff)
class AreaHoldOffAdmin(ReadOnlyAdmin):
    list_display = (
        "id", "kind", "program", "is_everywhere", "reason", "starts_at", "ends_at",
        "declared_by", "lifted_by",
    )  # fmt: skip
    list_filter = ("kind",)
    list_select_related = ("program",)


@admin.register(Forecast)
class ForecastAdmin(ReadOnlyAdmin):
    list_display = ("id", "measure", "program", "feeder", "issued_at", "cars")
    list_filter = ("measure", "program", "feeder")
    list_select_related = ("program", "feeder")
    date_hierarchy = "issued_at"


@admin.register(ForecastScore)
class ForecastScoreAdmin(ReadOnlyAdmin):
    """How right forecasts were; losses are in the unit of what was foretold."""

    list_display = (
        "forecast", "quarters", "within_50", "within_90", "compared", "loss",
        "persistence_loss",
    )  # fmt: skip
    list_filter = ("forecast__measure", "forecast__program", "forecast__feeder")
    list_select_related = ("forecast__program", "forecast__feeder")
    date_hierarchy = "forecast__issued_at"


# The library registers these two (`OAUTH2_PROVIDER` in the settings names them).
# Whoever could make a client or a token here could ask for an event as a machine, and
# approve it as a person.


class GridClientAdmin(ReadOnlyAdmin):
    """Grid systems; made by `manage.py grid_client` alone."""

    list_display = ("name", "client_id", "created")
    search_fields = ("name",)
    exclude = ("client_secret",)


class TokenAdmin(ReadOnlyAdmin):
    """What grid systems were let in with: to be taken away, not made."""

    list_display = ("pk", "application", "created")
    list_select_related = ("application",)
    exclude = ("token", "token_checksum", "code")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let a token that was stolen be taken away."""
        return Base.has_delete_permission(self, request, obj)
