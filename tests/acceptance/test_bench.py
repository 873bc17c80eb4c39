"""The measurements themselves: a rate of calls that went wrong would be none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gridbalance.embedded.home import folder_of

CHECKOUT = Path(__file__).resolve().parent.parent.parent
FINISHED_WITHIN_SECONDS = 120
SERVERS = {"DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "DJANGO_SETTINGS_MODULE"}


@pytest.mark.timeout(FINISHED_WITHIN_SECONDS + 10)
def test_the_fan_out_is_measured_against_two_others_in_one_run(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in SERVERS}
    words = ["bench", "fanout", "--vehicles", "40", "--workers", "2", "--json"]
    try:
        ended = subprocess.run(  # noqa: S603  (our own command)
            [sys.executable, "manage.py", *words],
            cwd=CHECKOUT,
            env={**kept, "GRIDBALANCE_DATA_DIR": str(tmp_path / "bench")},
            capture_output=True,
            text=True,
            timeout=FINISHED_WITHIN_SECONDS,
            check=False,
        )
    finally:
        shutil.rmtree(folder_of(tmp_path / "bench"), ignore_errors=True)

    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    for name in ("commands_per_s", "bare_http_per_s", "naive_per_s", "worker_peak_mb"):
        assert found[name] > 0
    assert found["ratio_bare"] == pytest.approx(
        found["commands_per_s"] / found["bare_http_per_s"], abs=0.01
    )
    assert found["ratio_naive"] == pytest.approx(
        found["commands_per_s"] / found["naive_per_s"], abs=0.01
    )
