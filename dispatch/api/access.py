"""Who speaks to the REST interface, and what they may do."""

from __future__ import annotations

from typing import Any, cast

from oauth2_provider.contrib.rest_framework import (
    OAuth2Authentication,
    TokenHasScope,
)
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from dispatch.models import GridClient

READ, WRITE = "events:read", "events:write"


class GridAuthentication(OAuth2Authentication):  # type: ignore[misc]
    """A machine client's bearer token."""


class MachineHasScope(TokenHasScope):  # type: ignore[misc]
    """A machine client whose token has the scope of what it does."""

    message = "The token lacks the scope for this: events:read or events:write."

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return whether the token is a client's and has the scope."""
        return bool(
            super().has_permission(request, view)
            and getattr(request.auth, "application_id", None)
        )

    def get_scopes(self, request: Request, view: Any) -> list[str]:
        """Return the scopes that this request needs."""
        return [READ if request.method in SAFE_METHODS else WRITE]


class MachineOrViewer(MachineHasScope):
    """Machines as above; signed-in people who may view events read."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return whether a machine or a person may do this."""
        if request.auth is not None:
            return super().has_permission(request, view)
        return (
            request.method in SAFE_METHODS
            and request.user is not None
            and request.user.has_perm("dispatch.view_gridevent")
        )


class MayApprove(BasePermission):
    """A signed-in person with the right to approve; never a machine."""

    message = "Only a signed-in person with the right to approve may do this."

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return whether this person may approve events."""
        return (
            request.auth is None
            and request.user is not None
            and request.user.has_perm("dispatch.approve_gridevent")
        )


def client_of(request: Request) -> GridClient:
    """Return the machine client; its permission was checked."""
    return cast(GridClient, cast(Any, request.auth).application)


def actor_of(request: Request) -> str:
    """Return who acts, for the audit trail: `client:NAME` or a person's user name.

    User names cannot hold a colon, so neither can pass for the other.
    """
    if request.auth is not None:
        return f"client:{client_of(request).name}"[:150]
    return request.user.get_username()
