"""The grid systems' REST interface, version 1."""

from __future__ import annotations

from django.urls import path

from dispatch.api import areas, forecasts, views

urlpatterns = [
    path("events", views.EventsView.as_view(), name="events"),
    path("events/<int:event_id>", views.OneEventView.as_view(), name="event"),
    path("events/<int:event_id>/cancel", views.CancelView.as_view(), name="cancel"),
    path(
        "events/<int:event_id>/opt-outs", views.OptOutsView.as_view(), name="opt-outs"
    ),
    path("events/<int:event_id>/approve", views.ApproveView.as_view(), name="approve"),
    path("forecasts", forecasts.ForecastsView.as_view(), name="forecasts"),
    path("area-hold-offs", areas.AreasView.as_view(), name="area-hold-offs"),
    path(
        "area-hold-offs/<int:hold_off_id>/lift",
        areas.LiftView.as_view(),
        name="lift-area-hold-off",
    ),
]
