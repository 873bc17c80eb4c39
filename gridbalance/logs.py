"""Log lines: one JSON object each, with the ids of what they are about, no secrets.

`request_id` (web) or `task_id` and `task` (workers) stand in every line that is written
on their behalf; a proxy's own request id is taken over. Whatever a library puts into a
message, a secret of the settings is not in what is written.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Iterable
from inspect import iscoroutinefunction
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware
from structlog.typing import EventDict, WrappedLogger

HEADER = "X-Request-Id"
SOUND = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Shorter ones are words that may stand in a line for another reason.
SHORTEST_SECRET = 8


class Renderer:
    """Writes a line as JSON, without the secrets that it was told of."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = [one for one in secrets if len(one) >= SHORTEST_SECRET]
        self._json = structlog.processors.JSONRenderer(default=str)

    def __call__(self, logger: WrappedLogger, name: str, line: EventDict) -> str:
        text = str(self._json(logger, name, line))
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def secrets_of(settings: dict[str, Any]) -> list[str]:
    """Return what must not be written, from the names of a settings module."""
    found = [
        settings["SECRET_KEY"],
        settings["SMARTCAR_CLIENT_SECRET"],
        settings["SMARTCAR_MANAGEMENT_TOKEN"],
        settings["SAFEKEEPING_SECRET_ACCESS_KEY"],
        *settings["SAFEKEEPING_KEYS"].split(","),
    ]
    for name in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL"):
        password = urlsplit(settings[name]).password or ""
        found += [password, unquote(password)]
    return sorted(set(found), key=len, reverse=True)


Answer = Callable[[HttpRequest], Any]


@sync_and_async_middleware
def with_request_id(get_response: Answer) -> Answer:
    """Give each request an id, and tell it to whoever asked."""
    if iscoroutinefunction(get_response):

        async def answer_soon(request: HttpRequest) -> HttpResponseBase:
            name = _begin(request)
            waiting: Awaitable[HttpResponseBase] = get_response(request)
            return _told(await waiting, name)

        return answer_soon

    def answer(request: HttpRequest) -> HttpResponseBase:
        name = _begin(request)
        return _told(get_response(request), name)

    return answer


def begin_task(task_id: str, name: str) -> None:
    """Let every line from here on say which task writes it."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(task_id=task_id, task=name)


def end_task() -> None:
    """Forget the task."""
    structlog.contextvars.clear_contextvars()


def _begin(request: HttpRequest) -> str:
    said = request.headers.get(HEADER, "")
    name = said if SOUND.fullmatch(said) else uuid.uuid4().hex
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=name)
    return name


def _told(response: HttpResponseBase, name: str) -> HttpResponseBase:
    response[HEADER] = name
    return response
