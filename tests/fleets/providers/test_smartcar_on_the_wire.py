"""The adapter against the simulator, and against lines that break."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from structlog.testing import capture_logs

from fleets.models import ProviderToken
from fleets.providers.base import (
    AccessRevoked,
    Asleep,
    CarState,
    Connection,
    NothingToDo,
    OutcomeUnknown,
    ProviderError,
    Receipt,
    Rejected,
    Report,
    Scope,
    TokenStale,
    TryLater,
    VehicleKey,
)
from fleets.providers.smartcar import Smartcar, shared
from tests.fleets.providers.conftest import Line
from tests.fleets.simulator.conftest import Simulator

NOW = datetime(2026, 1, 12, 17, 0, tzinfo=UTC)
Connect = Callable[..., Line]


def key(car: dict[str, Any]) -> VehicleKey:
    return VehicleKey(car["id"], car["user"])


@pytest.fixture
def line(db: None, connect: Connect, simulator: Simulator) -> Line:
    """Return an adapter that talks to the simulator and holds a token."""
    line = connect(simulator.port)
    line.adapter.fresh_token(NOW)
    return line


def test_stop_and_start_reach_the_car(line: Line, simulator: Simulator) -> None:
    car = simulator.add(make="TESLA", soc_percent=40)

    stopped = line.run(lambda a: a.stop_charging(key(car)))
    was_charging = simulator.car(car)["charging"]
    started = line.run(lambda a: a.start_charging(key(car)))

    assert isinstance(stopped, Receipt)
    assert stopped.request_id
    assert isinstance(started, Receipt)
    assert was_charging is False
    assert simulator.car(car)["charging"] is True


def test_a_limit_reaches_the_car(line: Line, simulator: Simulator) -> None:
    car = simulator.add(make="TESLA", soc_percent=40, limit_percent=90)

    line.run(lambda a: a.set_charge_limit(key(car), 60))

    assert simulator.car(car)["limit_percent"] == 60


def test_it_reads_a_car(line: Line, simulator: Simulator) -> None:
    car = simulator.add(make="TESLA", soc_percent=40, limit_percent=90, home=True)

    found = line.run(lambda a: a.read(key(car)))

    assert isinstance(found, Report)
    assert found.is_charging is True
    assert found.is_plugged_in is True
    assert found.soc_percent == pytest.approx(40, abs=1)
    assert found.limit_percent == 90
    assert found.power_kw is not None
    assert 1 < found.power_kw < 25
    assert found.is_home is True


def test_it_walks_the_connections_to_the_last_page(
    line: Line, simulator: Simulator
) -> None:
    cars = [simulator.add(make="KIA") for _ in range(205)]

    async def walk(adapter: Smartcar) -> list[Connection]:
        return [one async for one in adapter.connections()]

    found = line.run(walk)

    assert isinstance(found, list)
    assert {one.key for one in found} == {key(car) for car in cars}
    assert "control_charge" in found[0].permissions


@pytest.mark.parametrize(
    ("form", "command", "state"),
    [
        ({"plugged_in": False}, "stop_charging", CarState.UNPLUGGED),
        ({"charging": False}, "stop_charging", CarState.NOT_CHARGING),
        ({}, "start_charging", CarState.CHARGING),
    ],
)
def test_a_command_without_sense_says_how_the_car_is(
    line: Line, simulator: Simulator, form: dict[str, Any], command: str, state: str
) -> None:
    car = simulator.add(make="TESLA", soc_percent=40, **form)

    with pytest.raises(NothingToDo) as caught:
        line.run(lambda a: getattr(a, command)(key(car)))

    assert caught.value.state is state
    assert caught.value.request_id


def test_a_scope_that_was_not_granted_is_revoked_access(
    line: Line, simulator: Simulator
) -> None:
    car = simulator.add(make="TESLA", permissions=["read_charge"])

    with pytest.raises(AccessRevoked):
        line.run(lambda a: a.stop_charging(key(car)))


def test_a_sleeping_car_is_asleep(line: Line, simulator: Simulator) -> None:
    car = simulator.add(make="TESLA")
    simulator.put(f"cars/{car['id']}/faults", {"asleep": 1})

    with pytest.raises(Asleep):
        line.run(lambda a: a.stop_charging(key(car)))


def test_an_empty_application_bucket_stops_everything(
    db: None, connect: Connect, make_simulator: Callable[..., Simulator]
) -> None:
    simulator = make_simulator(application_bucket=2, application_refill=0.001)
    car = simulator.add(make="TESLA")
    line = connect(simulator.port)
    line.adapter.fresh_token(NOW)

    with pytest.raises(TryLater) as caught:
        for _ in range(5):
            line.run(lambda a: a.read(key(car)))

    assert caught.value.scope is Scope.APPLICATION


def test_a_refused_token_is_renewed_and_the_call_repeated_by_its_caller(
    line: Line, simulator: Simulator
) -> None:
    car = simulator.add(make="TESLA", soc_percent=40)
    simulator.leap(minutes=120)

    with pytest.raises(TokenStale):
        line.run(lambda a: a.stop_charging(key(car)))
    line.adapter.renew_token(NOW)

    assert isinstance(line.run(lambda a: a.stop_charging(key(car))), Receipt)


def test_all_processes_share_one_token(line: Line, simulator: Simulator) -> None:
    mine = line.adapter.fresh_token(NOW)

    assert Smartcar().fresh_token(NOW) == mine
    # another one renewed it: no third token is asked for
    theirs = Smartcar()
    theirs.fresh_token(NOW)
    renewed = theirs.renew_token(NOW)
    assert line.adapter.renew_token(NOW) == renewed != mine


def test_a_token_is_renewed_before_its_end(line: Line) -> None:
    mine = line.adapter.fresh_token(NOW)

    assert line.adapter.fresh_token(NOW + timedelta(minutes=54)) == mine
    assert line.adapter.fresh_token(NOW + timedelta(minutes=56)) != mine


def test_a_token_is_kept_sealed_and_never_logged(line: Line) -> None:
    with capture_logs() as logs:
        token = line.adapter.renew_token(NOW)

    assert token.encode() not in bytes(ProviderToken.objects.get().sealed)
    assert token not in repr(logs)
    assert token not in repr(line.adapter._token)
    assert logs


def test_a_token_sealed_by_another_key_is_asked_for_anew(line: Line) -> None:
    ProviderToken.objects.update(sealed=b"from another installation")

    assert Smartcar().fresh_token(NOW)


def test_wrong_credentials_hold_everything_back(
    db: None, connect: Connect, simulator: Simulator
) -> None:
    line = connect(simulator.port, SMARTCAR_CLIENT_SECRET="wrong")

    with pytest.raises(TryLater) as caught, capture_logs() as logs:
        line.adapter.fresh_token(NOW)

    assert caught.value.scope is Scope.APPLICATION
    assert "wrong" not in repr(logs)


@pytest.mark.django_db(transaction=True)
def test_many_processes_ask_for_one_token_once(
    connect: Connect, simulator: Simulator
) -> None:
    line = connect(simulator.port)
    before = simulator.get("summary")["kinds"].get("token", 0)
    tokens: list[str] = []

    def work() -> None:
        tokens.append(Smartcar().fresh_token(NOW))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(tokens) == 6
    assert set(tokens) == {line.adapter.fresh_token(NOW)}
    assert simulator.get("summary")["kinds"]["token"] == before + 1


def test_a_process_has_one_adapter() -> None:
    assert shared() is shared()


# --- lines that break -----------------------------------------------------------------


class Stub:
    """Answers every request with the same bytes, or hangs, or hangs up."""

    def __init__(self) -> None:
        self.parts: list[bytes | float] = []  # numbers are real seconds of silence
        self.requests: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._socket.accept()
                with peer, suppress(OSError):
                    self.requests.append(peer.recv(65536))
                    for part in self.parts:
                        if isinstance(part, bytes):
                            peer.sendall(part)
                        else:
                            peer.settimeout(part)
                            peer.recv(1)  # until the other side has had enough


@pytest.fixture
def stub() -> Iterator[Stub]:
    stub = Stub()
    yield stub
    stub.close()


@pytest.fixture
def stubbed(db: None, connect: Connect, stub: Stub) -> Line:
    """Return an adapter that holds a token and talks to the stub."""
    body = json.dumps({"access_token": "t", "expires_in": 3600}).encode()
    stub.parts = [head(200, len(body)) + body]
    line = connect(stub.port, PROVIDER_TIMEOUT_SECONDS=0.5)
    line.adapter.fresh_token(NOW)
    stub.requests.clear()
    return line


def head(status: int, length: int | None, *lines: str) -> bytes:
    rest = "".join(f"{line}\r\n" for line in lines)
    size = (
        "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    )
    return f"HTTP/1.1 {status} X\r\n{size}\r\n{rest}\r\n".encode()


def chunk(body: bytes) -> bytes:
    return f"{len(body):x}\r\n".encode() + body + b"\r\n"


CAR = VehicleKey("v-1", "u-1")
SLEEPS = json.dumps(
    {"errors": [{"status": "409", "type": "VEHICLE_STATE", "code": "ASLEEP"}]}
).encode()


def test_a_long_answer_is_read_to_its_end(stub: Stub, stubbed: Line) -> None:
    stub.parts = [head(202, None), chunk(SLEEPS[:30]), chunk(SLEEPS[30:]), chunk(b"")]

    with pytest.raises(Asleep):
        stubbed.run(lambda a: a.stop_charging(CAR))


@pytest.mark.parametrize(
    "parts",
    [
        # hung up without a word
        [],
        # hung up within the head, within the body, within a chunk
        [b"HTTP/1.1 200"],
        [head(200, 100) + b"{"],
        [head(202, None), b"ff\r\n{"],
        # no HTTP at all
        [b"\x00\xff\r\n\r\n"],
        # says nothing, or not all of it, until the time is over
        [5.0],
        [head(202, None), 5.0],
        # a gateway's page
        [head(504, 6) + b"<html>"],
        [head(200, 6) + b"<html>"],
        [head(200, 0)],
    ],
)
def test_what_breaks_after_a_command_left_is_unknown(
    stub: Stub, stubbed: Line, parts: list[bytes | float]
) -> None:
    stub.parts = parts

    with pytest.raises(OutcomeUnknown):
        stubbed.run(lambda a: a.stop_charging(CAR))

    assert len(stub.requests) == 1  # never sent twice behind our back


def test_nothing_happens_by_reading_so_a_broken_read_is_later(
    stub: Stub, stubbed: Line
) -> None:
    stub.parts = []

    with pytest.raises(TryLater):
        stubbed.run(lambda a: a.read(CAR))


def test_what_never_left_is_later_for_all(stubbed: Line, connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    line = connect(port)
    line.adapter._token = stubbed.adapter._token

    with pytest.raises(TryLater) as caught:
        line.run(lambda a: a.stop_charging(CAR))

    assert caught.value.scope is Scope.APPLICATION


def test_it_gives_up_at_the_set_time(stub: Stub, stubbed: Line) -> None:
    stub.parts = [5.0]
    began = time.monotonic()

    with pytest.raises(OutcomeUnknown):
        stubbed.run(lambda a: a.stop_charging(CAR))

    assert time.monotonic() - began < 3


def test_headers_that_are_no_text_do_no_harm(stub: Stub, stubbed: Line) -> None:
    answer = head(409, len(SLEEPS), "retry-after: caf\u00e9")
    stub.parts = [answer.decode().encode("latin-1") + SLEEPS]

    with pytest.raises(Asleep) as caught:
        stubbed.run(lambda a: a.stop_charging(CAR))

    assert caught.value.wait_seconds is None


def test_a_redirected_command_is_not_sent_on(stub: Stub, stubbed: Line) -> None:
    stub.parts = [head(307, 0, f"location: http://127.0.0.1:{stub.port}/elsewhere")]

    with pytest.raises(Rejected):
        stubbed.run(lambda a: a.stop_charging(CAR))

    assert len(stub.requests) == 1


def test_a_strange_id_cannot_leave_its_place_in_the_path(
    stub: Stub, stubbed: Line
) -> None:
    stub.parts = [head(404, 0)]

    with pytest.raises(ProviderError):
        stubbed.run(lambda a: a.stop_charging(VehicleKey("../../users/u?x=", "u-1")))

    assert b"/v3/vehicles/..%2F..%2Fusers%2Fu%3Fx%3D/commands" in stub.requests[0]


def test_a_user_id_that_is_no_header_is_rejected(stubbed: Line) -> None:
    with pytest.raises(Rejected):
        stubbed.run(lambda a: a.stop_charging(VehicleKey("v-1", "a\r\nb: c")))
