"""What is shipped for those who run it says what the code says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from dispatch.api import measures, questions
from gridbalance.processes import beat, web, worker
from tests.test_docs import CHECKOUT, HEADING, read

METRIC = re.compile(r"\bgridbalance_[a-z_]+")
METRIC_ROW = re.compile(
    r"^\| `(gridbalance_[a-z_]+)(?:\{([a-z,]+)\})?` \|", re.MULTILINE
)
UNITS = sorted((CHECKOUT / "docs/deploy").glob("gridbalance*.*"))
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load(read("docs/deploy/alerts.yml"))["groups"]
    for rule in group["rules"]
]


def test_every_metric_is_in_the_runbook_with_its_labels_and_no_other_is() -> None:
    told = dict(METRIC_ROW.findall(read("docs/runbook.md")))
    labels = {
        name: ",".join(measure.labels)
        for measure in questions.MEASURES
        for name in measure.metrics
    }

    assert told == {
        **labels, questions.UP[0]: "", questions.FRESHNESS[0]: "make",
        questions.CATCHES[0]: "make",
    }  # fmt: skip


@pytest.mark.parametrize("page", ["docs/runbook.md", "docs/deploy.md", "README.md"])
def test_no_page_speaks_of_a_metric_that_is_not_there(page: str) -> None:
    assert set(METRIC.findall(read(page))) <= measures.names()


@pytest.mark.parametrize("name", sorted(measures.names()))
def test_names_follow_prometheus(name: str) -> None:
    assert re.fullmatch(r"gridbalance(_[a-z]+)+", name)
    assert not re.search(r"_(minutes|hours|ms|percent|count)$", name)


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_asks_for_what_is_measured_and_leads_to_the_runbook(
    rule: dict[str, Any],
) -> None:
    asked = set(METRIC.findall(rule["expr"]))

    assert asked and asked <= measures.names()
    assert rule["annotations"]["runbook"] in HEADING.findall(read("docs/runbook.md"))
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]


@pytest.mark.parametrize(
    "metric",
    # What somebody must be called for, whatever else is watched.
    [
        "gridbalance_holds_late", "gridbalance_database_up", "gridbalance_may_act",
        "gridbalance_loop_turn_timestamp_seconds", "gridbalance_senders_alive",
        "gridbalance_commands_due_seconds", "gridbalance_webhooks_waiting_seconds",
        "gridbalance_second_place_kept_timestamp_seconds",
    ],
)  # fmt: skip
def test_what_matters_at_night_has_an_alert(metric: str) -> None:
    assert any(metric in rule["expr"] for rule in RULES)


# --- Units --


def unit(path: Path) -> ConfigParser:
    found = ConfigParser(interpolation=None, strict=False)
    found.optionxform = str  # type: ignore[assignment, method-assign]
    found.read(path)
    return found


def words(name: str) -> list[str]:
    """Return what a unit starts, as its instance 1 would."""
    (path,) = (one for one in SERVICES if one.stem.rstrip("@") == f"gridbalance-{name}")
    line = unit(path)["Service"]["ExecStart"]
    return line.replace("%i", "1").replace("%%", "%").split()[1:]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: str(path.name))
def test_systemd_takes_the_unit(path: Path, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd here")
    for one in UNITS:
        # The release is not in its place here.
        text = one.read_text().replace(
            "/opt/gridbalance/.venv/bin/python", sys.executable
        )
        (tmp_path / one.name).write_text(text)

    ended = subprocess.run(  # noqa: S603  (our own unit)
        [program, "verify", "--man=no", "--recursive-errors=no", tmp_path / path.name],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: str(path.name))
def test_a_service_is_locked_in_and_starts_again(path: Path) -> None:
    service = unit(path)["Service"]

    assert service["Restart"] == "always"
    assert service["User"] == "gridbalance"
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    assert service["MemoryMax"]
    # A worker's child that is asked to end as well drops its calls.
    assert service["KillMode"] == "mixed"


def test_a_worker_is_waited_for_longer_than_it_drains() -> None:
    path = CHECKOUT / "docs/deploy/gridbalance-fanout@.service"
    patience = float(unit(path)["Service"]["TimeoutStopSec"])

    assert patience >= 1.5 * settings.FANOUT_DRAIN_SECONDS


@pytest.mark.parametrize("name", ["control", "fanout"])
def test_a_worker_is_started_as_make_run_does(name: str) -> None:
    ours = [word.replace("@", "-1@") for word in worker(name).argv[1:]]

    assert words(name) == ours


def test_web_and_beat_are_started_as_make_run_does(tmp_path: Path) -> None:
    # A longer patience with streams is all that differs.
    ours = set(web(1).argv[1:]) - {"3"}
    assert ours <= set(words("web"))
    assert set(beat(tmp_path).argv[1:-1]) <= set(words("beat"))


@pytest.mark.parametrize("page", ["docs/deploy.md", "docs/give-back.md"])
def test_no_comment_stands_behind_a_setting_of_an_environment_file(page: str) -> None:
    """systemd would take it for a part of the value."""
    settings_told = re.findall(r"^ {4,}([A-Z][A-Z_]+=.*)$", read(page), re.MULTILINE)

    assert settings_told
    assert [line for line in settings_told if " #" in line] == []
