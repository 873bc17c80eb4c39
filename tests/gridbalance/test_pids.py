"""Processes are known by number and start time, and end with their groups."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gridbalance import pids
from gridbalance.pids import ProcessId
from tests.waiting import eventually

Spawn = Callable[[str], ProcessId]


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    started = []

    def run(script: str) -> ProcessId:
        process = pids.spawn(
            ["/bin/sh", "-c", script], log=tmp_path / "log", env={}, cwd=tmp_path
        )
        started.append(process)
        return process

    yield run
    for process in started:
        pids.kill(process)


def test_it_tells_a_process_from_a_stranger_with_its_number(spawn: Spawn) -> None:
    process = spawn("exec sleep 1000")
    stranger = replace(process, started="at another time")

    assert pids.is_running(process)
    assert not pids.is_running(stranger)


def test_it_never_touches_a_stranger(spawn: Spawn) -> None:
    process = spawn("exec sleep 1000")

    pids.end(replace(process, started="at another time"))

    assert pids.is_running(process)


def test_it_ends_what_a_dead_leader_left(spawn: Spawn) -> None:
    process = spawn("sleep 1000 & sleep 1000")
    eventually(lambda: len(pids.members(process)) == 3)
    os.kill(process.pid, signal.SIGKILL)
    eventually(lambda: not pids.is_running(process))

    pids.end(process)

    assert not pids.members(process)


def test_it_kills_what_does_not_listen(spawn: Spawn, tmp_path: Path) -> None:
    process = spawn("trap '' TERM; echo deaf; sleep 1000; sleep 1000")
    eventually(lambda: "deaf" in (tmp_path / "log").read_text())

    pids.end(process, seconds=0.1)

    assert not pids.members(process)


def test_a_request_to_stop_waits_for_the_record() -> None:
    recorded = False

    with pytest.raises(KeyboardInterrupt), pids.uninterrupted():
        signal.raise_signal(signal.SIGINT)
        recorded = True

    assert recorded


def test_a_family_is_the_group_and_children_that_lead_groups_of_their_own(
    spawn: Spawn,
) -> None:
    process = spawn("setsid sleep 1000 & sleep 1000 & wait")
    eventually(lambda: len(pids.family(process)) == 3)

    family = pids.family(process)

    assert pids.members(process) < family
    for pid in family - pids.members(process):
        os.kill(pid, signal.SIGKILL)


def test_processor_time_counts_children_that_have_ended(spawn: Spawn) -> None:
    busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"
    process = spawn(f"/bin/sh -c '{busy}'; exec sleep 1000")

    assert eventually(lambda: pids.cpu_seconds({process.pid}) > 0.05)
