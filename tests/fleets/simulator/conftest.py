"""A running simulator, and a receiver of webhooks, on loopback ports."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from fleets.simulator.options import Options
from fleets.simulator.server import Server

EVENING = datetime(2026, 11, 23, 19, 0, tzinfo=UTC)  # a Monday
DEADLINE_SECONDS = 20.0


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def code(self) -> str:
        """Return TYPE:CODE of an error."""
        error = self.body["errors"][0]
        return f"{error['type']}:{error['code']}"


@dataclass
class Simulator:
    """A simulator in a thread of this process, and a client to it."""

    options: Options
    port: int = 0
    token: str = ""
    _stop: Callable[[], object] = field(default=lambda: None)
    _thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start serving on a free port."""
        ready = threading.Event()

        def serve() -> None:
            async def main() -> None:
                stopped = asyncio.Event()
                loop = asyncio.get_running_loop()
                self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
                server = Server(self.options)

                def announce(line: str) -> None:
                    self.port = int(server.address.rpartition(":")[2])
                    ready.set()

                await server.serve(stopped=stopped, announce=announce)

            asyncio.run(main())

        self._thread = threading.Thread(target=serve)
        self._thread.start()
        assert ready.wait(DEADLINE_SECONDS)
        self.token = self.fetch_token().body["access_token"]

    def end(self) -> None:
        """Stop serving, as SIGTERM would."""
        self._stop()
        assert self._thread is not None
        self._thread.join(DEADLINE_SECONDS)
        assert not self._thread.is_alive()

    def fetch_token(self, **changes: str) -> Answer:
        """Ask for a token with the right secret, or another."""
        wanted = {
            "grant_type": "client_credentials",
            "client_id": self.options.client_id,
            "client_secret": self.options.client_secret,
            **changes,
        }
        return self.send("POST", "/oauth2/token", wanted)

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: dict[str, str] | None = None,
        timeout_seconds: float = DEADLINE_SECONDS,
    ) -> Answer:
        """Send one request and wait for the whole answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout_seconds)
        try:
            text = None if body is None else json.dumps(body)
            sent = {"content-type": "application/json", **(headers or {})}
            connection.request(method, path, text, sent)
            response = connection.getresponse()
            received = response.read()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, json.loads(received))
        finally:
            connection.close()

    def call(self, car: dict[str, Any], what: str, **wanted: Any) -> Answer:
        """Make a vehicle call as the car's user: stop, start, set-limit, signals."""
        is_command = what in {"stop", "start", "set-limit"}
        path = f"commands/charge/{what}" if is_command else what
        percent = wanted.pop("percent", None)
        body = None
        if percent is not None:
            body = {"data": {"attributes": {"percent": percent}}}
        headers = {"authorization": f"Bearer {self.token}", "sc-user-id": car["user"]}
        return self.send(
            "POST" if is_command else "GET",
            f"/v3/vehicles/{car['id']}/{path}",
            body,
            headers=headers,
            **wanted,
        )

    def get(self, path: str) -> Any:
        """Read the control face."""
        return self.send("GET", f"/_sim/{path}").body

    def put(self, path: str, body: object) -> Any:
        """Set something through the control face."""
        answer = self.send("PUT", f"/_sim/{path}", body)
        assert answer.status == 200, answer.body
        return answer.body

    def patch(self, car: dict[str, Any], **changes: object) -> Any:
        """Change a car."""
        answer = self.send("PATCH", f"/_sim/cars/{car['id']}", changes)
        assert answer.status == 200, answer.body
        return answer.body

    def add(self, **form: object) -> dict[str, Any]:
        """Add a hand-made car: plugged in and charging unless told otherwise."""
        answer = self.send("POST", "/_sim/cars", {"plugged_in": True, **form})
        assert answer.status == 201, answer.body
        car: dict[str, Any] = answer.body["cars"][0]
        return car

    def car(self, car: dict[str, Any]) -> dict[str, Any]:
        """Return the truth about a car."""
        truth: dict[str, Any] = self.get(f"cars/{car['id']}")
        return truth

    def leap(self, minutes: float) -> None:
        """Let simulated minutes pass at once."""
        now = datetime.fromisoformat(self.get("clock")["now"])
        later = datetime.fromtimestamp(now.timestamp() + 60 * minutes, UTC)
        self.put("clock", {"simulated": later.isoformat()})


@pytest.fixture
def make_simulator() -> Iterator[Callable[..., Simulator]]:
    """Return a function that starts simulators, empty and unhurried by default."""
    running: list[Simulator] = []

    def make(**changes: Any) -> Simulator:
        options = replace(
            Options(port=0, vehicles=0, start=EVENING, vehicle_bucket=0), **changes
        )
        simulator = Simulator(options)
        simulator.begin()
        running.append(simulator)
        return simulator

    yield make
    for simulator in running:
        simulator.end()


@dataclass
class Receiver:
    """A receiver of webhooks that answers as it is told."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)  # the next ones; then 200
    events: list[dict[str, Any]] = field(default_factory=list)
    signatures_are_right: list[bool] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Receive webhooks, with the ordinary management token."""
    receiver = Receiver()
    key = Options().management_token.encode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            event = json.loads(raw)
            answer: dict[str, str] = {}
            status = 200
            if event["eventType"] == "VERIFY":
                challenge = event["data"]["challenge"].encode()
                answer["challenge"] = hmac.new(
                    key, challenge, hashlib.sha256
                ).hexdigest()
            else:
                right = hmac.new(key, raw, hashlib.sha256).hexdigest()
                receiver.signatures_are_right.append(
                    right == self.headers["sc-signature"]
                )
                receiver.events.append(event)
                status = receiver.statuses.pop(0) if receiver.statuses else 200
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args: object) -> None:
            """Keep silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}/hooks"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield receiver
    server.shutdown()
    server.server_close()
    thread.join()
