"""Webhook messages: their signature, their challenge, what they say.

The key of both signature and challenge is the application management token.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass, replace
from enum import StrEnum

from django.conf import settings

from fleets.providers.base import Report
from fleets.providers.smartcar import signals
from fleets.providers.smartcar.json_values import get, identifier, text

SIGNATURE_HEADER = b"sc-signature"  # lower case, as ASGI gives it

# Signing a challenge must never sign a message: a message is JSON and needs braces and
# quotes. Challenges seen are random ids, so 200 characters are plenty.
_CHALLENGE = re.compile(r"[A-Za-z0-9._~+/=-]{1,200}")


class Kind(StrEnum):
    VERIFY = "VERIFY"  # prove that you hold the key
    VEHICLE_STATE = "VEHICLE_STATE"  # what a car reports
    VEHICLE_ERROR = "VEHICLE_ERROR"  # what could not be read: no alarm by itself
    OTHER = "OTHER"  # a kind that is not known yet


@dataclass(frozen=True, slots=True)
class WebhookMessage:
    """One message; its reports are empty unless it is about a car's state."""

    event_id: str  # the same at every attempt to deliver it
    kind: Kind
    challenge: str = ""
    reports: tuple[Report, ...] = ()
    mode: str = "LIVE"  # TEST: acknowledge, do not act

    @property
    def is_test(self) -> bool:
        return self.mode == "TEST"


def peek_webhook(body: bytes) -> WebhookMessage:
    """Return a message without its reports: what its receiver needs, at half the cost.

    Raise ValueError when it is no message.
    """
    return _envelope(_loaded(body))


def parse_webhook(body: bytes) -> WebhookMessage:
    """Return what a message says; raise ValueError when it is no message."""
    message = _loaded(body)
    envelope = _envelope(message)
    if envelope.kind is not Kind.VEHICLE_STATE:
        return envelope
    vehicle_id = identifier(get(message, "data", "vehicle", "id"))
    if not vehicle_id:
        raise ValueError("no vehicle")
    report = signals.report(vehicle_id, get(message, "data", "signals"))
    return replace(envelope, reports=() if report is None else (report,))


def is_signed(body: bytes, signature: str) -> bool:
    """Tell whether the signature is that of these very bytes, in constant time."""
    key = settings.SMARTCAR_MANAGEMENT_TOKEN.encode()
    if not key:
        return False  # an empty key would let anybody sign
    expected = hmac.digest(key, body, "sha256").hex()
    return hmac.compare_digest(expected.encode(), signature.strip().lower().encode())


def answer_challenge(challenge: str) -> str | None:
    """Return the proof for a challenge, or None for one that must not be signed."""
    key = settings.SMARTCAR_MANAGEMENT_TOKEN.encode()
    if not key or not _CHALLENGE.fullmatch(challenge):
        return None
    return hmac.new(key, challenge.encode(), hashlib.sha256).hexdigest()


def _loaded(body: bytes) -> dict[str, object]:
    try:
        message = json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(message, dict):
        raise ValueError("not an object")
    return message


def _envelope(message: dict[str, object]) -> WebhookMessage:
    kind = _kind(message)
    event_id = identifier(message.get("eventId"))
    if kind is Kind.VERIFY:
        challenge = text(get(message, "data", "challenge"))
        return WebhookMessage(event_id, kind, challenge=challenge)
    if not event_id:
        raise ValueError("no eventId")
    mode = text(get(message, "meta", "mode")).upper() or "LIVE"
    return WebhookMessage(event_id, kind, mode=mode)


def _kind(message: dict[str, object]) -> Kind:
    try:
        return Kind(text(message.get("eventType")).upper())
    except ValueError:
        return Kind.OTHER
