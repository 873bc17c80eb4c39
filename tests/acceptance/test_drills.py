"""The main system, or its newest rows, are lost in the middle of an event."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gridbalance.embedded.home import folder_of

CHECKOUT = Path(__file__).resolve().parent.parent.parent
# The event of the drill with a backup lasts two minutes; a crowded machine takes more.
FINISHED_WITHIN_SECONDS = 400


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a data folder of the drill's own, gone afterwards with its servers."""
    yield tmp_path / "drill"
    shutil.rmtree(folder_of(tmp_path / "drill"), ignore_errors=True)


def drill(folder: Path, *words: str) -> dict[str, Any]:
    ours = {"DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    ended = subprocess.run(  # noqa: S603  (our own command)
        [sys.executable, "manage.py", "drill", *words, "--json"],
        cwd=CHECKOUT,
        env={**kept, "GRIDBALANCE_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=FINISHED_WITHIN_SECONDS,
        check=False,
    )
    assert ended.stdout, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


@pytest.mark.timeout(FINISHED_WITHIN_SECONDS + 30)
def test_everything_is_given_back_without_us_and_once(folder: Path) -> None:
    found = drill(
        folder, "end-of-main-system", "--vehicles", "24", "--per-minute", "600"
    )

    assert found["held"] == found["charging"] == found["learnt"] == 24
    assert found["ends"] == {"restored": 24}
    assert (found["second_starts"], found["starts_after"]) == (0, 0)
    assert (found["overdrawn"], found["open_after"]) == (0, 0)
    assert found["good"]


@pytest.mark.timeout(FINISHED_WITHIN_SECONDS + 30)
def test_what_an_older_backup_does_not_know_is_given_back(folder: Path) -> None:
    found = drill(folder, "backup", "--vehicles", "20", "--per-minute", "600")

    assert (found["in_the_backup"], found["left_since"]) == (10, 1)
    assert found["held"] == found["charging"] == 19
    assert (found["adopted"], found["ended"]) == (10, 1)
    assert (found["second_starts"], found["starts_of_those_who_left"]) == (0, 0)
    assert (found["overdrawn"], found["open_after"]) == (0, 0)
    assert found["new_holds_stopped"]
    assert found["good"]
