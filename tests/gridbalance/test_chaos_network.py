"""Lines that are cut, hung, slowed and healed, between two real sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from gridbalance.chaos.network import Network, Trouble

SECONDS = 5.0


@pytest.fixture
def echo() -> Iterator[int]:
    """Return the port of a server that says everything again."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                caller, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=say_again, args=[caller], daemon=True).start()

    def say_again(caller: socket.socket) -> None:
        with caller:
            try:
                while data := caller.recv(1000):
                    caller.sendall(data)
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(SECONDS)


@pytest.fixture
def line(echo: int) -> Iterator[tuple[Network, int]]:
    """Return a network with one line to the echo, and the line's port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    network = Network()
    network.lay("us>echo", port=port, server_port=echo)
    yield network, port
    network.close()


def call(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=SECONDS)


def is_alive(caller: socket.socket) -> bool:
    """Say whether what is said comes back."""
    try:
        caller.sendall(b"ping")
        return caller.recv(1000) == b"ping"
    except OSError:
        return False


def test_a_line_passes_everything_both_ways(line: tuple[Network, int]) -> None:
    _, port = line

    with call(port) as caller:
        assert is_alive(caller)


def test_a_cut_ends_what_there_is_and_refuses_what_comes(
    line: tuple[Network, int],
) -> None:
    network, port = line
    with call(port) as before:
        assert is_alive(before)

        network.strike(1, ["us>echo"], Trouble("cut"))

        assert not is_alive(before)
        with call(port) as during:
            assert not is_alive(during)
        network.relieve(1)
        with call(port) as after:
            assert is_alive(after)


def test_what_a_hung_line_held_back_arrives_when_it_heals(
    line: tuple[Network, int],
) -> None:
    network, port = line
    with call(port) as caller:
        network.strike(1, ["us>echo"], Trouble("hang"))
        caller.sendall(b"late")
        caller.settimeout(0.2)
        with pytest.raises(TimeoutError):
            caller.recv(1000)

        network.relieve(1)

        caller.settimeout(SECONDS)
        assert caller.recv(1000) == b"late"


def test_a_slow_line_delays(line: tuple[Network, int]) -> None:
    network, port = line
    network.strike(1, ["us>echo"], Trouble("delay", 0.1))

    with call(port) as caller:
        began = time.monotonic()
        assert is_alive(caller)

    assert time.monotonic() - began >= 0.2


def test_one_trouble_ends_and_the_other_goes_on(line: tuple[Network, int]) -> None:
    network, port = line
    network.strike(1, ["us>echo"], Trouble("cut"))
    network.strike(2, ["us>echo"], Trouble("cut"))

    network.relieve(1)
    with call(port) as caller:
        assert not is_alive(caller)

    network.relieve()
    with call(port) as caller:
        assert is_alive(caller)
