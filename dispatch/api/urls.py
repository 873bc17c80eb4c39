"""The grid systems' REST interface, version 1."""

from __future__ import annotations

from django.urls import path

from dispatch.api import views

urlpatterns = [
    path("events", views.EventsView.as_view(), name="events"),
    path("events/<int:event_id>", views.OneEventView.as_view(), name="event"),
    path("events/<int:event_id>/cancel", views.CancelView.as_view(), name="cancel"),
    path(
        "events/<int:event_id>/opt-outs", views.OptOutsView.as_view(), name="opt-outs"
    ),
    path("events/<int:event_id>/approve", views.ApproveView.as_view(), name="approve"),
]
