"""HTTP/1.1 on the bare transport: several times leaner than a general server.

One request at a time on a connection, as HTTP clients that keep connections do; a
client that pipelines is served in order as long as no answer is late.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import httptools

from fleets.simulator.exchange import Answer, Later, Reply, Request, refused
from fleets.simulator.wire import INTERNAL

log = logging.getLogger(__name__)

# The only headers anybody here looks at.
WANTED = frozenset({b"authorization", b"sc-user-id", b"content-type"})
PHRASES = {200: "OK", 201: "Created", 202: "Accepted", 404: "Not Found"}
MOST_BYTES = 4_000_000  # a request beyond this is a mistake


class Numbers:
    """Request identifiers, unlike those of any earlier run."""

    def __init__(self, prefix: str) -> None:
        """Begin a run: the prefix is its own."""
        self.prefix = prefix
        self.number = 0

    def next(self) -> str:
        """Return the next identifier."""
        self.number += 1
        return f"{self.prefix}-{self.number:012x}"


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(
        self,
        answer: Callable[[Request], Answer],
        numbers: Numbers,
        connections: set[Connection],
    ) -> None:
        """Wait for requests and pass them on."""
        self._answer = answer
        self._numbers = numbers
        self._connections = connections
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body = b""

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the way back."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it: late answers go nowhere, their deeds are done all the same."""
        self._transport = None
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    # What the parser calls

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._url = self._body = b""
        self._headers = {}

    def on_url(self, url: bytes) -> None:
        """Take a part of the address."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header if anybody looks at it."""
        name = name.lower()
        if name in WANTED:
            self._headers[name] = value

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._body += body
        if len(self._body) > MOST_BYTES:
            self.close()

    def on_message_complete(self) -> None:
        """Answer."""
        path, _, query = self._url.decode("latin-1").partition("?")
        request = Request(
            self._parser.get_method().decode(), path, query, self._headers, self._body
        )
        keeps_alive = self._parser.should_keep_alive()
        answer = self._ask(request)
        if isinstance(answer, Reply):
            self._send(answer, keeps_alive=keeps_alive)
        elif isinstance(answer, Later):
            self._send_later(answer, keeps_alive=keeps_alive)

    # The way back

    def _ask(self, request: Request) -> Answer:
        try:
            return self._answer(request)
        except Exception:
            log.exception("no answer to %s %s", request.method, request.path)
            return refused(INTERNAL)

    def _send(self, reply: Reply, *, keeps_alive: bool) -> None:
        if self._transport is None:
            return
        head = self._head(reply.status, keeps_alive=keeps_alive)
        if reply.retry_after_seconds is not None:
            head += f"retry-after: {reply.retry_after_seconds}\r\n"
        head += f"content-length: {len(reply.body)}\r\n\r\n"
        self._transport.write(head.encode() + reply.body)
        if not keeps_alive:
            self._transport.close()

    def _send_later(self, later: Later, *, keeps_alive: bool) -> None:
        loop = asyncio.get_running_loop()
        is_long = later.seconds >= later.long_after_seconds
        if is_long:
            loop.call_later(later.long_after_seconds, self._send_accepted, keeps_alive)
        loop.call_later(later.seconds, self._find_out, later, is_long, keeps_alive)

    def _send_accepted(self, keeps_alive: bool) -> None:
        """Send the head of a 202; the connection stays open for the verdict."""
        if self._transport is not None:
            head = self._head(202, keeps_alive=keeps_alive)
            self._transport.write(f"{head}transfer-encoding: chunked\r\n\r\n".encode())

    def _find_out(self, later: Later, is_long: bool, keeps_alive: bool) -> None:
        reply = later.find_out(is_long)
        if not is_long:
            self._send(reply, keeps_alive=keeps_alive)
        elif self._transport is not None:
            size = f"{len(reply.body):x}\r\n".encode()
            self._transport.write(size + reply.body + b"\r\n0\r\n\r\n")
            if not keeps_alive:
                self._transport.close()

    def _head(self, status: int, *, keeps_alive: bool) -> str:
        head = (
            f"HTTP/1.1 {status} {PHRASES.get(status, 'Refused')}\r\n"
            "content-type: application/json\r\n"
            f"sc-request-id: {self._numbers.next()}\r\n"
        )
        return head if keeps_alive else head + "connection: close\r\n"
