"""The kinds of process that make up a house: what to run, under which name."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gridbalance.embedded.stored import LOOPBACK


@dataclass(frozen=True)
class Process:
    """What to run under which name; the log is named after it."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None  # of another checkout, whose code it runs


def manage(name: str, *words: str, env: Mapping[str, str] | None = None) -> Process:
    """Return a process that runs one of our commands."""
    return Process(name, (sys.executable, "manage.py", *words), env or {})


def web(port: int) -> Process:
    """Return the web process; open streams get three seconds to end at a stop.

    It keeps no log of requests: a line costs half as much as taking a webhook, and
    the proxy in front has one.
    """
    words = f"gridbalance.asgi:application --host {LOOPBACK} --port {port}"
    options = (
        "--loop uvloop --http httptools --timeout-graceful-shutdown 3 --no-access-log"
    )
    return _module("web", f"uvicorn {words} {options}")


def worker(queue: str, *, processes: int = 1, tasks: str = "") -> Process:
    """Return a Celery worker for one queue; any number may run, on any machine.

    `tasks` names a module with tasks beyond those of our apps.
    """
    options = f"-Q {queue} -n {queue}@%h --concurrency {processes} --loglevel INFO"
    return _module(
        queue,
        f"celery -A gridbalance worker {options} --without-gossip --without-mingle"
        + (f" -I {tasks}" if tasks else ""),
    )


def beat(data_dir: Path) -> Process:
    """Return Celery's clock, which wakes the ticks."""
    process = _module("beat", "celery -A gridbalance beat --loglevel INFO --pidfile=")
    schedule = data_dir / "beat" / "schedule"
    schedule.parent.mkdir(parents=True, exist_ok=True)
    return Process("beat", (*process.argv, "--schedule", str(schedule)))


def _module(name: str, words: str) -> Process:
    return Process(name, (sys.executable, "-m", *words.split()))
