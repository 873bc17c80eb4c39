"""Whoever wakes a task reaches our broker."""

from __future__ import annotations

from fleets.tasks import take_in


def test_tasks_belong_to_our_queue_in_every_process() -> None:
    assert take_in.app.main == "gridbalance"
