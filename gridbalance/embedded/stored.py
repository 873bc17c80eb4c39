"""What is chosen once for a data folder and then stays: ports and passwords."""

from __future__ import annotations

import json
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import count
from pathlib import Path

LOOPBACK = "127.0.0.1"
FILE_NAME = "embedded.json"
# Below the ports that Linux (32768) and macOS (49152) give to outgoing connections,
# and enough of them that two checkouts rarely wish for the same.
FIRST_PORT, PORT_COUNT = 20_000, 10_000
DATABASE = USER = "gridbalance"
POSTGRES, VALKEY = "postgres", "valkey"


@dataclass(frozen=True)
class Addresses:
    """Where the embedded servers of one data folder are found, running or not."""

    database_url: str
    redis_url: str


@dataclass(frozen=True)
class Stored:
    """The content of the file: everything needed to start and to find the servers."""

    instance: str
    password: str
    ports: dict[str, int]

    @property
    def addresses(self) -> Addresses:
        at = f"{self.password}@{LOOPBACK}"
        return Addresses(
            database_url=f"postgresql://{USER}:{at}:{self.ports[POSTGRES]}/{DATABASE}",
            redis_url=f"redis://:{at}:{self.ports[VALKEY]}/0",
        )


def addresses(data_dir: Path) -> Addresses:
    """Return the addresses of the embedded servers without starting them."""
    return read(data_dir).addresses


def read(data_dir: Path) -> Stored:
    """Return what is stored for this folder; choose and store it the first time."""
    path = data_dir / FILE_NAME
    try:
        return _parse(path)
    except FileNotFoundError:
        data_dir.mkdir(parents=True, exist_ok=True)
        ports = free_ports(data_dir)
        chosen = Stored(
            instance=secrets.token_hex(8),
            password=secrets.token_hex(20),
            ports={POSTGRES: next(ports), VALKEY: next(ports)},
        )
        # Two processes may come here at once: one file wins, both read that one.
        _write(path, chosen, replace_it=False)
        return _parse(path)


def port(data_dir: Path, name: str, *, wish: int | None = None) -> int:
    """Return a port for this name: the stored one, unless somebody else has it now.

    The first time it is the wished one if that is free.
    """
    present = read(data_dir)
    candidates = [present.ports.get(name), wish]
    for candidate in candidates:
        if candidate is not None and is_free(candidate):
            chosen = candidate
            break
    else:
        others = set(present.ports.values())
        chosen = next(port for port in free_ports(data_dir) if port not in others)
    if chosen != present.ports.get(name):
        moved = replace(present, ports=present.ports | {name: chosen})
        _write(data_dir / FILE_NAME, moved, replace_it=True)
    return chosen


def free_ports(data_dir: Path) -> Iterator[int]:
    """Yield free ports, beginning at a place that belongs to this folder's name."""
    digest = sha256(str(data_dir.resolve()).encode()).digest()
    start = int.from_bytes(digest[:4], "big")
    for step in count():
        port = FIRST_PORT + (start + step) % PORT_COUNT
        if is_free(port):
            yield port


def is_free(port: int) -> bool:
    """Say whether a server could listen on this port now."""
    with socket.socket() as probe:
        # As the servers do: connections that are closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _parse(path: Path) -> Stored:
    return Stored(**json.loads(path.read_text()))


def _write(path: Path, stored: Stored, *, replace_it: bool) -> None:
    """Write the whole file at once, readable by its owner only."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as file:
        json.dump(asdict(stored), file, indent=2)
    if replace_it:
        Path(name).replace(path)
        return
    try:
        os.link(name, path)
    except FileExistsError:
        pass
    finally:
        Path(name).unlink()
