"""An upgrade restarts process by process, in the middle of an event."""

from __future__ import annotations

from collections.abc import Callable

from dispatch.models import Change
from tests.acceptance.evening import Evening
from tests.acceptance.stack import PROCESSES, Stack


def test_politely_restarted_processes_lose_no_answer(
    stack: Stack, evening: Callable[..., Evening]
) -> None:
    tonight = evening()
    tonight.slow_down("stop")
    tonight.call_event()

    tonight.wait_for_calls_on_the_wire("stop")
    stack.restart("fanout")
    tonight.wait_until_held()
    for name in PROCESSES:
        stack.restart(name)
    tonight.slow_down("start")
    tonight.end_early()
    tonight.wait_for_calls_on_the_wire("start")
    stack.restart("fanout")

    tonight.judge()
    ours = tonight.commands("stop") | tonight.commands("start")
    assert not Change.objects.filter(
        subject="command", subject_id__in=ours.values("id"), after="unknown"
    ).exists()
