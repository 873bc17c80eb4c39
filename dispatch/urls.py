"""The operators' pages."""

from __future__ import annotations

from django.urls import path

from dispatch import views
from dispatch.views import areas, envelopes, events, previews

urlpatterns = [
    path("", views.live_page, name="live"),
    path("stream", views.stream, name="stream"),
    path("actions", views.actions, name="actions"),
    path("holds/stop", views.stop_new_holds, name="stop-new-holds"),
    path("holds/allow", views.allow_new_holds, name="allow-new-holds"),
    path("holds/<int:hold_id>/try-again", views.try_again, name="try-again"),
    path("holds/<int:hold_id>/close", views.close_hold, name="close-hold"),
    path("events/", events.index, name="event-list"),
    path("programs/<int:program_id>/events/new", events.write, name="write-event"),
    path("events/<int:event_id>/preview", previews.preview, name="preview-event"),
    path(
        "events/<int:event_id>/restore-cap",
        previews.choose_cap,
        name="choose-restore-cap",
    ),
    path("events/<int:event_id>/amend", events.amend, name="amend-event"),
    path("events/<int:event_id>/approve", events.approve, name="approve-event"),
    path("events/<int:event_id>/cancel", events.cancel, name="cancel-event"),
    path("events/<int:event_id>/end-early", views.end_early, name="end-early"),
    path("areas/hold-off", areas.declare, name="declare-area"),
    path("areas/<int:hold_off_id>/lift", areas.lift, name="lift-area"),
    path("envelopes/", envelopes.index, name="envelopes"),
    path("envelopes/make", envelopes.make, name="make-envelope"),
    path(
        "envelopes/<int:envelope_id>/propose", envelopes.propose, name="propose-bounds"
    ),
    path(
        "envelopes/changes/<int:change_id>/approve",
        envelopes.approve,
        name="approve-bounds",
    ),
    path(
        "envelopes/changes/<int:change_id>/refuse",
        envelopes.refuse,
        name="refuse-bounds",
    ),
    path(
        "envelopes/changes/<int:change_id>/withdraw",
        envelopes.withdraw,
        name="withdraw-bounds",
    ),
]
