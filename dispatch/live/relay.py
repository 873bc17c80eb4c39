"""From the process that ticks to the processes that stream, through Redis.

Redis may be gone, hung or empty: whoever calls here loses at most a picture, and half
a second.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache

import redis
import redis.asyncio
from django.conf import settings
from django.db import connection

TIMEOUT_SECONDS = 0.5
# What a new viewer gets at once may be this old; older, it is drawn anew.
KEPT_SECONDS = 5
FAILURES = (redis.RedisError, OSError)


def channel() -> str:
    """Return this installation's channel: Redis has no databases for channels."""
    return f"gridbalance:{connection.settings_dict['NAME']}:live"


def is_watched() -> bool:
    """Say whether anybody listens: nothing is drawn for nobody."""
    (_, number), *_ = _client().pubsub_numsub(channel())
    return int(number) > 0


def send(html: str) -> None:
    """Give a rendered picture to everybody who watches, and keep it for a moment."""
    pipe = _client().pipeline(transaction=False)
    pipe.set(f"{channel()}:last", html, ex=KEPT_SECONDS)
    pipe.publish(channel(), html)
    pipe.execute()


class Subscription:
    """One viewer's ear at the channel."""

    def __init__(
        self, client: redis.asyncio.Redis, ear: redis.asyncio.client.PubSub
    ) -> None:
        self._client = client
        self._ear = ear

    async def kept(self) -> str | None:
        """Return the last picture if it is of this moment."""
        html = await self._client.get(f"{channel()}:last")
        return html.decode() if isinstance(html, bytes) else None

    async def next(self, *, wait_seconds: float) -> str | None:
        """Return the next picture; None when none came in time."""
        message = await self._ear.get_message(
            ignore_subscribe_messages=True, timeout=wait_seconds
        )
        return message["data"].decode() if message else None


@asynccontextmanager
async def subscription() -> AsyncIterator[Subscription]:
    """Listen until the block ends; raise one of `FAILURES` when Redis is away."""
    client = redis.asyncio.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=TIMEOUT_SECONDS
    )
    ear = client.pubsub()
    try:
        await ear.subscribe(channel())
        # The answer to the subscription itself, so that `next` begins with a picture.
        await ear.get_message(timeout=TIMEOUT_SECONDS)
        yield Subscription(client, ear)
    finally:
        with suppress(*FAILURES):
            await ear.aclose()  # type: ignore[no-untyped-call]
            await client.aclose()


def _client() -> redis.Redis:
    return _client_of(settings.REDIS_URL)


@cache
def _client_of(url: str) -> redis.Redis:
    """Return this process's client; its pool notices a fork by itself."""
    return redis.Redis.from_url(
        url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
    )
