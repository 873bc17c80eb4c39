"""What an answer means: the whole table of Smartcar's errors, by what to do next.

Types first, then codes: pages of the provider print wrong codes beside right types, and
a code may be null. What is not listed is judged by its HTTP status.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from fleets.providers.base import (
    AccessRevoked,
    Asleep,
    CarState,
    NothingToDo,
    OutcomeUnknown,
    ProviderError,
    QuotaSpent,
    Receipt,
    Refused,
    Rejected,
    Scope,
    TokenStale,
    TryLater,
    Unsupported,
)
from fleets.providers.smartcar.json_values import get, items, text

LOW_BATTERY_SECONDS = 900.0  # 12 V batteries recover over quarters of an hour
MAKER_LIMIT_SECONDS = 900.0  # the maker's own limit; its size is not published
LONGEST_WAIT_SECONDS = 86_400.0  # whatever a header says, look again after a day
_LONGEST_WORD = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, read to its end. `body` is None when it was no JSON."""

    status: int
    body: object = None
    request_id: str = ""
    retry_after: str = ""
    date: str = ""

    @property
    def wait_seconds(self) -> float | None:
        """How long the provider asks us to wait; None if it does not say.

        `Retry-After` counts seconds, or names a date: then the answer's own `Date`
        is what it counts from, whatever our clock shows.
        """
        try:
            seconds = float(self.retry_after)
        except ValueError:
            seconds = _seconds_between(self.date, self.retry_after)
        if not math.isfinite(seconds):
            return None
        return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)


@dataclass(frozen=True, slots=True)
class _Problem:
    """One error object out of an answer."""

    type: str
    code: str
    status: int
    answer: Answer

    @property
    def name(self) -> str:
        if not self.type:
            return f"HTTP {self.status}"
        return f"{self.type}:{self.code}" if self.code else self.type


def judge_command(answer: Answer) -> Receipt:
    """Return the receipt of an accepted command, or raise one of the family.

    A long command answers 202 first and puts the verdict into the body, so the body
    decides, whatever the status line says. PENDING counts as accepted: a reading must
    confirm it anyway.
    """
    refuse_errors(answer)
    status = get(answer.body, "data", "attributes", "status")
    value = text(get(status, "value")).upper()
    if value in {"SUCCESS", "PENDING"}:
        return Receipt(answer.request_id)
    error = get(status, "error") or status
    if value == "FAILURE" and text(get(error, "type")):
        raise _error(_problem(error, answer))
    raise OutcomeUnknown(
        f"COMMAND:{_word(value) or 'UNREADABLE'}", request_id=answer.request_id
    )


def refuse_errors(answer: Answer) -> None:
    """Raise what the answer complains of; return if it is a plain success."""
    for error in items(get(answer.body, "errors")):
        raise _error(_problem(error, answer))
    if not 200 <= answer.status < 300:
        raise _error(_problem(answer.body, answer))


def _problem(error: object, answer: Answer) -> _Problem:
    """Return an error in short; the status inside a body is text and goes first."""
    inner = text(get(error, "status"))
    is_status = len(inner) == 3 and inner.isascii() and inner.isdecimal()
    return _Problem(
        type=_word(get(error, "type")),
        code=_word(get(error, "code")),
        status=int(inner) if is_status else answer.status,
        answer=answer,
    )


def _word(value: object) -> str:
    """Return a type or a code, without anything that could spoil a log line."""
    word = text(value).upper()[:_LONGEST_WORD]
    return re.sub(r"[^A-Z0-9_-]", "?", word)


def _seconds_between(start: str, end: str) -> float:
    try:
        a, b = parsedate_to_datetime(start), parsedate_to_datetime(end)
        return (_utc(b) - _utc(a)).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return math.nan


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# --- makers of errors: a problem in, one of the family out ----------------------------
_Maker = Callable[[_Problem], ProviderError]


def _plain(kind: type[OutcomeUnknown | Refused | Rejected]) -> _Maker:
    return lambda p: kind(p.name, request_id=p.answer.request_id)


def _later(
    scope: Scope = Scope.VEHICLE,
    *,
    kind: type[TryLater] = TryLater,
    wait_seconds: float | None = None,
) -> _Maker:
    """Return a maker of "later": after what the provider says, else our own guess."""

    def make(p: _Problem) -> ProviderError:
        said = p.answer.wait_seconds
        return kind(
            p.name,
            request_id=p.answer.request_id,
            wait_seconds=wait_seconds if said is None else said,
            scope=scope,
        )

    return make


def _already(state: CarState) -> _Maker:
    return lambda p: NothingToDo(p.name, state, request_id=p.answer.request_id)


def _stale(p: _Problem) -> ProviderError:
    return TokenStale(p.name, request_id=p.answer.request_id)


# (type, code); a code of "" is every other code of the type.
_BY_TYPE: dict[tuple[str, str], _Maker] = {
    ("VEHICLE_STATE", "CHARGING_IN_PROGRESS"): _already(CarState.CHARGING),
    ("VEHICLE_STATE", "NOT_CHARGING"): _already(CarState.NOT_CHARGING),
    ("VEHICLE_STATE", "FULLY_CHARGED"): _already(CarState.FULL),
    ("VEHICLE_STATE", "CHARGING_PLUG_NOT_CONNECTED"): _already(CarState.UNPLUGGED),
    ("VEHICLE_STATE", "IN_MOTION"): _already(CarState.DRIVING),
    ("VEHICLE_STATE", "IGNITION_ON"): _already(CarState.DRIVING),
    ("VEHICLE_STATE", "ASLEEP"): _later(kind=Asleep),
    ("VEHICLE_STATE", "UNREACHABLE"): _later(kind=Asleep),
    ("VEHICLE_STATE", "LOW_BATTERY"): _later(wait_seconds=LOW_BATTERY_SECONDS),
    ("VEHICLE_STATE", "REMOTE_ACCESS_DISABLED"): _plain(Refused),
    ("VEHICLE_STATE", "VEHICLE_OFFLINE_FOR_SERVICE"): _plain(Refused),
    ("VEHICLE_STATE", ""): _later(),  # CHARGE_FAULT, UNKNOWN, open doors
    ("UPSTREAM", "RATE_LIMIT"): _later(wait_seconds=MAKER_LIMIT_SECONDS),
    ("UPSTREAM", ""): _plain(OutcomeUnknown),
    # Smartcar's own fault may strike after the command went out: read first.
    ("SERVER", ""): _plain(OutcomeUnknown),
    ("RATE_LIMIT", "VEHICLE"): _later(),
    ("RATE_LIMIT", ""): _later(Scope.APPLICATION),  # SMARTCAR_API, and to be safe
    ("BILLING", ""): _plain(QuotaSpent),
    ("COMPATIBILITY", ""): _plain(Unsupported),
    ("PERMISSION", ""): _plain(AccessRevoked),
    ("CONNECTED_SERVICES_ACCOUNT", "AUTHENTICATION_FAILED"): _plain(AccessRevoked),
    ("CONNECTED_SERVICES_ACCOUNT", "PERMISSION"): _plain(AccessRevoked),
    ("CONNECTED_SERVICES_ACCOUNT", "VIRTUAL_KEY_REQUIRED"): _plain(AccessRevoked),
    ("CONNECTED_SERVICES_ACCOUNT", ""): _plain(Refused),  # a plan that ran out
    ("AUTHENTICATION", ""): _stale,
    ("UNAUTHORIZED", ""): _stale,
    ("ACCESS_DENIED", ""): _stale,
    ("VALIDATION", ""): _plain(Rejected),
    ("RESOURCE_NOT_FOUND", ""): _plain(Rejected),
}
_BY_STATUS: dict[int, _Maker] = {
    401: _stale,
    403: _plain(AccessRevoked),
    408: _plain(OutcomeUnknown),
    409: _later(),
    429: _later(Scope.APPLICATION),
    430: _plain(QuotaSpent),
    501: _plain(Unsupported),
}


def _error(problem: _Problem) -> ProviderError:
    maker = _BY_TYPE.get((problem.type, problem.code)) or _BY_TYPE.get(
        (problem.type, "")
    )
    if maker is None:
        # A 2xx that complains in words we do not know, or a server's fault: unknown.
        is_ours = 300 <= problem.status < 500
        fallback = _plain(Rejected if is_ours else OutcomeUnknown)
        maker = _BY_STATUS.get(problem.status, fallback)
    return maker(problem)
