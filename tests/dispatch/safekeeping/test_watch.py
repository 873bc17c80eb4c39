"""The watchdog: when it acts, and when it only looks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from dispatch.safekeeping import sheet, watch
from dispatch.safekeeping.place import Place
from dispatch.safekeeping.watch import State, Watch
from fleets import clock
from tests.dispatch.safekeeping.conftest import KEY, head, owed, sheet_of, stopped
from tests.dispatch.safekeeping.test_giving import PLENTY
from tests.fleets.simulator.conftest import Simulator

PATIENCE = timedelta(minutes=10)


def look(place: Place, *, probe: str = "") -> State:
    watching = Watch(place, probe=probe, patience=timedelta(hours=1))
    return watching.look(say=lambda line: None)


def keep(place: Place, *, silent_minutes: float, cars: int = 0) -> None:
    """Let the main system have shown its last sign of life so long ago."""
    alive_at = clock.real_now() - timedelta(minutes=silent_minutes)
    data = sheet.sealed(
        head(written_real_at=alive_at, heartbeat_real_at=alive_at),
        [owed(number) for number in range(cars)],
        keys=[KEY],
    )
    place.keep(data, written_real_at=alive_at, most=5)


@pytest.fixture
def main_system() -> Iterator[Callable[..., str]]:
    """Return a function that lets the main system answer, and its address."""
    servers: list[tuple[HTTPServer, threading.Thread]] = []

    def answer(status: int, body: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *args: object) -> None:
                """Keep silent."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/readyz"

    yield answer
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def test_it_leaves_a_main_system_alone_that_is_alive(second_place: Place) -> None:
    keep(second_place, silent_minutes=9, cars=1)

    assert look(second_place) is State.ALIVE


def test_it_has_nothing_to_do_when_nothing_is_owed(second_place: Place) -> None:
    assert look(second_place) is State.EMPTY
    keep(second_place, silent_minutes=11)

    assert look(second_place) is State.NOTHING_OWED


def test_a_second_place_that_it_cannot_see_tells_nothing(
    second_place: Place, settings: Any
) -> None:
    settings.SAFEKEEPING_TIMEOUT_SECONDS = 1
    second_place.store.url = "file:///proc/nowhere"

    assert look(second_place) is State.BLIND


def test_a_main_system_that_cannot_write_but_answers_is_alive(
    second_place: Place, main_system: Callable[..., str]
) -> None:
    keep(second_place, silent_minutes=11, cars=1)
    probe = main_system(200, json.dumps({"last_tick_age_seconds": 2.0}))

    assert look(second_place, probe=probe) is State.SILENT


@pytest.mark.parametrize(
    ("status", "body", "alive"),
    [
        (200, '{"last_tick_age_seconds": 3.5}', True),
        # Not ready, but its loop turns.
        (503, '{"last_tick_age_seconds": 3.5}', True),
        (200, "ok", True),
        # The web process lives, the loop does not.
        (200, '{"last_tick_age_seconds": 900.0}', False),
        (503, '{"last_tick_age_seconds": null}', False),
        # A proxy in front of nothing.
        (502, "<h1>Bad gateway</h1>", False),
    ],
)
def test_what_counts_as_an_answer(
    main_system: Callable[..., str], status: int, body: str, alive: bool
) -> None:
    assert watch.answers(main_system(status, body), silent_after=PATIENCE) is alive


def test_nobody_at_the_address_is_no_answer() -> None:
    assert not watch.answers("http://127.0.0.1:9/readyz", silent_after=PATIENCE)


def test_it_gives_back_once(
    second_place: Place, evening: Callable[..., Simulator]
) -> None:
    simulator = evening()
    cars = stopped(simulator, 2)
    data = sheet_of(simulator, cars, calls=PLENTY)
    second_place.keep(data, written_real_at=clock.real_now(), most=5)

    first, again = look(second_place), look(second_place)

    assert (first, again) == (State.GAVE, State.GIVEN)
    assert all(simulator.car(car)["charging"] for car in cars)
    assert second_place.numbers() == [1]


def test_it_goes_on_with_what_a_dead_host_began(
    second_place: Place, evening: Callable[..., Simulator]
) -> None:
    simulator = evening()
    cars = stopped(simulator, 2)
    data = sheet_of(simulator, cars, calls=PLENTY)
    name = second_place.keep(data, written_real_at=clock.real_now(), most=5)
    long_ago = clock.real_now() - timedelta(minutes=5)
    dead = second_place.begin(name_of_sheet=name, host="dead", pid=1, at=long_ago)
    assert dead is not None
    assert simulator.call(cars[0], "start").status == 200
    at = simulator.get("clock")["now"]
    second_place.write_lines(
        1,
        piece=0,
        lines=[
            {"run": 1, "seq": 1, "at": at, "did": "send", "hold": 1},
            {"run": 1, "seq": 2, "at": at, "did": "answer", "hold": 1,
             "status": "accepted", "code": "", "landed": True, "wait": 0.0},
        ],
    )  # fmt: skip

    assert look(second_place) is State.GAVE

    starts = [
        call["vehicle"]
        for call in simulator.get("calls")["calls"]
        if call["kind"] == "start"
    ]
    assert sorted(starts) == sorted(car["id"] for car in cars)
    assert second_place.is_recalled(1)
