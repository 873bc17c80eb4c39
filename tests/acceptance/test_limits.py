"""The provider's default contract: 120 calls, and 2 more a minute."""

from __future__ import annotations

from datetime import datetime, timedelta

from dispatch.lifecycle import HoldStatus
from dispatch.models import Hold
from fleets import clock
from fleets.models import Enrolment
from gridbalance.demo import scene
from tests.acceptance.evening import Evening
from tests.acceptance.stack import Stack
from tests.waiting import eventually

FLEET = {f"car-{number}": {"make": "TESLA"} for number in range(80)}
OTHERS = {f"other-{number}": {"make": "TESLA"} for number in range(4)}
EVENT_MINUTES = 30.0
CALLS, PER_MINUTE = 120, 2
RESERVE = 24  # a fifth is kept for restores
# From the event's end to the fleet's latest start: room for 64 restores at half of the
# rate, and for a few more as the cars that are spared charge on.
MINUTES_TO_LATEST_START = 40.0


def test_a_fleet_behind_a_narrow_door(stack: Stack) -> None:
    stack.wait_until_well()
    with stack.contract(calls=CALLS, per_minute=PER_MINUTE):
        scene.fill_buckets(now=clock.now())
        crowd = Evening.open(stack, FLEET, cast={}, late={})
        others = Evening.open(stack, OTHERS, cast={}, late={})
        starts_at = clock.now() + timedelta(minutes=3)
        leave_at_latest(crowd, starts_at)
        crowd.call_event(minutes=EVENT_MINUTES, starts_at=starts_at)
        eventually(
            lambda: crowd.holds.filter(status=HoldStatus.HELD).count() > 48,
            else_say=crowd.state,
        )
        room = room_for(list(crowd.holds.open().select_related("event")))
        held = crowd.holds.open().count()
        crowd.end_early()
        others.call_event(starts_at=clock.now())
        crowd.wait_until_over()
        others.wait_until_held()
        others.end_early()
        crowd.judge()
        others.judge()

    spared = [name for name in FLEET if crowd.reason(name) == "restore would not fit"]
    assert held <= room < len(FLEET)
    assert len(spared) == len(FLEET) - held
    assert stack.truth.get("summary")["overdrawn"] == {
        "application": 0,
        "vehicle": 0,
        "monthly": 0,
    }
    # Restores go first: no new car is stopped while one waits for its start.
    assert min(call.at for call in others.calls("stop")) > max(
        call.at for call in crowd.calls("start")
    )


def room_for(holds: list[Hold]) -> float:
    """Return how many restores fit before the last of the latest starts (promise 3)."""
    spans = [
        hold.latest_start_at - hold.event.ends_at
        for hold in holds
        if hold.latest_start_at is not None
    ]
    return RESERVE + PER_MINUTE / 2 * (max(spans) / timedelta(minutes=1))


def leave_at_latest(crowd: Evening, starts_at: datetime) -> None:
    """Let the crowd's latest start come soon after the event."""
    ends_at = starts_at + timedelta(minutes=EVENT_MINUTES)
    car = crowd.vehicle("car-0")
    assert car.soc_percent is not None
    hours = (80 - car.soc_percent) / 100 * car.battery_kwh / car.usual_power_kw
    departure = ends_at + timedelta(minutes=MINUTES_TO_LATEST_START, hours=hours)
    Enrolment.objects.filter(program=crowd.program).update(
        ready_by=[departure.time().replace(microsecond=0)] * 7
    )
