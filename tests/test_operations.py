"""What is shipped for those who run it says what the code says."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from dispatch.api import measures
from tests.test_docs import HEADING, read

METRIC = re.compile(r"\bgridbalance_[a-z_]+")
METRIC_ROW = re.compile(
    r"^\| `(gridbalance_[a-z_]+)(?:\{([a-z,]+)\})?` \|", re.MULTILINE
)
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load(read("docs/deploy/alerts.yml"))["groups"]
    for rule in group["rules"]
]


def test_every_metric_is_in_the_runbook_with_its_labels_and_no_other_is() -> None:
    told = dict(METRIC_ROW.findall(read("docs/runbook.md")))
    labels = {
        name: ",".join(measure.labels)
        for measure in measures.MEASURES
        for name in measure.metrics
    }

    assert told == {
        **labels, measures.UP[0]: "", measures.FRESHNESS[0]: "make",
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
