"""Both embedded servers of one data folder: start, stop, restart, kill."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from gridbalance import pids
from gridbalance.embedded import postgres, stored, valkey
from gridbalance.embedded.home import Home, folder_of, open_home, tell
from gridbalance.embedded.postgres import Postgres
from gridbalance.embedded.stored import POSTGRES, VALKEY, Addresses
from gridbalance.embedded.valkey import Valkey
from gridbalance.pids import ProcessId

# In the order of their start; the stop goes the other way round.
NAMES = (POSTGRES, VALKEY)
STOP_SIGNALS = {POSTGRES: postgres.STOP_SIGNALS, VALKEY: valkey.STOP_SIGNALS}
STOP_SECONDS = 30


class Embedded:
    """PostgreSQL and Valkey of one data folder.

    What runs is recorded beside the servers' files by number and start time, so
    every process of this checkout finds them, and finds out when they are gone.
    """

    def __init__(self, data_dir: Path, *, fast: bool = False) -> None:
        self.data_dir = data_dir
        self.fast = fast

    @property
    def addresses(self) -> Addresses:
        return stored.addresses(self.data_dir)

    def start(self, *names: str) -> Addresses:
        """Start what does not run yet (both by default); return when it is ready."""
        with self._alone():
            self._set_strange_files_aside()
            missing = [name for name in names or NAMES if self.find(name) is None]
            self._leave_taken_ports(missing)
            if not any(self.find(name) for name in NAMES):
                self._home.remove_old_programs()
            started = {name: self._spawn(name) for name in missing}
            for name, process in started.items():
                self._server(name).wait_until_ready(process)
        return self.addresses

    def stop(self, *names: str) -> None:
        """Stop what runs (both by default), Valkey first; return when it is gone."""
        with self._alone():
            for name in sorted(names or NAMES, key=NAMES.index, reverse=True):
                self._stop(name)

    def restart(self, name: str) -> None:
        """Stop and start one server, at the same port."""
        with self._alone():
            self._stop(name)
            self._server(name).wait_until_ready(self._spawn(name))

    def kill(self, name: str) -> None:
        """End one server at once, as a crash would."""
        with self._alone():
            if process := self.find(name):
                pids.kill(process)
            self._record(name, None)

    def remove(self) -> None:
        """Stop both servers and remove their files with all that is in them."""
        self.stop()
        shutil.rmtree(self._home.folder)
        self.__dict__.pop("_home")

    def find(self, name: str) -> ProcessId | None:
        """Return the server's process if it runs; nothing is made by asking."""
        if not folder_of(self.data_dir).exists():
            return None
        record = self._records().get(name)
        if record is not None and pids.is_running(record):
            return record
        if name == POSTGRES and (process := self._server_of_postgres.find_unrecorded()):
            self._record(name, process)
            return process
        return None

    @cached_property
    def _home(self) -> Home:
        return open_home(self.data_dir)

    @property
    def _server_of_postgres(self) -> Postgres:
        chosen = stored.read(self.data_dir)
        log = self.data_dir / "logs" / "postgres.log"
        return Postgres(
            self._home, chosen.ports[POSTGRES], chosen.password, log, self.fast
        )

    @property
    def _server_of_valkey(self) -> Valkey:
        chosen = stored.read(self.data_dir)
        log = self.data_dir / "logs" / "valkey.log"
        return Valkey(self._home, chosen.ports[VALKEY], chosen.password, log)

    def _server(self, name: str) -> Postgres | Valkey:
        return self._server_of_postgres if name == POSTGRES else self._server_of_valkey

    def _spawn(self, name: str) -> ProcessId:
        with pids.uninterrupted():
            process = self._server(name).start()
            try:
                self._record(name, process)
            except OSError:  # a full disk: nobody would find it any more
                pids.kill(process)
                raise
        return process

    def _stop(self, name: str) -> None:
        if process := self.find(name):
            pids.end(process, politely=STOP_SIGNALS[name], seconds=STOP_SECONDS)
        self._record(name, None)

    def _leave_taken_ports(self, names: list[str]) -> None:
        for name in names:
            before = stored.read(self.data_dir).ports[name]
            after = stored.port(self.data_dir, name)
            if after != before:
                tell(f"Port {before} is taken: {name} has port {after} from now on.")

    def _set_strange_files_aside(self) -> None:
        """Begin anew when the data folder was removed and root's files were not."""
        mark = self._home.folder / "instance"
        instance = stored.read(self.data_dir).instance
        if mark.exists() and mark.read_text() != instance:
            for name in reversed(NAMES):
                self._stop(name)
            old = self._home.folder / "postgres"
            if old.exists():
                aside = old.with_name(f"postgres-{datetime.now(UTC):%Y%m%dT%H%M%S}")
                old.rename(aside)
                tell(f"The data folder is new; the database before it is {aside}.")
        mark.write_text(instance)

    @property
    def _records_file(self) -> Path:
        return self._home.folder / "running.json"

    def _records(self) -> dict[str, ProcessId]:
        try:
            rows = json.loads(self._records_file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return {name: ProcessId(**row) for name, row in rows.items()}

    def _record(self, name: str, process: ProcessId | None) -> None:
        rows = {key: asdict(row) for key, row in self._records().items() if key != name}
        if process is not None:
            rows[name] = asdict(process)
        draft = self._records_file.with_suffix(".draft")
        draft.write_text(json.dumps(rows))
        draft.replace(self._records_file)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time start or stop these servers."""
        with (self._home.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
