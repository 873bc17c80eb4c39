"""Every error of the REST interface as RFC 9457 `application/problem+json`.

`errors` names each field that is wrong, with a code for machines and a sentence for
the engineer who reads it at night. An answer with an error has written nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions, serializers
from rest_framework.response import Response
from rest_framework.views import set_rollback

from dispatch.event_rules import EventError, Invalid, NotAllowed, Stale, WrongMoment

log = structlog.get_logger(__name__)

CONTENT_TYPE = "application/problem+json"
API_PREFIX = "/api/"


class ProblemError(serializers.Serializer[Any]):
    """One field that is wrong."""

    field = serializers.CharField(help_text="Path in the request; empty: all of it.")
    code = serializers.CharField()
    message = serializers.CharField()


class Problem(serializers.Serializer[Any]):
    """What an error answer looks like."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    errors = ProblemError(many=True)  # type: ignore[assignment]


class Conflict(exceptions.APIException):
    status_code = 409
    default_code = "conflict"


class TooLarge(exceptions.APIException):
    status_code = 413
    default_code = "too_large"


class Unprocessable(exceptions.APIException):
    status_code = 422
    default_code = "unprocessable"


def problem(
    status: int, detail: str, errors: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """Return the body of an error answer."""
    return {
        "type": "about:blank",  # the status says it all; `errors` has the codes
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": errors or [],
    }


def handle(error: Exception, context: Mapping[str, Any]) -> Response:
    """Turn whatever a view raised into a problem; nothing of it stays written."""
    set_rollback()
    status, headers = 500, {}
    detail = "Something went wrong here; it is logged, and nothing was changed."
    errors: list[dict[str, str]] = []
    match error:
        case exceptions.ValidationError():
            status, errors = 400, list(_flat(error.detail))
            detail = " ".join(entry["message"] for entry in errors)
        case exceptions.APIException():
            status, detail = error.status_code, str(error.detail)
            if header := getattr(error, "auth_header", None):
                headers["WWW-Authenticate"] = header
            if (wait := getattr(error, "wait", None)) is not None:
                headers["Retry-After"] = str(int(wait) + 1)
        case Invalid():
            status = 400
            errors = [_entry(**vars(finding)) for finding in error.findings]
            detail = " ".join(entry["message"] for entry in errors)
        case Stale() | WrongMoment():
            status, detail = 409, str(error)
            code = "stale" if isinstance(error, Stale) else "wrong_moment"
            name = "version" if isinstance(error, Stale) else "status"
            errors = [{"field": name, "code": code, "message": detail}]
        case NotAllowed() | EventError():
            status, detail = 403, str(error)
        case Http404():
            status, detail = 404, "There is nothing at this address."
        case PermissionDenied():
            status, detail = 403, "You may not do this."
        case OperationalError():
            status, detail = 503, "The database does not answer; try again soon."
            headers["Retry-After"] = "5"
            log.error("api_without_database", error=str(error))
        case _:
            log.error("api_failed", exc_info=error)
    return Response(
        problem(status, detail, errors),
        status=status,
        headers=headers,
        content_type=CONTENT_TYPE,
    )


def _flat(detail: Any, path: str = "") -> Iterator[dict[str, str]]:
    """Yield one entry a message, with its path such as `feeders[2]`."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            if name == "non_field_errors":
                name = ""
            elif isinstance(name, int):
                name = f"[{name}]"
            elif path:
                name = f".{name}"
            yield from _flat(inner, f"{path}{name}")
    elif isinstance(detail, list):
        for inner in detail:
            yield from _flat(inner, path)
    else:
        yield _entry(path, detail.code, str(detail))


def _entry(field: str, code: str, message: str) -> dict[str, str]:
    """Return one finding; its message names the field, for it is read alone in logs."""
    if field not in message:
        message = f"{field}: {message}"
    return {"field": field, "code": code, "message": message}


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an unknown address: a problem under /api/, a page elsewhere."""
    if request.path.startswith(API_PREFIX):
        body = problem(404, f"There is nothing at {request.path}.")
        return JsonResponse(body, status=404, content_type=CONTENT_TYPE)
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer when a view outside the REST framework failed."""
    if request.path.startswith(API_PREFIX):
        body = problem(500, "Something went wrong here; it is logged.")
        return JsonResponse(body, status=500, content_type=CONTENT_TYPE)
    return defaults.server_error(request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that Django itself refuses."""
    if request.path.startswith(API_PREFIX):
        body = problem(400, "The request cannot be read.")
        return JsonResponse(body, status=400, content_type=CONTENT_TYPE)
    return defaults.bad_request(request, exception)
