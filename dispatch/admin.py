"""The back office of what happened: to be read. Nothing here moves load by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from dispatch.models import (
    Alarm,
    AreaHoldOff,
    AuditEntry,
    Command,
    Envelope,
    EnvelopeChange,
    Forecast,
    ForecastScore,
    GridEvent,
    Hold,
)

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
