"""Processes by number and start time: start them, look at them, end them.

A process number alone says little, because numbers are used again. Together with
the moment of its start (and of the machine's) it names one process for ever, so a
record that outlived a crash never leads us to somebody else's process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOOK_AGAIN_SECONDS = 0.02
# A log that is longer at the next start begins anew.
LONGEST_LOG_BYTES = 10_000_000
STOP_REQUESTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Account:
    """The account that a process runs under, when it is not our own."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class ProcessId:
    """One process, told apart from every other that had or will have its number."""

    pid: int
    started: str


def spawn(
    argv: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str],
    cwd: Path,
    account: Account | None = None,
    stdin: bytes = b"",
) -> ProcessId:
    """Start a process that leads a session of its own and return who it is."""
    log.parent.mkdir(parents=True, exist_ok=True)
    too_long = log.exists() and log.stat().st_size > LONGEST_LOG_BYTES
    read_end, write_end = os.pipe()
    try:
        # Far below what a pipe holds, so the write cannot block.
        os.write(write_end, stdin)
        os.close(write_end)
        with log.open("wb" if too_long else "ab") as output:
            child = subprocess.Popen(  # noqa: S603 - only our own command lines
                [str(word) for word in argv],
                stdin=read_end,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=dict(env),
                start_new_session=True,
                umask=0o077,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
    finally:
        os.close(read_end)
    process = identify(child.pid) or ProcessId(child.pid, "ended at once")
    # From here on the process is known by its number, also to those who start after
    # us. Without this line Python would warn that a child is still running.
    child.returncode = 0
    return process


def identify(pid: int) -> ProcessId | None:
    """Return who has this number now; None when nobody does."""
    _reap(pid)
    if sys.platform == "linux":
        fields = _stat(pid)
        if fields is None or fields[0] in "ZX":
            return None
        return ProcessId(pid, f"{_boot_id()}/{fields[19]}")
    shown = _ps("-o", "stat=,lstart=", "-p", str(pid))
    state, _, started = shown.strip().partition(" ")
    if not state or state.startswith("Z"):
        return None
    return ProcessId(pid, " ".join(started.split()))


def is_running(process: ProcessId) -> bool:
    """Say whether this very process runs; one that waits to be reaped does not."""
    return identify(process.pid) == process


def mentions(pid: int, path: Path) -> bool:
    """Say whether the command line of this process names the path."""
    if sys.platform == "linux":
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            return False
        return os.fsencode(path) in words
    return str(path) in _ps("-o", "command=", "-p", str(pid))


def members(process: ProcessId) -> set[int]:
    """Return the numbers of all that run in the group this process leads or led."""
    now_there = identify(process.pid)
    if now_there is not None and now_there != process:
        return set()  # the number went to a stranger, so our group is long gone
    if sys.platform == "linux":
        pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
        return {pid for pid in pids if _group_of(pid) == process.pid}
    rows = (line.split() for line in _ps("-ax", "-o", "pid=,pgid=,stat=").splitlines())
    return {
        int(pid)
        for pid, group, state in rows
        if int(group) == process.pid and not state.startswith("Z")
    }


def family(process: ProcessId) -> set[int]:
    """Return its group and its children: those of PostgreSQL lead their own groups."""
    found = members(process)
    if sys.platform == "linux":
        pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
        return found | {pid for pid in pids if _parent_of(pid) == process.pid}
    rows = (line.split() for line in _ps("-ax", "-o", "pid=,ppid=").splitlines())
    return found | {int(pid) for pid, parent in rows if int(parent) == process.pid}


def cpu_seconds(numbers: Iterable[int]) -> float:
    """Return the processor time of these, and of those children that have ended."""
    if sys.platform == "linux":
        stats = (_stat(pid) for pid in numbers)
        # utime, stime, and both of children that were waited for
        ticks = sum(sum(map(int, one[11:15])) for one in stats if one is not None)
        return ticks / os.sysconf("SC_CLK_TCK")
    listed = ",".join(map(str, numbers))
    # days-hours:minutes:seconds, the larger ones only where needed
    lines = _ps("-o", "cputime=", "-p", listed).replace("-", ":").split()
    return sum(
        float(part) * size
        for line in lines
        for part, size in zip(
            reversed(line.split(":")), (1, 60, 3600, 86400), strict=False
        )
    )


def end(
    *processes: ProcessId,
    politely: Iterable[signal.Signals] = (signal.SIGTERM,),
    seconds: float = 10,
) -> None:
    """Ask the processes to end, then end their groups; return when all are gone."""
    for request in politely:
        asked = [process for process in processes if is_running(process)]
        for process in asked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, request)
        deadline = time.monotonic() + seconds
        for process in asked:
            wait_until_gone(process, seconds=deadline - time.monotonic())
    for process in processes:
        kill(process)


def kill(process: ProcessId) -> None:
    """End the whole group at once, without asking."""
    deadline = time.monotonic() + 10
    while left := members(process):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError(f"Processes {sorted(left)} do not end.")
        time.sleep(LOOK_AGAIN_SECONDS)


def wait_until_gone(process: ProcessId, *, seconds: float) -> bool:
    """Wait for the end of a process; False means that it still runs."""
    deadline = time.monotonic() + seconds
    while is_running(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_AGAIN_SECONDS)
    return True


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back requests to stop until a started process is also recorded."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = {
        request: signal.signal(request, lambda caught, _: held.append(caught))
        for request in STOP_REQUESTS
    }
    try:
        yield
    finally:
        for request, handler in before.items():
            signal.signal(request, handler)
        for number in held[:1]:
            signal.raise_signal(number)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _stat(pid: int) -> list[str] | None:
    """Return the fields of a process from its state on; its name may hold spaces."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def _group_of(pid: int) -> int | None:
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[2])


def _parent_of(pid: int) -> int | None:
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[1])


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _ps(*arguments: str) -> str:
    command = ["/bin/ps", *arguments]
    return subprocess.run(  # noqa: S603 - a fixed program, numbers as arguments
        command, capture_output=True, text=True, check=False
    ).stdout
