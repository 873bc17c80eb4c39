"""Records of what runs, so that whoever comes after a crash can end it.

The lock file says who supervises a data folder and where that one answers. The
records name every started process. Both outlive a `kill -9` of the supervisor: its
guardian shares the lock and ends what is recorded; without a guardian, the next
supervisor does.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from gridbalance import pids
from gridbalance.embedded import Embedded
from gridbalance.pids import ProcessId

# Celery finishes what it has in hand first: a call to a provider may take a while,
# but whoever waits for the end of a stop has no more patience than this.
STOP_SECONDS = 15
# Every tier and both servers at their slowest, and some more.
CLEAN_UP_SECONDS = 120
LOOK_AGAIN_SECONDS = 0.1


class AlreadyRunning(RuntimeError):
    """Another supervisor has this data folder; the message says where it answers."""


def lock(data_dir: Path) -> TextIO:
    """Return the lock of this data folder, or raise AlreadyRunning.

    While the guardian of a killed supervisor still cleans up, wait for it.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    file = (data_dir / "lock").open("a+")
    deadline = time.monotonic() + CLEAN_UP_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder, address = _read_lock(file)
            if holder is None or pids.is_running(holder) or time.monotonic() > deadline:
                file.close()
                raise AlreadyRunning(
                    f"Gridbalance already runs from this folder at {address}."
                ) from None
            time.sleep(LOOK_AGAIN_SECONDS)
        else:
            return file


def announce(file: TextIO, address: str) -> None:
    """Write into the lock who holds it and where that one answers."""
    me = pids.identify(os.getpid())
    assert me is not None
    file.seek(0)
    file.truncate()
    json.dump({"supervisor": asdict(me), "address": address}, file)
    file.flush()


def _read_lock(file: TextIO) -> tuple[ProcessId | None, str]:
    file.seek(0)
    try:
        content = json.loads(file.read())
    except json.JSONDecodeError:  # in the moment of its being written
        return None, "an address that is not known yet"
    return ProcessId(**content["supervisor"]), content["address"]


def record(
    data_dir: Path,
    *,
    tiers: Sequence[Sequence[ProcessId]],
    services: Sequence[str],
) -> None:
    """Write down what runs now, in the order of its start."""
    rows = [[asdict(process) for process in tier] for tier in tiers]
    draft = data_dir / "processes.draft"
    draft.write_text(json.dumps({"tiers": rows, "services": list(services)}))
    draft.replace(data_dir / "processes.json")


def end(data_dir: Path) -> None:
    """End everything that is recorded, the last started first."""
    path = data_dir / "processes.json"
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return
    for tier in reversed(content["tiers"]):
        pids.end(*(ProcessId(**row) for row in tier), seconds=STOP_SECONDS)
    if content["services"]:
        Embedded(data_dir).stop(*content["services"])
    path.unlink(missing_ok=True)


def start_guardian(data_dir: Path, lock_file: TextIO) -> subprocess.Popen[bytes]:
    """Start the process that ends what is recorded when our end of its pipe closes."""
    log = data_dir / "logs" / "guardian.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - this very module
            [sys.executable, "-m", "gridbalance.processes.guardian", str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).resolve().parent.parent.parent,
            start_new_session=True,  # Ctrl-C in the terminal is not meant for it
            pass_fds=(lock_file.fileno(),),
        )
