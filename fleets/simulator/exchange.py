"""A request, and the ways in which it may be answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from fleets.simulator import wire


@dataclass(frozen=True, slots=True)
class Request:
    """What came over the wire, as far as anybody here looks at it."""

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]  # names in lower case
    body: bytes

    def header(self, name: bytes) -> str:
        """Return a header's text, empty if it did not come."""
        return self.headers.get(name, b"").decode("latin-1")

    def parameters(self) -> dict[str, str]:
        """Return the query's parameters."""
        return dict(parse_qsl(self.query))


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    body: bytes
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """An answer after some real seconds; what it says is found out then."""

    seconds: float
    long_after_seconds: float  # from here on it is a 202 whose body comes later
    find_out: Callable[[bool], Reply]  # told whether a 202 has gone out


@dataclass(frozen=True, slots=True)
class Never:
    """No answer: the connection is held until the client lets go."""


Answer = Reply | Later | Never


def refused(problem: wire.Problem) -> Reply:
    """Return a problem as an answer."""
    return Reply(
        problem.status,
        wire.encode(wire.problem(problem)),
        problem.retry_after_seconds,
    )


def told(body: wire.Json, *, status: int = 200) -> Reply:
    """Return a JSON answer."""
    return Reply(status, wire.encode(body))
