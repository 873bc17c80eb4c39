"""What a car's newest reading says of what it is owed. Pure.

Only a reading whose vehicle time is later than the end of the call confirms it. A make
whose data is an hour old gets that hour before "still charging" counts as disobedience.
And a stop of unknown outcome may land late: what is read before `owed_until` closes
nothing.

A car held by a lower limit is owed that limit, not a start: unplugging settles nothing,
and what the customer chose meanwhile ends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from dispatch import limits
from dispatch.lifecycle import UNPROVEN_COMMAND, CommandStatus, HoldStatus
from dispatch.limits import Whose

# Reports round to a tenth of a percent at the finest, many to whole ones. A car is full
# at its limit; one that a start of ours left alone just below it says the same.
FULL_WITHIN_PERCENT = 0.05
FULL_AFTER_START_WITHIN_PERCENT = 1.0
# A command that is still to leave explains nothing that a car does.
WAITING = (CommandStatus.QUEUED, CommandStatus.SENDING)


class Verdict(StrEnum):
    """What a reading proves."""

    NOTHING = "nothing"  # wait for a newer one
    STOPPED = "stopped"  # our stop worked: the car is held
    STOP_IGNORED = "stop ignored"  # accepted, yet still charging
    STARTED = "started"  # our start worked: the car has it back
    START_IGNORED = "start ignored"  # accepted, yet not charging
    RESTARTED = "restarted"  # charging again without us
    FINISHED = "finished"  # full: nothing is owed any more
    DROVE_OFF = "drove off"  # unplugged: a stop does not outlive its plug-in
    # Of lowered limits:
    CHARGES_ON = "charges above the limit"  # our limit is there, and stops nothing
    LIMIT_CHANGED = "customer changed the limit"
    BACK_ALREADY = "limit is back without us"
    LIMIT_BACK = "limit is back"  # we set it back; the rest is the car's own business
    NEEDS_START = "does not go on by itself"  # limit back, in the plug-in we took it in
    LIMIT_IGNORED = "limit ignored"  # accepted, yet the limit is what it was


@dataclass(frozen=True, slots=True)
class Lowering:
    """What a standing has beside that when a limit was lowered."""

    ours: int
    own: float  # from before us
    landed: bool  # a call that lowered it may have reached the car
    was_shown: bool  # a reading has shown our limit, and no charging
    gave: bool  # a call that set it back may have reached the car
    is_back: bool  # shown; only a start is owed yet
    told_at: datetime | None  # when the car told the limit
    same_plug_in: bool  # as when it was taken
    may_start: bool  # a start of this car keeps its limit


@dataclass(frozen=True, slots=True)
class Standing:
    """One open hold, its newest command, and what the car said last."""

    hold: str  # HoldStatus
    command: str | None  # CommandStatus of the newest command
    answered_at: datetime | None  # end of that command's last call
    stop_answered_at: datetime | None  # end of the last call that stopped
    owed_until: datetime | None
    taken_from: datetime  # when the state before us was read
    freshness: timedelta  # how old the make's data may be
    observed_at: datetime | None
    is_plugged_in: bool | None
    is_charging: bool | None
    soc_percent: float | None
    limit_percent: float | None
    lowering: Lowering | None = None  # None: held by a stop


def judge(standing: Standing) -> Verdict:
    """Return what the car's newest reading proves about its hold."""
    lowering = standing.lowering
    seen = _heard_at(standing)
    if seen is None or seen <= standing.taken_from:
        return Verdict.NOTHING
    if standing.owed_until is not None and seen <= standing.owed_until:
        # A late stop may still land; a car seen stopped, though, is held from now on.
        if standing.hold == HoldStatus.TAKING and _shows_stop(standing):
            return Verdict.STOPPED
        return Verdict.NOTHING
    if standing.command == CommandStatus.SENDING:
        return Verdict.NOTHING  # its outcome comes first
    if lowering is not None and not lowering.is_back:
        if standing.hold == HoldStatus.TAKING:
            return _judge_lowering(standing, lowering)
        if standing.hold == HoldStatus.HELD:
            return _judge_lowered(standing, lowering)
        return _judge_raising(standing, lowering)
    # A limit may be told later than whether the car charges, which counts from here on.
    seen = standing.observed_at
    closes_after = max(standing.taken_from, standing.owed_until or standing.taken_from)
    if seen is None or seen <= closes_after:
        return Verdict.NOTHING
    if standing.is_plugged_in is False:
        return Verdict.DROVE_OFF
    if standing.hold == HoldStatus.TAKING:
        return _judge_taking(standing, seen)
    if standing.hold == HoldStatus.HELD:
        return _judge_held(standing, seen)
    return _judge_restoring(standing, seen)


def _judge_taking(standing: Standing, seen: datetime) -> Verdict:
    if _shows_stop(standing):
        return Verdict.FINISHED if _is_full(standing) else Verdict.STOPPED
    patient_until = _after(standing.answered_at, standing.freshness)
    if (
        standing.is_charging
        and patient_until is not None
        and seen > patient_until
        and standing.command not in WAITING
    ):
        return Verdict.STOP_IGNORED
    return Verdict.NOTHING


def _judge_held(standing: Standing, seen: datetime) -> Verdict:
    if standing.stop_answered_at is not None and seen <= standing.stop_answered_at:
        return Verdict.NOTHING
    if standing.is_charging:
        return Verdict.RESTARTED
    return Verdict.FINISHED if _is_full(standing) else Verdict.NOTHING


def _judge_restoring(standing: Standing, seen: datetime) -> Verdict:
    """Judge a hold that is being given back, or could not be."""
    if standing.is_charging:
        # A start may be given up before it ever left: then it explains nothing either.
        if standing.command not in WAITING and standing.answered_at is not None:
            shown = seen > standing.answered_at
            return Verdict.STARTED if shown else Verdict.NOTHING
        stopped_by = _after(standing.stop_answered_at, standing.freshness)
        shown = stopped_by is not None and seen > stopped_by
        return Verdict.RESTARTED if shown else Verdict.NOTHING
    # A start that may never have arrived explains nothing: such a car is owed the rest.
    started = (
        standing.command not in (*WAITING, CommandStatus.UNKNOWN)
        and standing.answered_at is not None
        and seen > standing.answered_at
    )
    within = FULL_AFTER_START_WITHIN_PERCENT if started else FULL_WITHIN_PERCENT
    if standing.is_charging is False and _is_full(standing, within=within):
        return Verdict.FINISHED
    patient_until = _after(standing.answered_at, standing.freshness)
    if (
        standing.is_charging is False
        and standing.command in UNPROVEN_COMMAND
        and patient_until is not None
        and seen > patient_until
    ):
        return Verdict.START_IGNORED
    return Verdict.NOTHING


def _judge_lowering(standing: Standing, lowering: Lowering) -> Verdict:
    """Judge a limit that is on its way down."""
    answered_at = standing.stop_answered_at
    if not lowering.landed or answered_at is None:
        return Verdict.NOTHING  # it is sent, or dropped
    if standing.is_plugged_in is False:
        return Verdict.DROVE_OFF
    if standing.command in WAITING:
        return Verdict.NOTHING
    patient_until = answered_at + standing.freshness
    if _whose_since(standing, lowering, answered_at) is Whose.OURS:
        if _seen_since(standing, answered_at) and standing.is_charging is False:
            return Verdict.STOPPED
        charges_on = standing.is_charging and _is_above(standing, lowering)
        if charges_on and _seen_since(standing, patient_until):
            return Verdict.CHARGES_ON
        return Verdict.NOTHING
    return {
        Whose.OWN: Verdict.LIMIT_IGNORED,
        Whose.THEIRS: Verdict.LIMIT_CHANGED,
    }.get(_whose_since(standing, lowering, patient_until), Verdict.NOTHING)


def _judge_lowered(standing: Standing, lowering: Lowering) -> Verdict:
    """Judge a car that our limit holds."""
    answered_at = standing.stop_answered_at
    if answered_at is None:
        return Verdict.NOTHING
    whose = _whose_since(standing, lowering, answered_at)
    if whose is Whose.THEIRS:
        return Verdict.LIMIT_CHANGED
    if whose is Whose.OWN:
        return Verdict.BACK_ALREADY
    if standing.is_plugged_in is False:
        return Verdict.DROVE_OFF
    if (
        standing.is_charging
        and _is_above(standing, lowering)
        and _seen_since(standing, answered_at)
    ):
        return Verdict.RESTARTED
    return Verdict.NOTHING


def _judge_raising(standing: Standing, lowering: Lowering) -> Verdict:
    """Judge a limit that is being set back, or could not be."""
    is_given = standing.command not in WAITING and standing.answered_at is not None
    taken_at = standing.stop_answered_at or standing.taken_from
    if is_given and lowering.gave:
        since = standing.answered_at or taken_at
    else:
        # One that no reading has shown yet may still be on its way down.
        wait = timedelta() if lowering.was_shown else standing.freshness
        since = taken_at + wait
    whose = _whose_since(standing, lowering, since)
    if whose is Whose.THEIRS:
        return Verdict.LIMIT_CHANGED
    if whose is Whose.OWN:
        if not lowering.gave:
            return Verdict.BACK_ALREADY
        return _judge_raised(standing, lowering)
    if (
        whose is Whose.OURS
        and standing.command in UNPROVEN_COMMAND
        and _whose_since(standing, lowering, since + standing.freshness) is Whose.OURS
    ):
        return Verdict.LIMIT_IGNORED
    return Verdict.NOTHING


def _judge_raised(standing: Standing, lowering: Lowering) -> Verdict:
    """Judge a car that has its limit back.

    Most cars go on by themselves. One that does not is started, if it stands in the
    plug-in in which it was charging when we took it: its own timer had let it. In any
    other, whether it charges is its own business.
    """
    may_need_start = (
        standing.hold == HoldStatus.RESTORING
        and standing.command not in WAITING
        and standing.is_plugged_in is not False
        and lowering.same_plug_in
        and lowering.may_start
        and not standing.is_charging
        and not _is_full(standing, within=FULL_AFTER_START_WITHIN_PERCENT)
    )
    if not may_need_start:
        return Verdict.LIMIT_BACK
    patient_until = _after(standing.answered_at, standing.freshness)
    waited = patient_until is not None and _seen_since(standing, patient_until)
    return (
        Verdict.NEEDS_START
        if waited and standing.is_charging is False
        else Verdict.NOTHING
    )


def _heard_at(standing: Standing) -> datetime | None:
    """Return the time of the newest that the car told."""
    told_at = standing.lowering.told_at if standing.lowering else None
    moments = [moment for moment in (standing.observed_at, told_at) if moment]
    return max(moments, default=None)


def _seen_since(standing: Standing, moment: datetime) -> bool:
    return standing.observed_at is not None and standing.observed_at > moment


def _whose_since(standing: Standing, lowering: Lowering, moment: datetime) -> Whose:
    """Return whose limit it is, if the car told it after this moment."""
    since = max(moment, standing.owed_until or moment)
    if lowering.told_at is None or lowering.told_at <= since:
        return Whose.UNSAID
    return limits.whose(standing.limit_percent, ours=lowering.ours, own=lowering.own)


def _is_above(standing: Standing, lowering: Lowering) -> bool:
    """Say whether a car that charges does so beyond our limit, not just up to it."""
    return standing.soc_percent is None or standing.soc_percent > lowering.ours


def _shows_stop(standing: Standing) -> bool:
    """Say whether the reading is newer than the stop and shows no charging."""
    lowering = standing.lowering
    if lowering is not None:
        whose = limits.whose(
            standing.limit_percent, ours=lowering.ours, own=lowering.own
        )
        if whose is not Whose.OURS:
            return False
    return (
        standing.is_charging is False
        and standing.answered_at is not None
        and _seen_since(standing, standing.answered_at)
        and standing.command not in WAITING
    )


def _is_full(standing: Standing, *, within: float = FULL_WITHIN_PERCENT) -> bool:
    if standing.soc_percent is None:
        return False
    limit = 100.0 if standing.limit_percent is None else standing.limit_percent
    return standing.soc_percent >= limit - within


def _after(moment: datetime | None, wait: timedelta) -> datetime | None:
    return None if moment is None else moment + wait
