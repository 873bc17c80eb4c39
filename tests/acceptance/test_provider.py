"""Everything that a provider does wrong, to one car each, twice in one evening."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dispatch.lifecycle import HoldStatus
from tests.acceptance.evening import Evening
from tests.acceptance.stack import Stack
from tests.waiting import eventually

ONCE = {"calls": 1}
# What a car's next stop, and later its next start, meets.
OF_CALLS: dict[str, dict[str, Any]] = {
    "rate-limited": ONCE,  # 429 with Retry-After
    "server-error": ONCE,  # 500
    "maker-outage": ONCE,  # 502, not asked
    "acts-but-times-out": ONCE,  # 502 or 504, done
    "hang": ONCE,
    "accepts-but-ignores": ONCE,
    "slow": ONCE,
    "asleep": {},  # for as long as it lasts
    "unreachable": {},
}
# What only a stop meets.
OF_STOPS: dict[str, dict[str, Any]] = {
    "late-stop": ONCE,
    "restarts-by-itself": ONCE,
}
# What only a start meets: a stop that is refused for good takes nothing.
OF_STARTS: dict[str, dict[str, Any]] = {
    "quota-spent": ONCE,  # 430
    "reconnect-needed": ONCE,
}
OF_WEBHOOKS = ("lost-webhooks", "doubled-webhooks", "reordered-webhooks", "mixed-times")
LASTING = ("asleep", "unreachable")
FAULTS = (*OF_CALLS, *OF_STOPS, *OF_STARTS, *OF_WEBHOOKS)


@pytest.fixture(scope="module")
def tonight(stack: Stack) -> Iterator[Evening]:
    """Return an evening in which every car met its fault, and that is over."""
    stack.wait_until_well()
    tonight = Evening.open(stack, {fault: {"make": "TESLA"} for fault in FAULTS})
    for fault in OF_WEBHOOKS:
        tonight.meet(fault, **{fault: 1})
    for fault, plan in {**OF_CALLS, **OF_STOPS}.items():
        tonight.meet(fault, **{fault: 1, "kinds": ["stop"], **plan})
    tonight.call_event()
    wait_for_calls(tonight, "stop", *LASTING)
    wake_up(tonight)
    tonight.wait_until_held(*(set(FAULTS) - {"restarts-by-itself"}))
    eventually(
        lambda: tonight.hold("restarts-by-itself").status == HoldStatus.RELEASED,
        else_say=tonight.state,
    )
    for fault, plan in {**OF_CALLS, **OF_STARTS}.items():
        tonight.meet(fault, **{fault: 1, "kinds": ["start"], **plan})
    tonight.end_early()
    wait_for_calls(tonight, "start", *LASTING)
    wake_up(tonight)
    tonight.judge()
    yield tonight


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - {"restarts-by-itself"}))
def test_it_holds_and_gives_back_a_car_that_met(fault: str, tonight: Evening) -> None:
    hold = tonight.hold(fault)

    assert hold.held_at is not None
    assert hold.status == HoldStatus.RESTORED
    assert tonight.true(fault)["charging"]


@pytest.mark.parametrize("fault", sorted({**OF_CALLS, **OF_STOPS, **OF_STARTS}))
def test_the_car_did_meet(fault: str, tonight: Evening) -> None:
    drawn = tonight.stack.truth.get("summary")["faults_drawn"]

    assert drawn[fault] >= 1


def test_a_car_that_restarts_by_itself_is_its_customers(tonight: Evening) -> None:
    assert tonight.hold("restarts-by-itself").close_reason == "restarted"


def test_a_stop_that_is_refused_for_good_takes_nothing(
    stack: Stack, evening: Any
) -> None:
    tonight = evening()
    tonight.meet("tesla", **{"quota-spent": 1, "kinds": ["stop"]})
    tonight.meet("ford", **{"reconnect-needed": 1, "kinds": ["stop"]})
    tonight.call_event()
    tonight.wait_until_held("volkswagen", "hyundai")
    wait_for_calls(tonight, "stop", "tesla", "ford")
    tonight.end_early()

    tonight.judge()
    for name in ("tesla", "ford"):
        assert tonight.hold(name).status == HoldStatus.RELEASED, tonight.state()
        assert tonight.hold(name).held_at is None


def wait_for_calls(tonight: Evening, kind: str, *names: str) -> None:
    """Return when these cars were called."""

    def are_called() -> bool:
        called = {call.vehicle for call in tonight.calls(kind)}
        return called >= {tonight.ids[name] for name in names}

    eventually(are_called, else_say=tonight.state)


def wake_up(tonight: Evening) -> None:
    """End what lasts."""
    for name in LASTING:
        tonight.meet(name)
