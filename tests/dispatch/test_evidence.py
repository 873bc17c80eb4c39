"""What a reading proves, as one table: hold, command, and what the car said when."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.evidence import Standing, Verdict, judge
from dispatch.lifecycle import OPEN_HOLD, CommandStatus, HoldStatus
from tests.factories import NOW

MINUTE = timedelta(minutes=1)
FRESHNESS = 10 * MINUTE
TAKEN = NOW - 60 * MINUTE  # the state before us was read
STOPPED = NOW - 50 * MINUTE  # the stop's call ended
STARTED = NOW  # the start's call ended

TAKING = Standing(
    hold=HoldStatus.TAKING,
    command=CommandStatus.ACCEPTED,
    answered_at=STOPPED,
    stop_answered_at=STOPPED,
    owed_until=None,
    taken_from=TAKEN,
    freshness=FRESHNESS,
    observed_at=STOPPED + MINUTE,
    is_plugged_in=True,
    is_charging=True,
    soc_percent=50.0,
    limit_percent=80.0,
)
HELD = replace(
    TAKING,
    hold=HoldStatus.HELD,
    command=CommandStatus.CONFIRMED,
    observed_at=STOPPED + 20 * MINUTE,
    is_charging=False,
)
RESTORING = replace(
    HELD,
    hold=HoldStatus.RESTORING,
    command=CommandStatus.ACCEPTED,
    answered_at=STARTED,
    observed_at=STARTED + MINUTE,
)
# The stop of a hold that is being given back before its start was sent.
START_QUEUED = replace(RESTORING, command=CommandStatus.QUEUED, answered_at=None)
CASES: dict[str, tuple[Standing, list[tuple[dict[str, Any], Verdict]]]] = {
    "taking": (
        TAKING,
        [
            # newer than the answer, and not charging
            ({"is_charging": False}, Verdict.STOPPED),
            # the same moment is not newer
            ({"is_charging": False, "observed_at": STOPPED}, Verdict.NOTHING),
            ({"is_charging": False, "observed_at": None}, Verdict.NOTHING),
            # the state that we took it from proves nothing, whenever it was sent
            (
                {
                    "is_charging": False, "observed_at": TAKEN,
                    "answered_at": TAKEN - MINUTE,
                },
                Verdict.NOTHING,
            ),
            # a sleeping maker may still show yesterday
            ({"observed_at": STOPPED + FRESHNESS}, Verdict.NOTHING),
            ({"observed_at": STOPPED + FRESHNESS + MINUTE}, Verdict.STOP_IGNORED),
            # it says nothing of charging
            ({"is_charging": None, "observed_at": NOW}, Verdict.NOTHING),
            # full, so nothing is owed; reports round to a tenth
            ({"is_charging": False, "soc_percent": 79.95}, Verdict.FINISHED),
            # almost full is owed the rest
            ({"is_charging": False, "soc_percent": 79.9}, Verdict.STOPPED),
            ({"is_charging": False, "soc_percent": None}, Verdict.STOPPED),
            # no limit known: full is 100 %
            (
                {"is_charging": False, "soc_percent": 80.0, "limit_percent": None},
                Verdict.STOPPED,
            ),
            ({"is_plugged_in": False, "is_charging": False}, Verdict.DROVE_OFF),
            ({"is_plugged_in": None, "is_charging": False}, Verdict.STOPPED),
            # a stop that is still to leave explains nothing that the car does
            ({"command": "queued", "is_charging": False}, Verdict.NOTHING),
            ({"command": "queued", "observed_at": NOW}, Verdict.NOTHING),
            ({"command": "sending", "is_charging": False}, Verdict.NOTHING),
            ({"command": "sending", "is_plugged_in": False}, Verdict.NOTHING),
            ({"command": None, "answered_at": None}, Verdict.NOTHING),
            # refused, yet an earlier one landed
            ({"command": "failed", "is_charging": False}, Verdict.STOPPED),
            ({"command": "failed", "observed_at": NOW}, Verdict.STOP_IGNORED),
        ],
    ),
    "taking, of unknown outcome": (
        replace(TAKING, command=CommandStatus.UNKNOWN, owed_until=NOW),
        [
            # seen stopped: held from now on, whatever else lands
            ({"is_charging": False}, Verdict.STOPPED),
            # seen charging, full or gone: the stop may still land
            ({"observed_at": NOW}, Verdict.NOTHING),
            ({"is_plugged_in": False, "observed_at": NOW}, Verdict.NOTHING),
            # after that it counts
            ({"observed_at": NOW + MINUTE}, Verdict.STOP_IGNORED),
            (
                {"is_plugged_in": False, "observed_at": NOW + MINUTE},
                Verdict.DROVE_OFF,
            ),
        ],
    ),
    "held": (
        HELD,
        [
            ({}, Verdict.NOTHING),
            ({"is_charging": None}, Verdict.NOTHING),
            # the customer, or the car by itself
            ({"is_charging": True}, Verdict.RESTARTED),
            # a reading from before the stop came late
            ({"is_charging": True, "observed_at": STOPPED}, Verdict.NOTHING),
            ({"soc_percent": 80.0, "observed_at": STOPPED}, Verdict.NOTHING),
            # limit lowered to what it has: nothing to give back
            ({"limit_percent": 50.0}, Verdict.FINISHED),
            ({"is_plugged_in": False}, Verdict.DROVE_OFF),
            # a second stop may land late
            ({"is_charging": True, "owed_until": NOW}, Verdict.NOTHING),
            ({"is_plugged_in": False, "owed_until": NOW}, Verdict.NOTHING),
        ],
    ),
    "restoring": (
        RESTORING,
        [
            ({"is_charging": True}, Verdict.STARTED),
            # from before the end of the call
            ({"is_charging": True, "observed_at": STARTED}, Verdict.NOTHING),
            # the same reading under an unknown outcome
            ({"is_charging": True, "command": "unknown"}, Verdict.STARTED),
            # our stop of unknown outcome may still land
            (
                {"is_charging": True, "owed_until": STARTED + MINUTE},
                Verdict.NOTHING,
            ),
            # the maker's data may be this old
            ({"observed_at": STARTED + FRESHNESS}, Verdict.NOTHING),
            ({"observed_at": STARTED + FRESHNESS + MINUTE}, Verdict.START_IGNORED),
            # nothing to ask again: a failed start is a person's
            (
                {"observed_at": STARTED + FRESHNESS + MINUTE, "command": "failed"},
                Verdict.NOTHING,
            ),
            ({"is_charging": None, "observed_at": NOW + 90 * MINUTE}, Verdict.NOTHING),
            ({"soc_percent": 80.0}, Verdict.FINISHED),
            # full by its own word: whole percents, and our start changed nothing
            ({"soc_percent": 79.0}, Verdict.FINISHED),
            ({"soc_percent": 78.9}, Verdict.NOTHING),
            ({"is_charging": None, "soc_percent": 80.0}, Verdict.NOTHING),
            ({"is_plugged_in": False}, Verdict.DROVE_OFF),
            ({"command": "sending", "is_charging": True}, Verdict.NOTHING),
        ],
    ),
    "restoring, the start not sent yet": (
        START_QUEUED,
        [
            # charging without us, if the stop had its time to show
            ({"is_charging": True}, Verdict.RESTARTED),
            (
                {"is_charging": True, "observed_at": STOPPED + FRESHNESS},
                Verdict.NOTHING,
            ),
            ({"is_charging": False, "observed_at": NOW + 90 * MINUTE}, Verdict.NOTHING),
            # asleep at the first try: that try proves nothing
            ({"is_charging": True, "answered_at": STARTED}, Verdict.RESTARTED),
        ],
    ),
    "unresolved": (
        replace(RESTORING, hold=HoldStatus.UNRESOLVED, command=CommandStatus.FAILED),
        [
            # it came back all the same
            ({"is_charging": True}, Verdict.STARTED),
            ({"observed_at": NOW + 90 * MINUTE}, Verdict.NOTHING),
            ({"is_plugged_in": False}, Verdict.DROVE_OFF),
            # given up before its start ever left: somebody else started it
            (
                {"is_charging": True, "command": "superseded", "answered_at": None},
                Verdict.RESTARTED,
            ),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("standing", "verdict"),
    [
        pytest.param(replace(base, **state), verdict, id=f"{name} {state}")
        for name, (base, rows) in CASES.items()
        for state, verdict in rows
    ],
)
def test_a_reading_proves(standing: Standing, verdict: Verdict) -> None:
    assert judge(standing) == verdict


def moments() -> st.SearchStrategy[Any]:
    return st.integers(-90, 90).map(lambda minutes: NOW + minutes * MINUTE)


standings = st.builds(
    Standing,
    hold=st.sampled_from(OPEN_HOLD),
    command=st.none() | st.sampled_from(CommandStatus),
    answered_at=st.none() | moments(),
    stop_answered_at=st.none() | moments(),
    owed_until=st.none() | moments(),
    taken_from=moments(),
    freshness=st.sampled_from([3 * MINUTE, 60 * MINUTE]),
    observed_at=st.none() | moments(),
    is_plugged_in=st.none() | st.booleans(),
    is_charging=st.none() | st.booleans(),
    soc_percent=st.none() | st.sampled_from([20.0, 79.5, 100.0]),
    limit_percent=st.none() | st.sampled_from([50.0, 80.0, 100.0]),
)
OURS = {Verdict.STOPPED, Verdict.STARTED, Verdict.STOP_IGNORED, Verdict.START_IGNORED}


@given(standings)
def test_nothing_older_than_the_end_of_the_call_shows_our_work(
    standing: Standing,
) -> None:
    if judge(standing) in OURS:
        assert standing.observed_at is not None
        assert standing.answered_at is not None
        assert standing.observed_at > standing.answered_at


@given(standings)
def test_nothing_read_before_a_late_stop_may_land_closes_a_hold(
    standing: Standing,
) -> None:
    late = standing.owed_until
    seen = standing.observed_at
    if late is not None and seen is not None and seen <= late:
        assert judge(standing) in {Verdict.NOTHING, Verdict.STOPPED}


@given(standings)
def test_the_state_from_before_us_proves_nothing(standing: Standing) -> None:
    old = replace(standing, observed_at=standing.taken_from)

    assert judge(old) == Verdict.NOTHING


@given(standings)
def test_a_command_on_the_wire_is_awaited(standing: Standing) -> None:
    assert judge(replace(standing, command=CommandStatus.SENDING)) == Verdict.NOTHING
