"""A grid system that knows nothing but our REST interface."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pyreqwest.client import SyncClientBuilder

from gridbalance.demo.scene import Login

SECONDS = timedelta(seconds=30)


class GridSystem:
    """Sign in by OAuth2 client credentials and post events."""

    def __init__(self, origin: str, login: Login) -> None:
        self._origin = origin
        self._client = SyncClientBuilder().timeout(SECONDS).build()
        answer = (
            self._client.post(f"{origin}/oauth2/token/")
            .form(
                {
                    "grant_type": "client_credentials",
                    "client_id": login.client_id,
                    "client_secret": login.client_secret,
                    "scope": "events:read events:write",
                }
            )
            .build()
            .send()
        )
        answer.error_for_status()
        self._token = answer.json()["access_token"]

    def post_event(
        self,
        *,
        key: str,
        program: str,
        starts_at: datetime,
        ends_at: datetime,
        target_kw: float | None,
        **more: Any,
    ) -> tuple[int, Any]:
        """Ask for a peak event; return the status and the body of the answer."""
        return self.post(
            "/api/v1/events",
            {
                "program": program,
                "kind": "economic",
                "starts_at": starts_at.isoformat(),
                "ends_at": ends_at.isoformat(),
                "target_kw": target_kw,
                **more,
            },
            key=key,
        )

    def post(self, path: str, body: Any, *, key: str) -> tuple[int, Any]:
        """Post once under an idempotency key; return the status and the body."""
        answer = (
            self._client.post(f"{self._origin}{path}")
            .bearer_auth(self._token)
            .header("Idempotency-Key", key)
            .body_json(body)
            .build()
            .send()
        )
        return answer.status, answer.json()

    def patch(self, path: str, body: Any) -> tuple[int, Any]:
        """Change what was posted; return the status and the body."""
        answer = (
            self._client.patch(f"{self._origin}{path}")
            .bearer_auth(self._token)
            .body_json(body)
            .build()
            .send()
        )
        return answer.status, answer.json()
