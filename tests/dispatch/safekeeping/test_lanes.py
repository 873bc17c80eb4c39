"""Whose turn it is."""

from __future__ import annotations

from datetime import datetime, timedelta

from dispatch.safekeeping.journal import Progress
from dispatch.safekeeping.lanes import Lanes
from tests.dispatch.safekeeping.conftest import owed
from tests.factories import NOW

HOUR = timedelta(hours=1)


def test_a_car_that_waits_for_its_feeder_holds_up_no_other() -> None:
    lanes = Lanes()
    narrow = owed(1, latest_start_at=NOW, ramps=("program a", "feeder narrow"))
    wide = owed(2, latest_start_at=NOW + HOUR, ramps=("program a", "feeder wide"))
    for car in (narrow, wide):
        lanes.line_up(car, Progress())

    def may_go(latest_start: datetime, hold_id: int) -> bool:
        return hold_id == wide.hold_id

    assert lanes.next(may_go) == wide.hold_id
    assert lanes.next(may_go) is None


def test_least_slack_comes_first_whatever_bounds_it() -> None:
    lanes = Lanes()
    later = owed(1, latest_start_at=NOW + HOUR, ramps=("feeder f",))
    sooner = owed(2, latest_start_at=NOW, ramps=("feeder g",))
    for car in (later, sooner):
        lanes.line_up(car, Progress())

    assert lanes.next(lambda latest_start, hold_id: True) == sooner.hold_id
