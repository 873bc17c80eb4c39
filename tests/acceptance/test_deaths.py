"""Anything may die at any moment, while holding and while giving back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.acceptance.evening import SPARED, Evening
from tests.acceptance.stack import PROCESSES, Stack

DEATHS: dict[str, Callable[[Stack], None]] = {
    "fanout worker": lambda stack: stack.house.kill("fanout"),
    "beat": lambda stack: stack.house.kill("beat"),
    "all workers, beat and web": lambda stack: stack.house.kill(*PROCESSES),
    "valkey's memory": Stack.flush_valkey,
    "valkey, restarted": lambda stack: stack.house.restart_valkey(),
    "valkey, killed": lambda stack: stack.house.kill_valkey(),
    "postgres, restarted": lambda stack: stack.house.restart_postgres(),
    "postgres, killed": lambda stack: stack.house.kill_postgres(),
}


@pytest.mark.parametrize("death", DEATHS)
def test_it_gives_everything_back_after_the_death_of(
    death: str, stack: Stack, evening: Callable[..., Evening]
) -> None:
    tonight = evening()
    tonight.slow_down("stop")
    tonight.call_event()

    tonight.wait_for_calls_on_the_wire("stop")
    DEATHS[death](stack)
    tonight.plug_in("late")
    tonight.wait_until_held()
    tonight.wait_until_held("late")
    tonight.slow_down("start")
    tonight.end_early()
    tonight.wait_for_calls_on_the_wire("start")
    DEATHS[death](stack)

    tonight.judge()
    assert {name: tonight.reason(name) for name in SPARED} == SPARED
