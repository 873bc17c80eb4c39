"""The process: its state survives it, and it stops when told."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.fleets.simulator.conftest import Receiver, Simulator
from tests.waiting import eventually

Make = Callable[..., Simulator]
ROOT = Path(__file__).parents[3]


def test_it_goes_on_where_it_was_stopped(make_simulator: Make, tmp_path: Path) -> None:
    simulator = make_simulator(vehicles=30, state=tmp_path / "state.json")
    car = simulator.add()
    simulator.call(car, "stop")
    simulator.put("faults", {"restarts-by-itself": 0.5})
    simulator.put("clock", {"speed": 0})
    simulator.leap(90)
    before = [simulator.get("cars"), simulator.get("calls"), simulator.get("load")]
    token = simulator.token

    simulator.end()
    simulator.begin()
    simulator.put("clock", {"speed": 0, "simulated": before[0]["at"]})

    after = [simulator.get("cars"), simulator.get("calls"), simulator.get("load")]
    assert before[0]["cars"] == after[0]["cars"]
    assert before[1]["calls"] == after[1]["calls"][: len(before[1]["calls"])]
    assert before[2] == after[2]
    assert simulator.get("faults")["rates"] == {"restarts-by-itself": 0.5}
    headers = {"authorization": f"Bearer {token}"}
    assert simulator.send("GET", "/v3/connections", headers=headers).status == 401
    simulator.leap(24 * 60)
    assert simulator.get("summary")["vehicles"] == 31


def test_a_report_that_waits_outlives_the_process(
    make_simulator: Make, tmp_path: Path, receiver: Receiver
) -> None:
    simulator = make_simulator(state=tmp_path / "state.json")
    simulator.add(make="TESLA", plugged_in=False)
    receiver.statuses = [500]
    simulator.send("POST", "/_sim/webhooks", {"url": receiver.url})
    eventually(lambda: simulator.get("webhooks")["verified"])
    simulator.leap(6)
    eventually(lambda: simulator.get("summary")["webhooks"]["retried"])

    simulator.end()
    simulator.begin()
    simulator.leap(1)

    eventually(lambda: len(receiver.events) == 2)
    assert receiver.events[0]["eventId"] == receiver.events[1]["eventId"]


def test_the_command_says_where_it_is_and_stops_when_told() -> None:
    command = [sys.executable, "manage.py", "simulator", "--port=0", "--vehicles=3"]
    with subprocess.Popen(  # noqa: S603 - our own command
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=20)

        assert line.startswith("Smartcar v3 simulator at http://127.0.0.1:")
        assert ": 3 cars, seed 1, speed 1," in line
        assert code == 0
        assert process.stderr.read() == ""


def test_what_cannot_be_is_told_in_words(make_simulator: Make) -> None:
    simulator = make_simulator()
    car = simulator.add()

    refusals = [
        simulator.send("PUT", "/_sim/faults", {"asleeep": 1}),
        simulator.send("PATCH", f"/_sim/cars/{car['id']}", {"wings": 2}),
        simulator.send("PATCH", f"/_sim/cars/{car['id']}", {"soc_percent": 101}),
        simulator.send("POST", "/_sim/cars", {"soc": 50}),
        simulator.send("PUT", "/_sim/limits", {"calls": 5}),
        simulator.send("PUT", "/_sim/clock", {"speed": -1}),
        simulator.send("POST", "/_sim/save"),
    ]

    assert [refusal.status for refusal in refusals] == [400] * len(refusals)
    assert all(refusal.body["error"] for refusal in refusals)
    assert simulator.send("GET", "/_sim/cars/none").status == 404
    assert simulator.send("GET", "/_sim/nothing").status == 404
