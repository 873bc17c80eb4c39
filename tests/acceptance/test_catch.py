"""A car whose webhooks never come, on real processes: it is asked, held, given back."""

from __future__ import annotations

from dispatch.models import Catch
from tests.acceptance.evening import HELD, LATE, Evening
from tests.acceptance.stack import Stack


def test_a_car_that_nobody_tells_of_is_asked_and_caught(stack: Stack) -> None:
    stack.wait_until_well()
    # Of a make that no other car has: those would speak for it.
    late = {**LATE, "quiet": {"make": "POLESTAR"}}
    tonight = Evening.open(stack, {}, late=late)
    tonight.meet("quiet", **{"lost-webhooks": 1})
    tonight.call_event(minutes=240)
    tonight.wait_until_held(*HELD)

    tonight.plug_in("late")
    tonight.plug_in("quiet")
    tonight.wait_until_held("late")
    tonight.wait_until_held("quiet", within_seconds=75)

    caught = Catch.objects.filter(event__in=tonight.events)
    assert caught.get(vehicle=tonight.vehicle("quiet")).was_read
    assert not caught.get(vehicle=tonight.vehicle("late")).was_read
    tonight.end_early()
    tonight.judge()
