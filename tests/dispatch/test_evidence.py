"""What a reading proves, as one table: hold, command, and what the car said when."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.evidence import Lowering, Standing, Verdict, judge
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

# The same holds by a limit: its own was 80, ours is 63.
LIMIT = Lowering(
    ours=63, own=80.0, landed=True, was_shown=False, gave=False, is_back=False,
    told_at=STOPPED + MINUTE, same_plug_in=True, may_start=True,
)  # fmt: skip
LOWERING = replace(TAKING, lowering=LIMIT, soc_percent=63.9)
LOWERED = replace(
    HELD, soc_percent=63.9, limit_percent=63.0,
    lowering=replace(LIMIT, was_shown=True, told_at=STOPPED + 20 * MINUTE),
)  # fmt: skip
RAISING = replace(
    RESTORING, soc_percent=63.9,
    lowering=replace(LIMIT, was_shown=True, gave=True, told_at=STARTED + MINUTE),
)  # fmt: skip
# Its own limit has not been sent yet, or was looked for in vain.
RAISE_QUEUED = replace(
    RAISING, command=CommandStatus.QUEUED,
    lowering=replace(LIMIT, was_shown=True, told_at=STARTED + MINUTE),
)  # fmt: skip
PATIENT = STARTED + FRESHNESS + MINUTE
LATER = {"observed_at": PATIENT, "told_at": PATIENT}
OURS = {"limit_percent": 63.0, "is_charging": False}
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
            # but not if it may never have heard of our start
            ({"soc_percent": 79.0, "command": "unknown"}, Verdict.NOTHING),
            ({"soc_percent": 80.0, "command": "unknown"}, Verdict.FINISHED),
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
CASES |= {
    "lowering": (
        LOWERING,
        [
            (OURS, Verdict.STOPPED),
            # our limit alone, or rest alone, shows nothing
            ({"limit_percent": 63.0}, Verdict.NOTHING),
            ({"is_charging": False}, Verdict.NOTHING),
            ({**OURS, "limit_percent": None}, Verdict.NOTHING),
            # a limit that was told before the end of the call
            ({**OURS, "told_at": STOPPED}, Verdict.NOTHING),
            ({**OURS, "told_at": None}, Verdict.NOTHING),
            # it stands at our limit: that is no reason to owe nothing
            ({**OURS, "soc_percent": 63.0}, Verdict.STOPPED),
            # the maker's data may be this old
            ({"told_at": STOPPED + FRESHNESS}, Verdict.NOTHING),
            ({"told_at": STOPPED + FRESHNESS + MINUTE}, Verdict.LIMIT_IGNORED),
            (
                {"limit_percent": 90.0, "told_at": STOPPED + FRESHNESS + MINUTE},
                Verdict.LIMIT_CHANGED,
            ),
            ({"limit_percent": 90.0}, Verdict.NOTHING),
            # it charges up to our limit, or beyond
            (
                {"limit_percent": 63.0, "soc_percent": 62.8, "observed_at": NOW},
                Verdict.NOTHING,
            ),
            ({"limit_percent": 63.0, "observed_at": NOW}, Verdict.CHARGES_ON),
            ({"is_plugged_in": False}, Verdict.DROVE_OFF),
            # nothing of ours can have reached it
            ({"is_plugged_in": False, "landed": False}, Verdict.NOTHING),
            ({**OURS, "landed": False}, Verdict.NOTHING),
            ({**OURS, "command": "queued"}, Verdict.NOTHING),
        ],
    ),
    "lowering, of unknown outcome": (
        replace(LOWERING, command=CommandStatus.UNKNOWN, owed_until=NOW),
        [
            (OURS, Verdict.STOPPED),
            ({"observed_at": NOW, "told_at": NOW}, Verdict.NOTHING),
            ({"is_plugged_in": False, "observed_at": NOW}, Verdict.NOTHING),
            (LATER, Verdict.LIMIT_IGNORED),
            # heard of lately, yet the limit was told before
            ({"observed_at": PATIENT}, Verdict.NOTHING),
        ],
    ),
    "lowered": (
        LOWERED,
        [
            ({}, Verdict.NOTHING),
            ({"limit_percent": 90.0}, Verdict.LIMIT_CHANGED),
            ({"limit_percent": 80.0}, Verdict.BACK_ALREADY),
            ({"limit_percent": 80.0, "told_at": STOPPED}, Verdict.NOTHING),
            ({"is_plugged_in": False}, Verdict.DROVE_OFF),
            ({"is_charging": True}, Verdict.RESTARTED),
            # topping up
            ({"is_charging": True, "soc_percent": 62.5}, Verdict.NOTHING),
            ({"is_charging": True, "observed_at": STOPPED}, Verdict.NOTHING),
            ({"limit_percent": 90.0, "owed_until": NOW}, Verdict.NOTHING),
        ],
    ),
    "raising": (
        RAISING,
        [
            # it is back, whatever else: the car goes on by itself
            ({"is_charging": True}, Verdict.LIMIT_BACK),
            ({"is_charging": True, "told_at": STARTED}, Verdict.NOTHING),
            ({"is_charging": True, "owed_until": NOW + MINUTE}, Verdict.NOTHING),
            ({"is_plugged_in": False}, Verdict.LIMIT_BACK),
            ({"soc_percent": 79.5}, Verdict.LIMIT_BACK),
            ({"same_plug_in": False}, Verdict.LIMIT_BACK),
            ({"may_start": False}, Verdict.LIMIT_BACK),
            # or it does not, after some time
            ({}, Verdict.NOTHING),
            ({"observed_at": PATIENT}, Verdict.NEEDS_START),
            ({"observed_at": PATIENT, "is_charging": None}, Verdict.NOTHING),
            # still ours
            ({"limit_percent": 63.0}, Verdict.NOTHING),
            ({"limit_percent": 63.0, **LATER}, Verdict.LIMIT_IGNORED),
            (
                {"limit_percent": 63.0, **LATER, "command": "failed"}, Verdict.NOTHING,
            ),
            # or somebody's
            ({"limit_percent": 90.0}, Verdict.LIMIT_CHANGED),
            # a parked car tells its limit, and nothing else is new
            (
                {"observed_at": TAKEN, "is_plugged_in": False}, Verdict.LIMIT_BACK,
            ),
        ],
    ),
    "raising, not sent yet": (
        RAISE_QUEUED,
        [
            ({"limit_percent": 63.0, **LATER}, Verdict.NOTHING),
            ({}, Verdict.BACK_ALREADY),
            ({"limit_percent": 90.0}, Verdict.LIMIT_CHANGED),
            # lowered a moment ago, and not shown yet: it may be on its way
            (
                {"was_shown": False, "told_at": STOPPED + FRESHNESS}, Verdict.NOTHING,
            ),
            # an earlier try of ours did it, late
            ({"gave": True, "is_charging": True}, Verdict.LIMIT_BACK),
            # unplugged is where it waits
            ({"limit_percent": 63.0, "is_plugged_in": False}, Verdict.NOTHING),
        ],
    ),
    "raised, its start on the way": (
        replace(RAISING, lowering=replace(LIMIT, is_back=True)),
        [
            ({"is_charging": True}, Verdict.STARTED),
            ({"observed_at": PATIENT}, Verdict.START_IGNORED),
            ({"is_plugged_in": False}, Verdict.DROVE_OFF),
        ],
    ),
    "unresolved, by a limit": (
        replace(
            RAISING, hold=HoldStatus.UNRESOLVED, command=CommandStatus.FAILED,
            limit_percent=63.0,
        ),
        [
            (LATER, Verdict.NOTHING),
            ({"limit_percent": 80.0}, Verdict.LIMIT_BACK),
            ({"limit_percent": 90.0}, Verdict.LIMIT_CHANGED),
        ],
    ),
}  # fmt: skip
OF_LOWERING = {field.name for field in fields(Lowering)}


def changed(standing: Standing, state: dict[str, Any]) -> Standing:
    """Return the standing in another state, that of its limit included."""
    of_limit = {name: state[name] for name in state if name in OF_LOWERING}
    if of_limit:
        assert standing.lowering is not None
        state = state | {"lowering": replace(standing.lowering, **of_limit)}
    return replace(
        standing, **{name: state[name] for name in state if name not in OF_LOWERING}
    )


@pytest.mark.parametrize(
    ("standing", "verdict"),
    [
        pytest.param(changed(base, state), verdict, id=f"{name} {state}")
        for name, (base, rows) in CASES.items()
        for state, verdict in rows
    ],
)
def test_a_reading_proves(standing: Standing, verdict: Verdict) -> None:
    assert judge(standing) == verdict


def moments() -> st.SearchStrategy[Any]:
    return st.integers(-90, 90).map(lambda minutes: NOW + minutes * MINUTE)


lowerings = st.builds(
    Lowering,
    ours=st.just(63),
    own=st.just(80.0),
    landed=st.booleans(),
    was_shown=st.booleans(),
    gave=st.booleans(),
    is_back=st.booleans(),
    told_at=st.none() | moments(),
    same_plug_in=st.booleans(),
    may_start=st.booleans(),
)
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
    limit_percent=st.none() | st.sampled_from([50.0, 63.0, 80.0, 100.0]),
    lowering=st.none() | lowerings,
)
OUR_WORK = {
    Verdict.STOPPED, Verdict.STARTED, Verdict.STOP_IGNORED, Verdict.START_IGNORED,
}  # fmt: skip


@given(standings)
def test_nothing_older_than_the_end_of_the_call_shows_our_work(
    standing: Standing,
) -> None:
    if judge(standing) in OUR_WORK:
        answered = standing.answered_at
        if standing.lowering is not None and standing.hold == HoldStatus.TAKING:
            answered = standing.stop_answered_at or answered
        assert standing.observed_at is not None
        assert answered is not None
        assert standing.observed_at > answered


@given(standings)
def test_nothing_read_before_a_late_stop_may_land_closes_a_hold(
    standing: Standing,
) -> None:
    late = standing.owed_until
    told_at = standing.lowering.told_at if standing.lowering else None
    heard = [moment for moment in (standing.observed_at, told_at) if moment]
    if late is not None and heard and max(heard) <= late:
        assert judge(standing) in {Verdict.NOTHING, Verdict.STOPPED}


@given(standings)
def test_the_state_from_before_us_proves_nothing(standing: Standing) -> None:
    old = replace(standing, observed_at=standing.taken_from)
    if old.lowering is not None:
        lowering = replace(old.lowering, told_at=standing.taken_from)
        old = replace(old, lowering=lowering)

    assert judge(old) == Verdict.NOTHING


@given(standings)
def test_a_command_on_the_wire_is_awaited(standing: Standing) -> None:
    assert judge(replace(standing, command=CommandStatus.SENDING)) == Verdict.NOTHING


SETTLED = {Verdict.LIMIT_BACK, Verdict.LIMIT_CHANGED, Verdict.BACK_ALREADY}


@given(standings)
def test_only_another_limit_than_ours_settles_a_lowered_one(standing: Standing) -> None:
    lowering = standing.lowering
    verdict = judge(standing)
    if lowering is None or lowering.is_back:
        assert verdict not in SETTLED
    elif verdict in SETTLED:
        assert standing.limit_percent not in (None, 63.0)
        assert lowering.told_at is not None
        assert lowering.told_at > (standing.owed_until or standing.taken_from)
    else:
        assert verdict not in {Verdict.FINISHED, Verdict.STARTED}
