"""The bench's sender: what it says and when it gives up are Smartcar's."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pytest_django import Settings

from fleets.providers import smartcar
from gridbalance.bench.deliveries import Signed, deliver, draw_fleet, draw_messages

AT = datetime(2026, 1, 12, 17, 0, tzinfo=UTC)
SOON = (0.01, 0.01, 0.01)  # Smartcar's three waits, so short that nobody minds

Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server that refuses each message some times before it takes it."""
    servers = []

    def start(*, refusals: int, tries: Counter[bytes]) -> str:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                tries[body] += 1
                self.send_response(503 if tries[body] <= refusals else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def signed(count: int) -> list[Signed]:
    return [Signed(b"message %d" % number, "") for number in range(count)]


def test_a_message_reads_as_one_of_the_providers(
    settings: Settings,
) -> None:
    settings.SMARTCAR_MANAGEMENT_TOKEN = "token"
    cars = draw_fleet(3)

    messages = list(
        draw_messages(cars, at=AT, is_charging=False, token="token", seed=1)
    )

    assert all(smartcar.is_signed(m.body, m.signature) for m in messages)
    said = [smartcar.parse_webhook(m.body) for m in messages]
    assert len({message.event_id for message in said}) == 3
    reports = [report for message in said for report in message.reports]
    assert [report.vehicle_id for report in reports] == [car.id for car in cars]
    assert {(r.observed_at, r.is_charging) for r in reports} == {(AT, False)}


@pytest.mark.parametrize(
    ("refusals", "counts"),
    [
        # taken at the first try
        (0, {"taken": 4}),
        # taken at the fourth, which is the last
        (3, {"taken": 4, "retried": 12}),
        # given up for good
        (4, {"dropped": 4, "retried": 12}),
    ],
)
def test_a_message_is_tried_four_times(
    serve: Serve, refusals: int, counts: dict[str, int]
) -> None:
    tries: Counter[bytes] = Counter()
    url = serve(refusals=refusals, tries=tries)

    delivered = deliver(url, signed(4), in_flight=2, retry_after=SOON)

    assert delivered.counts == counts
    assert set(tries.values()) == {min(refusals + 1, 4)}


def test_messages_fall_due_at_an_even_rate(serve: Serve) -> None:
    url = serve(refusals=0, tries=Counter())

    delivered = deliver(url, signed(11), per_second=50.0, in_flight=2)

    assert delivered.seconds >= 10 / 50.0
    assert len(delivered.waits) == 11
    assert min(delivered.waits) > -0.001  # a timer may fire that much early
    assert delivered.quantile_ms(0.5) <= delivered.quantile_ms(0.99)
