"""The demo from end to end, as a person starts it, stops it and starts it again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gridbalance import pids
from gridbalance.embedded import POSTGRES, VALKEY, Embedded
from gridbalance.embedded.home import folder_of
from gridbalance.pids import ProcessId
from tests.waiting import eventually

WORDS = [
    "manage.py", "demo", "--vehicles", "60", "--event-minutes", "30", "--speed", "600",
    "--seed", "6", "--exit", "--json",
]  # fmt: skip
KEYS = {
    "vehicles", "touched", "held_by_limit", "held_confirmed", "restored", "released",
    "unresolved", "spared", "caught_after_plug_in", "commands_sent", "commands_failed",
    "target_kw",
    "confirmed_kw_mean", "shed_kw_mean", "rebound_ratio", "catch_seconds_p50",
    "restore_seconds_p95", "late", "promises_broken",
}  # fmt: skip
CHECKOUT = Path(__file__).resolve().parent.parent.parent
FINISHED_WITHIN_SECONDS = 90


@dataclass(frozen=True)
class Ended:
    """What a run that ended has left."""

    status: int
    said: str
    told: str  # on stderr


@dataclass(frozen=True)
class Story:
    """One evening: started, a second start refused, interrupted, taken up again."""

    folder: Path
    interrupted: Ended
    refused: Ended
    left_running: list[ProcessId]
    finished: Ended


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Return what was seen of an evening in a folder of its own."""
    folder = tmp_path_factory.mktemp("demo")
    runs: list[subprocess.Popen[str]] = []
    try:
        first = start(folder, "first", runs)
        wait_for_word(folder, "first", first, "event: posted")
        second = start(folder, "second", runs)
        refused = end_of(second, folder, "second")
        processes = recorded(folder)
        first.send_signal(signal.SIGINT)
        interrupted = end_of(first, folder, "first")
        left_running = [one for one in processes if pids.is_running(one)]
        finished = end_of(start(folder, "third", runs), folder, "third")
        yield Story(folder, interrupted, refused, left_running, finished)
    finally:
        for run in runs:
            if run.poll() is None:
                run.send_signal(signal.SIGINT)
                run.wait(60)
        # As root, the servers keep their files elsewhere.
        shutil.rmtree(folder_of(folder), ignore_errors=True)


def test_a_second_start_is_refused_in_one_line_with_the_address(story: Story) -> None:
    lines = story.refused.told.strip().splitlines()

    assert story.refused.status == 1
    assert len(lines) == 1
    assert "already runs" in lines[0]
    assert "http://127.0.0.1:" in lines[0]


def test_an_interrupt_stops_every_process(story: Story) -> None:
    assert story.interrupted.status == 130
    assert story.left_running == []


def test_starting_again_goes_on_and_finishes(story: Story) -> None:
    assert "clock: goes on at" in story.finished.told
    assert "event: posted" not in story.finished.told
    assert story.finished.status == 0


def test_the_last_line_is_the_report(story: Story) -> None:
    report = json.loads(story.finished.said.strip().splitlines()[-1])

    assert report.keys() >= KEYS
    assert report["vehicles"] == 60
    assert report["held_confirmed"] > 0
    assert report["unresolved"] == 0
    assert report["promises_broken"] == 0


def test_nothing_runs_afterwards(story: Story) -> None:
    embedded = Embedded(story.folder)

    assert embedded.find(POSTGRES) is None
    assert embedded.find(VALKEY) is None
    assert not (story.folder / "processes.json").exists()


def start(
    folder: Path, name: str, runs: list[subprocess.Popen[str]]
) -> subprocess.Popen[str]:
    """Start the demo in its folder; what it says goes to files beside that."""
    with (
        (folder.parent / f"{folder.name}-{name}.out").open("w") as out,
        (folder.parent / f"{folder.name}-{name}.err").open("w") as err,
    ):
        run = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, *WORDS],
            cwd=CHECKOUT,
            env={**os.environ, "GRIDBALANCE_DATA_DIR": str(folder)},
            stdout=out,
            stderr=err,
            text=True,
            start_new_session=True,
        )
    runs.append(run)
    return run


def wait_for_word(
    folder: Path, name: str, run: subprocess.Popen[str], word: str
) -> None:
    """Return when a run has said a word."""

    def is_said() -> bool:
        said = told(folder, name)
        assert run.poll() is None, said
        return word in said

    eventually(is_said, within_seconds=60, else_say=lambda: told(folder, name))


def end_of(run: subprocess.Popen[str], folder: Path, name: str) -> Ended:
    """Return what a run has left at its end."""
    status = run.wait(FINISHED_WITHIN_SECONDS)
    said = (folder.parent / f"{folder.name}-{name}.out").read_text()
    return Ended(status, said, told(folder, name))


def told(folder: Path, name: str) -> str:
    """Return what a run has told people so far."""
    return (folder.parent / f"{folder.name}-{name}.err").read_text()


def recorded(folder: Path) -> list[ProcessId]:
    """Return every process that runs for a folder."""
    tiers = json.loads((folder / "processes.json").read_text())["tiers"]
    return [ProcessId(**row) for tier in tiers for row in tier]
