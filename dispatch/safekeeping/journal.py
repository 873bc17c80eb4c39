"""The journal of a giving: what was sent, what came of it, how each car ended.

One JSON object a line, appended and forced to disk in batches, always before the calls
that it announces. Whoever reads it anew - the same command after a kill, another host,
the main system - comes to the same `Progress` of every car. A call that was announced
and never answered is unknown.

    began   run, sheet, cars            send    hold
    answer  hold, status, code, ...     report  hold, what the car said
    unread  hold, code, wait            again   hold, wait
    close   hold, end, reason           ended   report
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from dispatch.lifecycle import UNPROVEN_COMMAND, CommandStatus

Line = dict[str, Any]


class End(StrEnum):
    """How a car's part of a giving ended."""

    RESTORED = "restored"  # a reading shows it
    FINISHED = "finished"  # full: nothing is owed any more
    DROVE_OFF = "drove off"  # unplugged: a stop does not outlive its plug-in
    CHARGES = "charges without us"  # restarted, or the stop never took
    THEIRS = "limit changed by somebody else"  # so it is not ours to set back
    UNSHOWN = "accepted, nothing shows it"  # accepted is not confirmed
    NOT_REACHED = "not reached"  # still owed, with a reason


# Nothing is owed any more.
SETTLED = (End.RESTORED, End.FINISHED, End.DROVE_OFF, End.CHARGES, End.THEIRS)


class Busy(Exception):
    """Another process is giving back from the same file."""


@dataclass(slots=True)
class Progress:
    """How far one car has come."""

    command: CommandStatus | None = None  # of the newest start, or limit set back
    attempts: int = 0
    ineffective: int = 0
    may_have_landed: bool = False
    since: datetime | None = None  # the first call to this car
    sent_at: datetime | None = None
    answered_at: datetime | None = None
    code: str = ""
    due_at: datetime | None = None  # of the next call, if it has to wait
    reads: int = 0
    unread: int = 0  # calls in a row that were to read it, and did not
    was_seen: bool = False  # it was read since the last call that gave
    seen_limit: float | None = None  # what that showed, if it showed one
    end: End | None = None
    reason: str = ""

    @property
    def gave(self) -> bool:
        """Say whether anything may have reached the car."""
        return self.may_have_landed or self.command in (
            CommandStatus.ACCEPTED,
            CommandStatus.UNKNOWN,
        )


def follow(progress: Progress, line: Line) -> None:
    """Bring a car's progress up to one more line about it."""
    at = datetime.fromisoformat(line["at"])
    did = line["did"]
    progress.since = progress.since or at
    if did == "send":
        progress.command = CommandStatus.SENDING
        progress.attempts += 1
        progress.sent_at = at
        progress.was_seen, progress.seen_limit = False, None
    elif did == "answer":
        progress.command = CommandStatus(line["status"])
        progress.code = line["code"]
        progress.may_have_landed |= line["landed"]
        progress.due_at = at + timedelta(seconds=line["wait"])
        progress.reads = 0
        if progress.command in UNPROVEN_COMMAND:
            progress.answered_at = at
    elif did == "report":
        progress.was_seen, progress.seen_limit = True, line.get("limit_percent")
        progress.unread = 0
        progress.reads += 1
        progress.due_at = at + timedelta(seconds=line["wait"])
    elif did == "unread":
        progress.code = line["code"]
        progress.unread += 1
        progress.due_at = at + timedelta(seconds=line["wait"])
    elif did == "again":
        progress.command = CommandStatus.QUEUED
        progress.ineffective += 1
        progress.due_at = at + timedelta(seconds=line["wait"])
    elif did == "close":
        progress.end = End(line["end"])
        progress.reason = line["reason"]


def told(
    lines: Iterable[Line],
    *,
    longest_answer: timedelta,
    before: Mapping[int, Progress] | None = None,
) -> dict[int, Progress]:
    """Return every car's progress by hold, as a journal tells it.

    `before` is how far cars had come when it began. A call that was announced and
    never answered may land as late as the provider's longest answer.
    """
    cars = dict(before or {})
    for line in in_order(lines):
        if "hold" in line:
            follow(cars.setdefault(line["hold"], Progress()), line)
    for progress in cars.values():
        if progress.command == CommandStatus.SENDING:
            _never_answered(progress, longest_answer)
    return cars


def in_order(lines: Iterable[Line]) -> list[Line]:
    """Return lines in the order they were written, each once.

    A resumed giving reads its own file and what reached the second place.
    """
    by_number = {(line["run"], line["seq"]): line for line in lines}
    return [by_number[key] for key in sorted(by_number)]


def missing(lines: Iterable[Line], *, among: Iterable[Line]) -> list[Line]:
    """Return the lines that are not among those, in order."""
    known = {(line["run"], line["seq"]) for line in among}
    return [line for line in in_order(lines) if (line["run"], line["seq"]) not in known]


def _never_answered(progress: Progress, longest_answer: timedelta) -> None:
    """Judge a call that left while whoever made it died: it may have happened."""
    assert progress.sent_at is not None, "what is being sent has left"
    progress.command = CommandStatus.UNKNOWN
    progress.may_have_landed = True
    progress.answered_at = progress.due_at = progress.sent_at + longest_answer
    progress.code = "nobody wrote down the answer"


class Journal:
    """A journal on disk, held by one process."""

    def __init__(self, path: Path) -> None:
        """Open it, make it if need be; raise Busy when another process has it."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        self._file: IO[bytes] = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise Busy(f"Another process gives back by {path}.") from None
        self.lines = self._read()
        self.run = max((line["run"] for line in self.lines), default=0)
        self._number = max((line["seq"] for line in self.lines), default=0)
        self._waiting: list[Line] = []
        if is_new:
            _force_folder(path.parent)

    def go_on(self, run: int, lines: Iterable[Line]) -> None:
        """Go on as this takeover, after what others wrote."""
        self.run = run
        self.lines = in_order([*self.lines, *lines])
        self._number = max((line["seq"] for line in self.lines), default=0)

    def add(self, did: str, *, at: datetime, **what: object) -> Line:
        """Note a line; `flush` makes it durable."""
        self._number += 1
        line: Line = {
            "run": self.run, "seq": self._number, "at": at.isoformat(), "did": did,
            **what,
        }  # fmt: skip
        self._waiting.append(line)
        return line

    def flush(self) -> list[Line]:
        """Force what was noted to disk, and return it."""
        written, self._waiting = self._waiting, []
        if written:
            text = "".join(json.dumps(line) + "\n" for line in written)
            self._file.write(text.encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        return written

    def close(self) -> None:
        """Force the rest to disk and let go."""
        self.flush()
        self._file.close()

    def _read(self) -> list[Line]:
        """Return the whole lines, and cut off one that a kill tore."""
        self._file.seek(0)
        data = self._file.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            self._file.truncate(whole)
        return [json.loads(line) for line in data[:whole].splitlines()]


def _force_folder(folder: Path) -> None:
    """Make a new file's name durable, too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
