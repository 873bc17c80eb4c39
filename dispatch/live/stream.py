"""The endless answer that keeps one operator's page alive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

import structlog
from asgiref.sync import sync_to_async
from django.db import DatabaseError, connections

from dispatch.live import relay
from dispatch.live.render import render
from dispatch.live.survey import picture
from fleets import clock

log = structlog.get_logger(__name__)

# Browsers come back by themselves; a stream that never ends would outlive a deployment.
LIFE_SECONDS = 30 * 60.0
# Without a word from the loop for so long, the picture is drawn from the database: it
# tells that the connection lives and the loop does not. Below the page's 15 s, and
# below the 10 s in which proxies want to see something.
SILENCE_SECONDS = 8.0
# Between two drawings, and two tries, while Redis is away.
WITHOUT_REDIS_SECONDS = 4.0


async def pictures(*, life_seconds: float = LIFE_SECONDS) -> AsyncGenerator[str, None]:
    """Yield server-sent events: the present picture, then one for each tick."""
    end = time.monotonic() + life_seconds
    yield "retry: 2000\n\n"
    first = True
    while time.monotonic() < end:
        try:
            async with relay.subscription() as ear:
                if first:
                    html = await ear.kept()
                    yield as_event(html) if html else await _drawn()
                first = False
                while time.monotonic() < end:
                    html = await ear.next(wait_seconds=SILENCE_SECONDS)
                    yield as_event(html) if html else await _drawn()
        except relay.FAILURES as error:
            log.warning("live_without_redis", error=str(error))
            yield await _drawn()
            first = False
            await asyncio.sleep(WITHOUT_REDIS_SECONDS)


def as_event(html: str) -> str:
    """Return a picture in the words of `text/event-stream`."""
    lines = (line.strip() for line in html.splitlines())
    return "event: picture\n" + "".join(f"data: {x}\n" for x in lines if x) + "\n"


async def _drawn() -> str:
    """Return an event drawn from the database; a comment when that is away too."""
    try:
        html = await sync_to_async(_draw, thread_sensitive=False)()
    except DatabaseError as error:
        log.warning("live_without_database", error=str(error))
        return ": the database does not answer\n\n"
    return as_event(html)


def _draw() -> str:
    """Draw in a thread of its own, and leave no connection behind (engine rule 12)."""
    try:
        return render(picture(clock.now()))
    finally:
        connections.close_all()
