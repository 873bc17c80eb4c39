"""The one application token, shared by all processes through one sealed row.

It commands every connected car: it is never logged, and only its row keeps it. A
process that has no database keeps one of its own, in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from cryptography.fernet import InvalidToken
from django.conf import settings
from django.db import transaction
from pyreqwest.client import SyncClientBuilder
from pyreqwest.exceptions import PyreqwestError

from fleets import secrets
from fleets.models import ProviderToken
from fleets.providers.base import Scope, TryLater
from fleets.providers.smartcar.http import goes_direct
from fleets.providers.smartcar.json_values import get, number, text

log = structlog.get_logger(__name__)

PROVIDER = "smartcar"
RENEW_BEFORE = timedelta(minutes=5)  # or a tenth of its life, if that is less
_USUAL_LIFE_SECONDS = 3600.0
# A token is needed for everything and comes at once or not at all (real seconds).
_TIMEOUT = timedelta(seconds=10)
_FAILED_WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Token:
    """A token in clear, in memory alone; `expires_at` has the margin taken off."""

    text: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Token(expires_at={self.expires_at:%H:%M:%S})"

    def is_due(self, now: datetime) -> bool:
        """Tell whether it should be renewed."""
        return now >= self.expires_at


class Obtain(Protocol):
    """A source of tokens: the present one if it still serves, or another."""

    def __call__(
        self, held: Token | None, *, now: datetime, must_change: bool
    ) -> Token:
        """Return a token with some life left; raise TryLater when there is none."""
        ...


def obtain(held: Token | None, *, now: datetime, must_change: bool) -> Token:
    """Return the shared token, renewed if it is due, or if it `must_change`.

    The row's lock lets one process renew while the others wait for its token. It is
    held over one short call, the only one inside a transaction: the price of asking
    once. Raise TryLater when the provider gives none.
    """
    ProviderToken.objects.get_or_create(provider=PROVIDER)
    with transaction.atomic(durable=True):
        row = ProviderToken.objects.select_for_update().get(provider=PROVIDER)
        stored = _opened(row)
        is_other = stored is not None and (held is None or stored.text != held.text)
        if stored and not stored.is_due(now) and (is_other or not must_change):
            return stored
        token = _ask(now)
        row.sealed = secrets.seal(token.text)
        row.expires_at = token.expires_at
        row.save(update_fields=["sealed", "expires_at"])
    log.info("provider_token_renewed", expires_at=token.expires_at.isoformat())
    return token


def obtain_alone(held: Token | None, *, now: datetime, must_change: bool) -> Token:
    """Return a token of this process's own, without a database.

    The provider lets several tokens live side by side, so this disturbs nobody.
    """
    if held is not None and not must_change and not held.is_due(now):
        return held
    return _ask(now)


def _opened(row: ProviderToken) -> Token | None:
    if not row.sealed or row.expires_at is None:
        return None
    try:
        return Token(secrets.unseal(bytes(row.sealed)), row.expires_at)
    except InvalidToken:
        return None  # sealed under another SECRET_KEY: a new one is asked for


def _ask(now: datetime) -> Token:
    """Ask for a new token; its life counts from `now`, on our clock."""
    url = f"{settings.SMARTCAR_IAM_ORIGIN}/oauth2/token"
    builder = SyncClientBuilder().timeout(_TIMEOUT).follow_redirects(False)
    if goes_direct(url):
        builder = builder.no_proxy()
    form = {
        "grant_type": "client_credentials",
        "client_id": settings.SMARTCAR_CLIENT_ID,
        "client_secret": settings.SMARTCAR_CLIENT_SECRET,
    }
    try:
        with builder.build() as client:
            response = client.post(url).form(form).build().send()
            status, body = response.status, response.json()
    except (PyreqwestError, ValueError) as error:
        raise _failed(type(error).__name__) from None  # its text may show the form
    word = text(get(body, "access_token"))
    if status != 200 or not word or not word.isascii() or not word.isprintable():
        raise _failed(text(get(body, "error"))[:60] or f"HTTP {status}")
    said = number(get(body, "expires_in"))
    life = timedelta(seconds=min(max(said or _USUAL_LIFE_SECONDS, 1.0), 86_400.0))
    return Token(word, now + life - min(RENEW_BEFORE, life / 10))


def _failed(reason: str) -> TryLater:
    log.error("provider_token_refused", reason=reason)
    return TryLater(
        f"TOKEN:{reason}", wait_seconds=_FAILED_WAIT_SECONDS, scope=Scope.APPLICATION
    )
