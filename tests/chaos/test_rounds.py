"""Two rounds as a person starts them: real processes, real faults, the checker."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gridbalance.chaos.disk import SmallDisk
from gridbalance.embedded import POSTGRES, VALKEY, Embedded
from gridbalance.embedded.home import folder_of

CHECKOUT = Path(__file__).resolve().parent.parent.parent
SEED = 5
WORDS = ["manage.py", "chaos", "--seed", str(SEED), "--rounds", "2", "--cars", "40",
         "--shrink", "0", "--json"]  # fmt: skip
FINISHED_WITHIN_SECONDS = 240
SERVERS = {"DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL"}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what two rounds said and told, in a folder of their own."""
    folder = tmp_path_factory.mktemp("chaos")
    kept = {name: value for name, value in os.environ.items() if name not in SERVERS}
    run = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, *WORDS],
        cwd=CHECKOUT,
        env={**kept, "GRIDBALANCE_DATA_DIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, told = run.communicate(timeout=FINISHED_WITHIN_SECONDS)
        yield folder, run.returncode, said, told
    finally:
        if run.poll() is None:
            run.send_signal(signal.SIGINT)
            run.communicate(timeout=60)
        SmallDisk(folder).unmount()
        shutil.rmtree(folder_of(folder), ignore_errors=True)


@pytest.mark.timeout(FINISHED_WITHIN_SECONDS + 60)
def test_every_promise_holds_under_fire(ended: Any) -> None:
    _, status, said, told = ended
    found = json.loads(said.strip().splitlines()[-1])

    assert status == 0, told
    assert found["rounds"] == 2
    assert found["idle"] == []
    assert found["held"] > 20
    assert found["faults"] > 10
    assert found["promises_broken"] == 0
    assert found["unresolved"] == found["unresolved_by_plan"]
    assert found["failures"] == []


def test_each_plan_was_told_with_its_seed_before_its_verdict(ended: Any) -> None:
    _, _, said, told = ended
    seeds = json.loads(said.strip().splitlines()[-1])["seeds"]

    places = [told.index(f"round {seed}: 40 cars") for seed in seeds]
    verdicts = [told.index("kept in"), told.rindex("kept in")]

    assert places[0] < verdicts[0] < places[1] < verdicts[1]


def test_nothing_is_left_behind(ended: Any) -> None:
    folder, *_ = ended

    assert Embedded(folder).find(POSTGRES) is None
    assert Embedded(folder).find(VALKEY) is None
    assert not SmallDisk(folder).folder.is_mount()
