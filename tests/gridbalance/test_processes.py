"""The supervisor with small children, killed in every way there is."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gridbalance import pids
from gridbalance.pids import ProcessId
from gridbalance.processes import AlreadyRunning, Process, Supervisor
from gridbalance.processes.supervisor import CHECKOUT
from tests.waiting import eventually

# A supervisor of its own process, to be killed: it runs two children and waits.
HOUSE = """
import sys
from pathlib import Path
from gridbalance.processes import Process, Supervisor
try:
    with Supervisor(Path(sys.argv[1])) as house:
        house.announce("http://there/")
        house.start(Process("first", ("sleep", "1000")))
        house.start(Process("last", ("sh", "-c", "sleep 1000 & sleep 1000")))
        print("ready", house._guardian.pid, flush=True)
        house.watch()
except KeyboardInterrupt:
    sys.exit(0)
"""
Run = Callable[[], "subprocess.Popen[str]"]


def sleeper(name: str) -> Process:
    return Process(name, ("sleep", "1000"))


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def house(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    with Supervisor(tmp_path, say=said.append) as entered:
        yield entered


@pytest.fixture
def run_house(tmp_path: Path) -> Iterator[Run]:
    started = []

    def run() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOUSE, str(tmp_path)]
        process = subprocess.Popen(  # noqa: S603 - the text above
            command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    with Supervisor(tmp_path):
        pass  # ends what a failed test left


def recorded(data_dir: Path) -> list[ProcessId]:
    content = json.loads((data_dir / "processes.json").read_text())
    return [ProcessId(**row) for tier in content["tiers"] for row in tier]


def guardian_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    word, pid = process.stdout.readline().split()
    assert word == "ready"
    return int(pid)


def test_a_child_that_dies_comes_back(house: Supervisor, said: list[str]) -> None:
    house.start(sleeper("worker"))
    before = recorded(house.data_dir)

    house.kill("worker")

    eventually(lambda: house.is_running("worker"))
    assert recorded(house.data_dir) != before
    assert "worker ended" in said[0]


def test_a_stopped_child_stays_away(house: Supervisor) -> None:
    house.start(sleeper("worker"), sleeper("other"))

    house.stop("worker")

    assert not house.is_running("worker")
    assert house.is_running("other")
    assert len(recorded(house.data_dir)) == 1


def test_the_last_started_is_the_first_stopped(tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    script = (
        f"trap 'echo $0 >> \"{ends}\"; exit' TERM; echo up; "
        "while :; do sleep 1 & wait; done"
    )
    with Supervisor(tmp_path) as house:
        for name in ("simulator", "web", "worker"):
            house.start(Process(name, ("sh", "-c", script, name)))
            log = house.log(name)
            eventually(lambda log=log: "up" in log.read_text())  # type: ignore[misc]

    assert ends.read_text().split() == ["worker", "web", "simulator"]
    assert not (tmp_path / "processes.json").exists()


def test_a_second_start_names_the_running_address(house: Supervisor) -> None:
    house.announce("http://127.0.0.1:8000/")

    with (
        pytest.raises(AlreadyRunning, match=r"runs .* at http://127\.0\.0\.1:8000/"),
        Supervisor(house.data_dir),
    ):
        pass


@pytest.mark.parametrize("request_to_stop", pids.STOP_REQUESTS)
def test_a_request_to_stop_leaves_nothing(
    run_house: Run, tmp_path: Path, request_to_stop: signal.Signals
) -> None:
    process = run_house()
    guardian_of(process)
    children = recorded(tmp_path)

    process.send_signal(request_to_stop)

    assert process.wait(timeout=20) == 0
    assert len(children) == 2
    assert not any(pids.members(child) for child in children)


def test_a_killed_supervisor_leaves_nothing(run_house: Run, tmp_path: Path) -> None:
    process = run_house()
    guardian = pids.identify(guardian_of(process))
    children = recorded(tmp_path)

    process.kill()

    eventually(lambda: not any(pids.members(child) for child in children))
    assert guardian is not None
    eventually(lambda: not pids.is_running(guardian))


def test_the_next_start_ends_what_a_killed_guardian_left(
    run_house: Run, tmp_path: Path
) -> None:
    process = run_house()
    os.kill(guardian_of(process), signal.SIGKILL)
    children = recorded(tmp_path)
    process.kill()
    process.wait()
    assert all(pids.is_running(child) for child in children)

    with Supervisor(tmp_path):
        assert not any(pids.members(child) for child in children)


def test_embedded_servers_are_used_unless_others_are_configured(
    house: Supervisor, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://there/gridbalance")
    monkeypatch.setenv("REDIS_URL_FILE", "/run/secrets/redis")

    house.start_services()

    assert said == [
        "postgres: the one that DATABASE_URL names",
        "valkey: the one that REDIS_URL names",
    ]
    assert house.embedded.find("postgres") is None


def test_a_full_disk_does_not_end_the_tending(
    house: Supervisor, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*names: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(house, "_services", ["postgres"])
    monkeypatch.setattr(house, "_services_are_up", True)
    monkeypatch.setattr(house.embedded, "find", lambda name: None)
    monkeypatch.setattr(house.embedded, "start", fail)

    eventually(lambda: any("No space left" in line for line in said))

    assert house._tender.is_alive()
    monkeypatch.setattr(house, "_services_are_up", False)
