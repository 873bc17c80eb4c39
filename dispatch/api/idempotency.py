"""A request that is repeated with its `Idempotency-Key` happens once.

The key's row, the signal and what came of it are one transaction. A second request
with the same key waits on the row's unique index until the first has committed, and
then gets the same answer; when the first failed, it takes its place. So only answers
that changed something are kept, and a refused request may be put right and sent again
with the same key.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import Any

from django.db import IntegrityError, transaction
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from dispatch.api.access import client_of
from dispatch.api.problems import Unprocessable
from dispatch.models import IdempotencyKey

HEADER = "Idempotency-Key"
LONGEST_KEY = 200


def once(
    request: Request, act: Callable[[], tuple[int, dict[str, Any]]], *, now: datetime
) -> Response:
    """Do `act` and keep its answer, or give the answer that was kept."""
    key = _key(request)
    digest = _digest(request)
    client = client_of(request)
    with transaction.atomic():
        try:
            with transaction.atomic():
                row = IdempotencyKey.objects.create(
                    client=client,
                    key=key,
                    body_hash=digest,
                    status=0,  # never seen: it is filled before the commit
                    response={},
                    created_at=now,
                )
        except IntegrityError:
            row = IdempotencyKey.objects.get(client=client, key=key)
            if row.body_hash != digest:
                raise Unprocessable(
                    f"The {HEADER} {key!r} was used for another request."
                ) from None
            return Response(row.response, status=row.status)
        row.status, row.response = act()
        row.save(update_fields=["status", "response"])
    return Response(row.response, status=row.status)


def _key(request: Request) -> str:
    key = request.headers.get(HEADER, "")
    if not key:
        message = (
            f"The header {HEADER} is missing: it names this request, so that its "
            "repetition changes nothing."
        )
        raise ValidationError({HEADER: message}, code="required")
    if len(key) > LONGEST_KEY or not (key.isascii() and key.isprintable()):
        message = f"{HEADER} must be 1 to {LONGEST_KEY} printable ASCII characters."
        raise ValidationError({HEADER: message}, code="invalid")
    return key


def _digest(request: Request) -> str:
    """Return a hash of what is asked: where, and the body whatever its spelling."""
    body = json.dumps(request.data, sort_keys=True, separators=(",", ":"))
    return sha256(f"{request.method} {request.path}\n{body}".encode()).hexdigest()
