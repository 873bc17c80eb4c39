"""Ports and passwords are chosen once and stay."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

from gridbalance.embedded import stored


def test_addresses_stay_the_same_and_are_for_the_owner_only(tmp_path: Path) -> None:
    first = stored.addresses(tmp_path)

    again = stored.addresses(tmp_path)

    assert again == first
    mode = stat.S_IMODE((tmp_path / stored.FILE_NAME).stat().st_mode)
    assert mode == 0o600


def test_folders_have_ports_and_passwords_of_their_own(tmp_path: Path) -> None:
    one, other = stored.read(tmp_path / "one"), stored.read(tmp_path / "other")

    assert not set(one.ports.values()) & set(other.ports.values())
    assert one.password != other.password


def test_a_wished_port_is_taken_once_and_kept(tmp_path: Path) -> None:
    wish = next(stored.free_ports(tmp_path / "elsewhere"))

    first = stored.port(tmp_path, "web", wish=wish)
    again = stored.port(tmp_path, "web", wish=wish + 1)

    assert (first, again) == (wish, wish)


def test_a_port_that_a_stranger_took_is_replaced_for_good(tmp_path: Path) -> None:
    mine = stored.port(tmp_path, "web")

    with socket.create_server((stored.LOOPBACK, mine)):
        moved = stored.port(tmp_path, "web")

    assert moved != mine
    assert stored.port(tmp_path, "web") == moved
    assert moved not in {
        stored.read(tmp_path).ports[name] for name in (stored.POSTGRES, stored.VALKEY)
    }
