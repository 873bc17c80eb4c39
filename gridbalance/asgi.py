"""The web process: the webhook receiver in front, Django behind it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gridbalance.settings")

django = get_asgi_application()

from fleets.api import webhooks  # noqa: E402  (needs the apps to be ready)


async def application(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[Mapping[str, Any]], Awaitable[None]],
) -> None:
    """Route one connection.

    Webhooks pass Django by: its view stack takes 420 messages/s, the receiver 4,200,
    and the provider drops for good what is not taken within three minutes.
    """
    if scope["type"] == "http" and scope["path"].startswith(webhooks.PREFIX):
        await webhooks.application(scope, receive, send)
    elif scope["type"] == "http":
        await django(scope, receive, send)
    elif scope["type"] == "lifespan":
        await _lifespan(receive, send)


async def _lifespan(
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[Mapping[str, Any]], Awaitable[None]],
) -> None:
    """Answer the server's start and stop, and let go of the receiver's connection."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.shutdown":
            await webhooks.application.close()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
