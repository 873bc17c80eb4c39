"""The calls: commands, readings, connections."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from urllib.parse import quote

from django.conf import settings
from pyreqwest.client import Client
from pyreqwest.exceptions import BuilderError, PyreqwestError
from pyreqwest.request import RequestBuilder
from pyreqwest.response import Response

from fleets.providers.base import (
    Connection,
    OutcomeUnknown,
    Receipt,
    Rejected,
    Report,
    Scope,
    TokenStale,
    TryLater,
    VehicleKey,
)
from fleets.providers.smartcar import signals, tokens
from fleets.providers.smartcar.answers import Answer, judge_command, refuse_errors
from fleets.providers.smartcar.http import build_client, never_left
from fleets.providers.smartcar.json_values import (
    get,
    identifier,
    items,
    number,
    text,
)

# The HTTP library's threads go on for some milliseconds after a client is closed;
# where Python ended meanwhile, one process in six was aborted.
LETTING_GO_SECONDS = 0.1
PAGE_SIZE = 100  # the most that is allowed; the default differs between sources


class Smartcar:
    """Smartcar's v3 API. One per process, made after any fork.

    The async methods never touch the database and may run by the thousand at once.
    They use the token that this object holds, so their caller, who owns the event loop,
    calls `fresh_token` (sync, database) before each run of it, and `renew_token` after
    a call raised `TokenStale`; it then repeats that call once.

    Tokens come from `obtain`: `tokens.obtain` shares one among all processes by a row,
    `tokens.obtain_alone` needs no database.
    """

    def __init__(self, obtain: tokens.Obtain = tokens.obtain) -> None:
        self._obtain = obtain
        self._origin = settings.SMARTCAR_VEHICLE_ORIGIN.rstrip("/") + "/v3"
        self._token: tokens.Token | None = None
        self._client: Client | None = None

    def fresh_token(self, now: datetime) -> str:
        """Hold a token with some life left, and return it. Sync; may use the database.

        Raise TryLater for the whole application if the provider gives none.
        """
        if self._token is None or self._token.is_due(now):
            self._token = self._obtain(self._token, now=now, must_change=False)
        return self._token.text

    def renew_token(self, now: datetime) -> str:
        """Hold another token than the present one, which was refused, and return it.

        When another process has renewed it meanwhile, that one is taken over.
        """
        self._token = self._obtain(self._token, now=now, must_change=True)
        return self._token.text

    async def stop_charging(self, key: VehicleKey) -> Receipt:
        return await self._command(key, "charge/stop")

    async def start_charging(self, key: VehicleKey) -> Receipt:
        return await self._command(key, "charge/start")

    async def set_charge_limit(self, key: VehicleKey, percent: int) -> Receipt:
        body = {"data": {"attributes": {"percent": percent}}}
        return await self._command(key, "charge/set-limit", body)

    async def read(self, key: VehicleKey) -> Report:
        url = f"{self._origin}/vehicles/{quote(key.vehicle_id, safe='')}/signals"
        body, request_id = await self._get(url, user_id=key.user_id)
        report = signals.report(key.vehicle_id, get(body, "data"))
        if report is None:
            raise TryLater("SIGNALS:WITHOUT_TIME", request_id=request_id)
        return report

    async def connections(self) -> AsyncIterator[Connection]:
        number_of_page = 1
        while True:
            page = await self._connection_page(number_of_page)
            for connection in page.connections:
                yield connection
            if page.is_last:
                return
            number_of_page += 1

    @property
    def is_open(self) -> bool:
        return self._client is not None

    async def close(self) -> None:
        """Let go of the connections; the next call opens new ones."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _connection_page(self, page: int) -> _Page:
        url = f"{self._origin}/connections?page[number]={page}&page[size]={PAGE_SIZE}"
        body, _ = await self._get(url)
        entries = items(get(body, "data"))
        found = [c for c in map(_connection, entries) if c is not None]
        total = number(get(body, "meta", "totalCount"))
        if total is not None:
            is_last = page * PAGE_SIZE >= total
        else:
            is_last = not text(get(body, "links", "next"))
        # An empty page ends the walk whatever the count says.
        return _Page(found, is_last=is_last or not entries)

    async def _command(
        self, key: VehicleKey, command: str, body: object = None
    ) -> Receipt:
        """Send a command once; what breaks after it left is unknown, not failed."""
        vehicle = quote(key.vehicle_id, safe="")
        url = f"{self._origin}/vehicles/{vehicle}/commands/{command}"
        request = self._http().post(url)
        if body is not None:
            request = request.body_json(body)
        return judge_command(await self._send(request, user_id=key.user_id))

    async def _get(self, url: str, *, user_id: str = "") -> tuple[object, str]:
        """Read once; nothing happens by reading, so what is unclear is "later"."""
        try:
            answer = await self._send(self._http().get(url), user_id=user_id)
            refuse_errors(answer)
        except OutcomeUnknown as error:
            raise TryLater(error.code, request_id=error.request_id) from error
        if answer.body is None:
            raise TryLater("BODY:UNREADABLE", request_id=answer.request_id)
        return answer.body, answer.request_id

    async def _send(self, request: RequestBuilder, *, user_id: str) -> Answer:
        """Send, and return the answer with its whole body; raise what the line did."""
        if self._token is None:
            raise TokenStale("TOKEN:NONE")
        try:
            request = request.bearer_auth(self._token.text)
            if user_id:
                request = request.header("sc-user-id", user_id)
            sendable = request.build()
        except (BuilderError, ValueError) as error:
            raise Rejected("REQUEST:UNSENDABLE") from error
        try:
            response = await sendable.send()
            return await _answer(response)
        except PyreqwestError as error:
            if never_left(error):
                raise TryLater("LINE:NO_CONNECTION", scope=Scope.APPLICATION) from error
            is_late = isinstance(error, TimeoutError)
            raise OutcomeUnknown(
                "LINE:TIMEOUT" if is_late else "LINE:BROKEN"
            ) from error

    def _http(self) -> Client:
        if self._client is None:
            self._client = build_client(self._origin)
        return self._client


@dataclass(frozen=True, slots=True)
class _Page:
    connections: list[Connection]
    is_last: bool


async def _answer(response: Response) -> Answer:
    """Read an answer to its end: a long command's verdict comes last, on 202."""
    raw = await response.bytes()
    body: object = None
    try:
        body = json.loads(bytes(raw)) if raw else None
    except (ValueError, RecursionError):
        body = None  # a gateway's page of HTML, say
    request_id = identifier(_header(response, "sc-request-id"))
    if response.status < HTTPStatus.MULTIPLE_CHOICES:
        return Answer(response.status, body, request_id)
    return Answer(
        status=response.status,
        body=body,
        request_id=request_id,
        retry_after=_header(response, "retry-after"),
        date=_header(response, "date"),
    )


def _header(response: Response, name: str) -> str:
    try:
        return response.get_header(name) or ""
    except ValueError:
        return ""  # bytes that are no text


def _connection(entry: object) -> Connection | None:
    """Return a connection, or None for an entry that lacks its ids."""
    vehicle_id = identifier(get(entry, "relationships", "vehicle", "data", "id"))
    user_id = identifier(get(entry, "relationships", "user", "data", "id"))
    if not vehicle_id or not user_id:
        return None
    attributes = get(entry, "attributes")
    vehicle = get(attributes, "vehicle")
    year = number(get(vehicle, "year"))
    return Connection(
        key=VehicleKey(vehicle_id=vehicle_id, user_id=user_id),
        make=_printable(get(vehicle, "make")).upper(),
        model=_printable(get(vehicle, "model")),
        year=int(year) if year is not None and 1900 <= year <= 2200 else None,
        permissions=frozenset(map(text, items(get(attributes, "permissions")))),
    )


def _printable(value: object) -> str:
    return "".join(c for c in text(value) if c.isprintable())[:40].strip()


_by_process: dict[int, Smartcar] = {}


def shared() -> Smartcar:
    """Return this process's adapter; a forked child gets its own."""
    pid = os.getpid()
    if pid not in _by_process:
        _by_process[pid] = Smartcar()
        atexit.register(_close, pid)
    return _by_process[pid]


def _close(pid: int) -> None:
    """Close the adapter before Python ends: its threads would abort the process."""
    if pid == os.getpid() and _by_process[pid].is_open:
        asyncio.run(_by_process[pid].close())
        time.sleep(LETTING_GO_SECONDS)
