"""Events that follow each other, on real processes: one stop and one start a car."""

from __future__ import annotations

from datetime import timedelta

from dispatch import grid_events
from dispatch.lifecycle import EventStatus, HoldStatus
from dispatch.models import GridEvent
from fleets import clock
from tests.acceptance.evening import CAST, HELD, Evening
from tests.acceptance.stack import Stack
from tests.waiting import eventually


def test_what_the_next_event_wants_is_stopped_and_started_once(stack: Stack) -> None:
    stack.wait_until_well()
    tonight = Evening.open(stack, {}, cast=CAST, late={})
    first = tonight.call_event()
    tonight.wait_until_held(*HELD)
    states = sorted(
        tonight.holds.values_list("pk", "soc_percent", "power_kw", "state_observed_at")
    )
    first.refresh_from_db()
    change_at = clock.now() + timedelta(minutes=4)
    grid_events.amend(first, {"ends_at": change_at}, actor="olga", now=clock.now())

    second = tonight.call_event(starts_at=change_at, minutes=90)
    eventually(lambda: is_now(second, EventStatus.ACTIVE), else_say=tonight.state)
    third = tonight.call_event(starts_at=clock.now(), priority=1)
    eventually(lambda: is_now(third, EventStatus.ACTIVE), else_say=tonight.state)
    grid_events.cancel(second, actor="olga", now=clock.now())
    eventually(lambda: is_now(second, EventStatus.RESTORING), else_say=tonight.state)
    # Some turns in which nobody is to be started.
    until = clock.now() + timedelta(minutes=2)
    eventually(lambda: clock.now() > until)
    held = tonight.holds.filter(status=HoldStatus.HELD).count()
    starts_between = len(tonight.calls("start"))
    grid_events.end_early(third, actor="olga", now=clock.now())

    tonight.judge()
    assert (held, starts_between) == (len(HELD), 0)
    assert len(tonight.calls("stop")) == len(tonight.calls("start")) == len(HELD)
    assert states == sorted(
        tonight.holds.values_list("pk", "soc_percent", "power_kw", "state_observed_at")
    )


def is_now(event: GridEvent, status: EventStatus) -> bool:
    event.refresh_from_db()
    return event.status == status
