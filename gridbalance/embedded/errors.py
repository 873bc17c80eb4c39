"""What can go wrong with the embedded servers, in one line for the person there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

TAIL_LINES = 15


class EmbeddedError(RuntimeError):
    """The embedded servers cannot run; the message says why and what to do."""


class NotReady(EmbeddedError):
    """A server did not answer in time; the message ends with the tail of its log."""

    def __init__(self, what: str, log: Path) -> None:
        lines = "\n".join(f"  {line}" for line in tail(log))
        super().__init__(f"{what} The end of {log}:\n{lines}")


def tail(log: Path) -> Iterator[str]:
    """Yield the last lines of a log that may not exist."""
    if log.exists():
        yield from log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
