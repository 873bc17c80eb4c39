"""The webhook receiver: a small ASGI application, mounted before Django.

A message is answered once it is committed, so whatever the provider counts as delivered
is ours for good. Messages are gathered for 10 ms and stored by one statement, which is
what lets one process take thousands a second. What they say is read later
(`telemetry.take_in`): here only the signature and the id of the event matter.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog
from django.db import connections

from fleets import clock
from fleets.providers import smartcar
from fleets.providers.smartcar import Kind
from fleets.tasks import take_in
from fleets.wake import wake

log = structlog.get_logger(__name__)

PREFIX = "/webhooks/"
SMARTCAR_PATH = "/webhooks/smartcar"

# All signals of one car take some 10 kB; a body above this is no webhook.
LARGEST_BODY_BYTES = 256 * 1024
GATHER_SECONDS = 0.010
LARGEST_BATCH = 1000
# More than that waiting means that the database cannot follow: the provider's retry
# comes in 25 s, which is better than an answer that comes too late.
MOST_WAITING = 20_000
# The provider hangs up after 15 s; a database that takes longer than this is down.
STORE_SECONDS = 8.0
# What comes at once is taken in at once; in a stream, batches of some hundreds cost
# half as much a message as batches of fifty.
WAKE_EVERY_SECONDS = 0.2

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_INSERT = """
insert into fleets_webhookdelivery (event_id, body, received_at, error)
select event_id, body, %s, '' from unnest(%b::text[], %b::bytea[]) as m (event_id, body)
on conflict (event_id) do nothing
"""


@dataclass(eq=False, slots=True)
class _Waiting:
    event_id: str
    body: bytes
    stored: asyncio.Future[bool]


class Inbox:
    """Stores messages in batches, through a connection of its own."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []
        self._storing: asyncio.Task[None] | None = None
        self._waking: asyncio.Task[None] | None = None
        self._wake_due = False
        self._connection: psycopg.AsyncConnection | None = None

    async def put(self, event_id: str, body: bytes) -> bool:
        """Store one message; False when it could not be made durable."""
        if len(self._waiting) >= MOST_WAITING:
            return False
        stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(event_id, body, stored))
        if self._storing is None:
            self._storing = asyncio.create_task(self._store_all())
        return await stored

    async def close(self) -> None:
        """Finish what is under way and let go of the connection."""
        for task in (self._storing, self._waking):
            if task is not None:
                await task
        await self._disconnect()

    async def _store_all(self) -> None:
        """Store batch after batch until nothing waits."""
        try:
            await asyncio.sleep(GATHER_SECONDS)
            while self._waiting:
                batch = self._waiting[:LARGEST_BATCH]
                del self._waiting[:LARGEST_BATCH]
                is_stored = await self._store(batch)
                for message in batch:
                    if not message.stored.done():  # its sender may have hung up
                        message.stored.set_result(is_stored)
                if is_stored:
                    self._wake_soon()
        finally:
            self._storing = None

    async def _store(self, batch: list[_Waiting]) -> bool:
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await self._insert(batch)
        except (psycopg.Error, OSError, TimeoutError) as error:
            log.error(
                "webhooks_not_stored", count=len(batch), error=type(error).__name__
            )
            await self._disconnect()
            return False
        return True

    async def _insert(self, batch: list[_Waiting]) -> None:
        if self._connection is not None and self._connection.closed:
            self._connection = None
        if self._connection is None:
            self._connection = await _connect()
        # Sorted, so that two processes with the same messages cannot deadlock.
        rows = sorted({message.event_id: message.body for message in batch}.items())
        async with self._connection.cursor() as cursor:
            # The clock as it is with these rows: its cached reader is not for here.
            await cursor.execute(
                "select real, simulated, speed, paused from fleets_clock"
            )
            row = await cursor.fetchone()
            timeline = clock.from_row(*row) if row else clock.REAL_TIME
            received_at = timeline.at(clock.real_now())
            ids, bodies = [name for name, _ in rows], [body for _, body in rows]
            await cursor.execute(_INSERT, [received_at, ids, bodies])

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                await connection.close()

    def _wake_soon(self) -> None:
        self._wake_due = True
        if self._waking is None:
            self._waking = asyncio.create_task(self._wake())

    async def _wake(self) -> None:
        """Wake the intake now, and again later for what came meanwhile."""
        try:
            while self._wake_due:
                self._wake_due = False
                # In a thread: a broker that hangs must not hold up the messages.
                await asyncio.to_thread(wake, take_in)
                await asyncio.sleep(WAKE_EVERY_SECONDS)
        finally:
            self._waking = None


async def _connect() -> psycopg.AsyncConnection:
    where = connections["default"].settings_dict
    # What stands behind the address's `?` goes before it, as it does for Django.
    wanted = {
        "dbname": where["NAME"],
        "user": where["USER"] or None,
        "password": where["PASSWORD"] or None,
        "host": where["HOST"] or None,
        "port": where["PORT"] or None,
        **where["OPTIONS"],
        "application_name": "gridbalance webhooks",
    }
    return await psycopg.AsyncConnection.connect(autocommit=True, **wanted)


class Receiver:
    """Takes what the provider posts; one inbox for each event loop it runs in."""

    def __init__(self) -> None:
        self._inbox: Inbox | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; 404 for any path but the provider's."""
        if scope["path"] != SMARTCAR_PATH:
            await _answer(send, 404)
        elif scope["method"] != "POST":
            await _answer(send, 405, headers=[(b"allow", b"POST")])
        else:
            headers = dict(scope["headers"])  # ASGI: their names are in lower case
            try:
                body = await _body(headers, receive)
            except ValueError:
                await _answer(send, 413)
                return
            if body is not None:
                signature = headers.get(smartcar.SIGNATURE_HEADER, b"")
                status, content = await self._take(body, signature.decode("latin-1"))
                await _answer(send, status, content)

    async def close(self) -> None:
        """Let go of everything; the next message opens it again."""
        inbox, self._inbox, self._loop = self._inbox, None, None
        if inbox is not None:
            await inbox.close()

    async def _take(self, body: bytes, signature: str) -> tuple[int, Message]:
        """Return the status and the content that answer one message."""
        is_signed = smartcar.is_signed(body, signature)
        try:
            message = smartcar.peek_webhook(body)
        except ValueError:
            message = None
        # A challenge comes unsigned, so it goes first.
        if message is not None and message.kind is Kind.VERIFY:
            proof = smartcar.answer_challenge(message.challenge)
            return (400, {}) if proof is None else (200, {"challenge": proof})
        if not is_signed:
            log.warning("webhook_signature_wrong", bytes=len(body))
            return 401, {}
        if message is None:
            # Signed, so it is the provider's: kept for a person to look at.
            event_id = f"sha256:{hashlib.sha256(body).hexdigest()}"
        else:
            event_id = message.event_id
        is_stored = await self._inbox_of_loop().put(event_id, body)
        return (200, {}) if is_stored else (503, {})

    def _inbox_of_loop(self) -> Inbox:
        loop = asyncio.get_running_loop()
        if self._inbox is None or self._loop is not loop:
            self._inbox, self._loop = Inbox(), loop
        return self._inbox


async def _body(headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
    """Return the raw body, None if the sender hung up; ValueError if it is too long."""
    said = headers.get(b"content-length", b"")
    if said.isdigit() and int(said) > LARGEST_BODY_BYTES:
        raise ValueError("too long")
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += bytes(message.get("body", b""))
        if len(body) > LARGEST_BODY_BYTES:
            raise ValueError("too long")
        if not message.get("more_body", False):
            return body


async def _answer(
    send: Send,
    status: int,
    content: Message | None = None,
    *,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> None:
    body = json.dumps(content).encode() if content else b"{}"
    lines = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *(headers or []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})


application = Receiver()
