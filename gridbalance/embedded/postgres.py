"""The embedded PostgreSQL: made once, then started, asked and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from gridbalance import pids
from gridbalance.embedded.errors import EmbeddedError, NotReady
from gridbalance.embedded.home import Home
from gridbalance.embedded.stored import DATABASE, LOOPBACK, USER
from gridbalance.pids import ProcessId

READY_SECONDS = 60
LOOK_AGAIN_SECONDS = 0.05
# First no new connections and an end of those there are; then without the final
# checkpoint, which the next start makes up for.
STOP_SIGNALS = (signal.SIGINT, signal.SIGQUIT)

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # a socket's path in a deep folder is too long
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_duration_statement": "1s",
    "log_line_prefix": "%m [%p] ",
    "jit": "off",  # costs more than it gains in many short statements
}
# For data that may be lost with the machine: tests.
FAST_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "log_min_duration_statement": "-1",
}


@dataclass(frozen=True)
class Postgres:
    """One cluster: its files, its port and its password."""

    home: Home
    port: int
    password: str
    log: Path
    fast: bool = False

    @property
    def data(self) -> Path:
        return self.home.folder / "postgres"

    def start(self) -> ProcessId:
        """Make the cluster when it is missing, and start its server."""
        if not (self.data / "PG_VERSION").exists():
            self._make_cluster()
        settings = SETTINGS | (FAST_SETTINGS if self.fast else {})
        words = [
            word
            for name, value in (settings | {"port": str(self.port)}).items()
            for word in ("-c", f"{name}={value}")
        ]
        return pids.spawn(
            [self.home.postgres_bin / "postgres", "-D", self.data, *words],
            log=self.log,
            env=_environment(),
            cwd=self.data,
            account=self.home.account,
        )

    def wait_until_ready(self, process: ProcessId) -> None:
        """Return when a client can work with our database, which is made if missing."""
        import psycopg
        from psycopg import sql

        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                with psycopg.connect(
                    host=LOOPBACK,
                    port=self.port,
                    user=USER,
                    password=self.password,
                    dbname="postgres",
                    connect_timeout=5,
                    autocommit=True,
                ) as connection:
                    there = connection.execute(
                        "select 1 from pg_database where datname = %s", [DATABASE]
                    ).fetchone()
                    if there is None:
                        name = sql.Identifier(DATABASE)
                        connection.execute(sql.SQL("create database {}").format(name))
                    return
            except psycopg.OperationalError as error:
                if not pids.is_running(process):
                    raise NotReady("PostgreSQL ended at its start.", self.log) from None
                if time.monotonic() > deadline:
                    raise NotReady(
                        f"PostgreSQL is not ready after {READY_SECONDS} s ({error}).",
                        self.log,
                    ) from None
            time.sleep(LOOK_AGAIN_SECONDS)

    def find_unrecorded(self) -> ProcessId | None:
        """Return our server if it runs without a record; heal a pid file that lies.

        PostgreSQL heals the file of a server that is gone, but takes any living
        process with that number for its own server and refuses to start.
        """
        file = self.data / "postmaster.pid"
        try:
            pid = int(file.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None
        if pids.mentions(pid, self.data):
            return pids.identify(pid)
        if pids.identify(pid) is not None:
            file.unlink()
        return None

    def _make_cluster(self) -> None:
        """Run initdb with the password, and put the result in its place at once."""
        folder = self.home.make_folder("postgres-draft", fresh=True)
        account = self.home.account
        with tempfile.NamedTemporaryFile(
            "w", dir=self.home.folder, prefix=".password-"
        ) as secret:
            secret.write(f"{self.password}\n")
            secret.flush()
            if account is not None:
                os.chown(secret.name, account.uid, account.gid)
            made = subprocess.run(  # noqa: S603 - our own program and arguments
                [
                    self.home.postgres_bin / "initdb",
                    f"--pgdata={folder}",
                    f"--username={USER}",
                    f"--pwfile={secret.name}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--no-instructions",
                    *(["--no-sync"] if self.fast else []),
                ],
                env=_environment(),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                umask=0o077,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        if made.returncode != 0:
            words = " ".join(made.stdout.split()[-60:])
            raise EmbeddedError(f"PostgreSQL could not make its files: {words}")
        folder.rename(self.data)


def _environment() -> dict[str, str]:
    """Return a small environment: no PG* setting of the person's reaches the server."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
