"""Waking cannot hang and cannot raise, whatever the broker does."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest
from celery import Celery, Task
from structlog.testing import capture_logs

from fleets.wake import wake

LONGEST_SECONDS = 1.5  # two sockets' time-outs and some air


@pytest.fixture
def make_task() -> Iterator[Callable[[str], Task]]:
    """Return a function that makes a task whose broker is at this address."""
    apps: list[Celery] = []

    def make(url: str) -> Task:
        app = Celery("wake", broker=url, set_as_current=False)
        app.conf.broker_transport_options = {
            "socket_timeout": 0.5,
            "socket_connect_timeout": 0.5,
        }
        apps.append(app)

        return make_task_of(app)

    yield make
    for app in apps:
        app.close()


def test_a_broker_that_is_down_costs_nothing(make_task: Callable[[str], Task]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    task = make_task(f"redis://127.0.0.1:{port}/0")
    began = time.monotonic()

    with capture_logs() as logs:
        wake(task)

    assert time.monotonic() - began < LONGEST_SECONDS
    assert [entry["event"] for entry in logs] == ["wake_failed"]


def test_a_broker_that_hangs_costs_half_a_second(
    make_task: Callable[[str], Task],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        task = make_task(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        began = time.monotonic()

        with capture_logs() as logs:
            wake(task)
            wake(task)

    assert time.monotonic() - began < 2 * LONGEST_SECONDS
    assert len(logs) == 2


def test_a_nonsense_address_is_only_logged(make_task: Callable[[str], Task]) -> None:
    with capture_logs() as logs:
        wake(make_task("carrier-pigeon://roof"))

    assert logs


def test_a_woken_task_is_queued_and_expires(make_task: Callable[[str], Task]) -> None:
    task = make_task("memory://")

    wake(task, 1, 2)

    with task.app.connection_for_read() as line:
        queue = line.SimpleQueue("celery")
        received = queue.get(timeout=1)
        assert received.payload[0] == [1, 2]
        assert received.headers["expires"]
        received.ack()
        queue.close()


def make_task_of(app: Celery) -> Task:
    return app.task(nothing, name="wake.me", lazy=False)


def nothing(*numbers: int) -> None: ...
