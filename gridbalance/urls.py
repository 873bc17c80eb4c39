"""Every address of the web process but the webhooks'."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from oauth2_provider import views as oauth2

from dispatch.api import health, metrics

# Errors under /api/ are problem+json, wherever they arise.
handler400 = "dispatch.api.problems.bad_request"
handler404 = "dispatch.api.problems.not_found"
handler500 = "dispatch.api.problems.server_error"

# Machine clients need these two alone; the library's pages for people stay shut.
oauth2_urls = [
    path("token/", oauth2.TokenView.as_view(), name="token"),
    path("revoke_token/", oauth2.RevokeTokenView.as_view(), name="revoke-token"),
]

urlpatterns = [
    path("", include("dispatch.urls")),
    path("login/", auth.LoginView.as_view(), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("api/v1/", include("dispatch.api.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(), name="docs"),
    path("oauth2/", include((oauth2_urls, "oauth2_provider"))),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.ExportToDjangoView, name="metrics"),
]
