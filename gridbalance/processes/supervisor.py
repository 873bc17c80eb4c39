"""The supervisor: it starts, tends and stops the processes of one data folder."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from gridbalance import pids
from gridbalance.embedded import (
    POSTGRES,
    VALKEY,
    Addresses,
    Embedded,
    EmbeddedError,
    stored,
)
from gridbalance.embedded.errors import tail
from gridbalance.pids import ProcessId
from gridbalance.processes import leftovers
from gridbalance.processes.kinds import Process

CHECKOUT = Path(__file__).resolve().parent.parent.parent
TEND_SECONDS = 0.1
# The embedded servers are looked after more rarely: they die less often.
TEND_SERVICES_SECONDS = 1.0
# The wait before a dead child starts again: doubled at each death, up to the last.
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.25, 10.0
# A child that ran this long was well: its next death counts as the first.
WELL_SECONDS = 30
VARIABLES = {POSTGRES: "DATABASE_URL", VALKEY: "REDIS_URL"}


class ProcessFailed(RuntimeError):
    """A process did not do what it was started for; the message holds its log's end."""

    def __init__(self, what: str, log: Path) -> None:
        lines = "\n".join(f"  {line}" for line in tail(log))
        super().__init__(f"{what} The end of {log}:\n{lines}")


@dataclass
class Child:
    """One started process and how it fares."""

    process: Process
    id: ProcessId
    started_at: float
    deaths: int = 0
    start_again_at: float | None = None


class Supervisor:
    """Everything that runs for one data folder; a context manager.

    Its methods may be called from several threads; the children are tended by a
    thread of its own, so whoever has entered is free for other work.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        fast: bool = False,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.embedded = Embedded(self.data_dir, fast=fast)
        self.say = say or _say
        self._services: list[str] = []
        self._services_are_up = False
        self._tiers: list[list[str]] = []
        self._children: dict[str, Child] = {}
        self._guard = threading.RLock()
        self._ending = threading.Event()
        self._tender = threading.Thread(target=self._tend, daemon=True)
        self._handlers: dict[int, Any] = {}

    # --- One house a data folder ---------------------------------------------------

    def __enter__(self) -> Self:
        self._lock = leftovers.lock(self.data_dir)
        self.announce("an address that is not known yet")
        leftovers.end(self.data_dir)
        self._catch_requests_to_stop()
        self._guardian = leftovers.start_guardian(self.data_dir, self._lock)
        self._tender.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number in self._handlers:
            signal.signal(number, signal.SIG_IGN)  # one request to stop is enough
        self._ending.set()
        self._tender.join()
        leftovers.end(self.data_dir)
        assert self._guardian.stdin is not None
        self._guardian.stdin.close()
        self._guardian.wait()
        self._lock.close()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def announce(self, address: str) -> None:
        """Let a second start say where this one answers."""
        leftovers.announce(self._lock, address)

    # --- Starting --------------------------------------------------------------------

    @property
    def env(self) -> dict[str, str]:
        """Return the environment of every child."""
        return os.environ | {
            "GRIDBALANCE_DATA_DIR": str(self.data_dir),
            "DJANGO_SETTINGS_MODULE": "gridbalance.settings",
            "PYTHONUNBUFFERED": "1",
        }

    def start_services(self) -> Addresses:
        """Start the embedded servers for which no other is configured."""
        known = self.embedded.addresses
        for name, variable in VARIABLES.items():
            if variable in os.environ or f"{variable}_FILE" in os.environ:
                self.say(f"{name}: the one that {variable} names")
                continue
            self.say(f"{name}: embedded, from its wheel")
            # One that runs already was started by somebody else, who will stop it.
            if name not in self._services and self.embedded.find(name) is None:
                with self._guard:
                    self._services.append(name)
                    self._record()
        if self._services:
            self.embedded.start(*self._services)
            self._services_are_up = True
        if self.embedded.addresses != known:
            self._begin_again()
        return self.embedded.addresses

    def port(self, name: str, *, wish: int | None = None) -> int:
        """Return this folder's port of that name: the same each time, if still free."""
        return stored.port(self.data_dir, name, wish=wish)

    def run_manage(self, *words: str) -> None:
        """Run one of our commands to its end; ProcessFailed tells what it said."""
        log = self.log(words[0])
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            ended = subprocess.run(  # noqa: S603 - our own command
                [sys.executable, "manage.py", *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=CHECKOUT,
                env=self.env,
                check=False,
            )
        if ended.returncode != 0:
            raise ProcessFailed(f"`manage.py {' '.join(words)}` failed.", log)

    def start(self, *processes: Process) -> None:
        """Start these processes; they will also be stopped together."""
        with self._guard:
            self._tiers.append([process.name for process in processes])
            for process in processes:
                self._spawn(process)

    def wait_until_answers(
        self, name: str, port: int, path: str = "/", *, seconds: float = 60
    ) -> None:
        """Return when that process answers HTTP with anything but a server error."""
        deadline = time.monotonic() + seconds
        while not _answers(port, path):
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{name} does not answer.", self.log(name))
            time.sleep(TEND_SECONDS)

    # --- Watching --------------------------------------------------------------------

    def watch(self, until: Callable[[], bool] = lambda: False) -> None:
        """Wait until the condition holds or somebody asks to stop (Ctrl-C)."""
        while not until():
            time.sleep(TEND_SECONDS)

    def is_running(self, name: str) -> bool:
        """Say whether the process of this name runs now."""
        with self._guard:
            child = self._children.get(name)
            return child is not None and pids.is_running(child.id)

    def has(self, name: str) -> bool:
        """Say whether a process of this name was started, and not stopped for good."""
        with self._guard:
            return name in self._children

    def pids_of(self, name: str) -> set[int]:
        """Return the numbers of all that belong to a process, or to a server."""
        if name in VARIABLES:
            server = self.embedded.find(name)
            return set() if server is None else pids.family(server)
        with self._guard:
            return pids.members(self._children[name].id)

    def log(self, name: str) -> Path:
        """Return the log of a process."""
        return self.data_dir / "logs" / f"{name}.log"

    # --- Ending, politely and not ----------------------------------------------------

    def stop(self, *names: str) -> None:
        """Stop these processes for good, all at once."""
        with self._guard:
            children = [self._children.pop(name) for name in names]
            ids = [child.id for child in children]
            pids.end(*ids, seconds=leftovers.STOP_SECONDS)
            self._record()

    def kill(self, *names: str) -> None:
        """Kill these processes with their groups, as `kill -9` does; they come back."""
        with self._guard:
            for name in names:
                pids.kill(self._children[name].id)

    def lose(self, *names: str) -> None:
        """Kill these processes and the embedded servers, as a power cut; for good."""
        with self._guard:
            self._services_are_up = False
            for name in names:
                pids.kill(self._children.pop(name).id)
            for name in self._services:
                self.embedded.kill(name)
            self._record()

    def send(self, name: str, number: signal.Signals) -> None:
        """Send one signal to the whole group of a process: SIGSTOP, SIGCONT, ..."""
        with self._guard:
            for pid in pids.members(self._children[name].id):
                os.kill(pid, number)

    def restart_postgres(self) -> None:
        """Stop PostgreSQL and start it again at the same port."""
        self.embedded.restart(POSTGRES)

    def restart_valkey(self) -> None:
        """Stop Valkey, which forgets everything, and start it at the same port."""
        self.embedded.restart(VALKEY)

    def kill_postgres(self) -> None:
        """Kill PostgreSQL, as a crash would; it comes back."""
        self.embedded.kill(POSTGRES)

    def kill_valkey(self) -> None:
        """Kill Valkey, as a crash would; it comes back empty."""
        self.embedded.kill(VALKEY)

    # --- Behind the scenes -----------------------------------------------------------

    def _spawn(self, process: Process, *, deaths: int = 0) -> None:
        with pids.uninterrupted():
            started = pids.spawn(
                process.argv,
                log=self.log(process.name),
                env={**self.env, **process.env},
                cwd=process.folder or CHECKOUT,
            )
            child = Child(process, started, time.monotonic(), deaths)
            self._children[process.name] = child
            self._record()

    def _record(self) -> None:
        leftovers.record(
            self.data_dir,
            tiers=[
                [self._children[name].id for name in tier if name in self._children]
                for tier in self._tiers
            ],
            services=self._services,
        )

    def _tend(self) -> None:
        """Start again what died, until the end."""
        services_at = 0.0
        while not self._ending.wait(TEND_SECONDS):
            now = time.monotonic()
            with self._guard:
                for child in list(self._children.values()):
                    self._tend_child(child, now)
            if self._services_are_up and now >= services_at:
                services_at = now + TEND_SERVICES_SECONDS
                self._tend_services()

    def _tend_child(self, child: Child, now: float) -> None:
        if child.start_again_at is not None:
            if now >= child.start_again_at:
                self._spawn(child.process, deaths=child.deaths)
            return
        if pids.is_running(child.id):
            return
        pids.kill(child.id)  # what its group still holds: a dead worker's children
        was_well = now - child.started_at >= WELL_SECONDS
        child.deaths = 1 if was_well else child.deaths + 1
        # Bounded before the power grows beyond what a float holds.
        doublings = min(child.deaths - 1, 10)
        wait = min(FIRST_WAIT_SECONDS * 2**doublings, LONGEST_WAIT_SECONDS)
        child.start_again_at = now + wait
        name = child.process.name
        self.say(f"{name} ended; again in {wait:g} s (log: {self.log(name)})")

    def _tend_services(self) -> None:
        missing = [name for name in self._services if self.embedded.find(name) is None]
        if not missing:
            return
        try:
            self.embedded.start(*missing)
        except (EmbeddedError, OSError) as error:  # a full disk is no reason to leave
            self.say(str(error))  # tried again at the next look

    def _begin_again(self) -> None:
        """Run the command anew when settings hold ports that somebody else took."""
        from django.conf import settings

        if settings.configured and Path(settings.DATA_DIR).resolve() == self.data_dir:
            self.__exit__(None, None, None)
            os.execv(  # noqa: S606 - the very command that runs
                sys.executable, [sys.executable, *sys.orig_argv[1:]]
            )

    def _catch_requests_to_stop(self) -> None:
        """Treat a polite request to end like Ctrl-C: leave by the door, in order."""
        if threading.current_thread() is not threading.main_thread():
            return

        def leave(number: int, frame: FrameType | None) -> None:
            raise KeyboardInterrupt

        for number in pids.STOP_REQUESTS:
            self._handlers[number] = signal.signal(number, leave)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(stored.LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
