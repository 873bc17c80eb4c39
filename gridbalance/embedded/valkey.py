"""The embedded Valkey: a queue and a relay that may forget; the rows are the truth."""

from __future__ import annotations

import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from gridbalance import pids
from gridbalance.embedded.errors import NotReady
from gridbalance.embedded.home import Home
from gridbalance.embedded.stored import LOOPBACK
from gridbalance.pids import ProcessId

READY_SECONDS = 60
LOOK_AGAIN_SECONDS = 0.02
STOP_SIGNALS = (signal.SIGTERM,)


@dataclass(frozen=True)
class Valkey:
    """One server: its files, its port and its password."""

    home: Home
    port: int
    password: str
    log: Path

    def start(self) -> ProcessId:
        """Start the server; its settings go in by a pipe, so no list shows them."""
        folder = self.home.make_folder("valkey")
        settings = {
            "bind": LOOPBACK,
            "port": self.port,
            "requirepass": self.password,
            "dir": ".",  # where it is started; a path with spaces would need quotes
            "databases": 16,
            "save": '""',
            "appendonly": "no",
            "daemonize": "no",
            "tcp-backlog": 128,  # what Linux and macOS grant without being asked
        }
        text = "".join(f"{name} {value}\n" for name, value in settings.items())
        return pids.spawn(
            [self.home.valkey_server, "-"],
            log=self.log,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            cwd=folder,
            account=self.home.account,
            stdin=text.encode(),
        )

    def wait_until_ready(self, process: ProcessId) -> None:
        """Return when the server answers to its password."""
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            if not pids.is_running(process):
                raise NotReady("Valkey ended at its start.", self.log)
            if time.monotonic() > deadline:
                raise NotReady(
                    f"Valkey is not ready after {READY_SECONDS} s.", self.log
                )
            time.sleep(LOOK_AGAIN_SECONDS)

    def _answers(self) -> bool:
        words = f"AUTH {self.password}\r\nPING\r\nQUIT\r\n"
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=5) as wire:
                wire.sendall(words.encode())
                return wire.makefile("rb").read() == b"+OK\r\n+PONG\r\n+OK\r\n"
        except OSError:
            return False
