"""Smartcar, API v3: the only place that knows its wire.

`adapter` calls it, `answers` judges what it answers, `signals` and `webhooks` read what
it tells of cars, `tokens` keeps the one application token that all processes share.
"""

from __future__ import annotations

from fleets.providers.smartcar.adapter import Smartcar, shared
from fleets.providers.smartcar.tokens import obtain_alone
from fleets.providers.smartcar.webhooks import (
    SIGNATURE_HEADER,
    Kind,
    WebhookMessage,
    answer_challenge,
    is_signed,
    parse_webhook,
    peek_webhook,
)

__all__ = [
    "SIGNATURE_HEADER",
    "Kind",
    "Smartcar",
    "WebhookMessage",
    "answer_challenge",
    "is_signed",
    "obtain_alone",
    "parse_webhook",
    "peek_webhook",
    "shared",
]
