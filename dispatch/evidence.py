"""What a car's newest reading says of what it is owed. Pure.

Only a reading whose vehicle time is later than the end of the call confirms it. A make
whose data is an hour old gets that hour before "still charging" counts as disobedience.
And a stop of unknown outcome may land late: what is read before `owed_until` closes
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from dispatch.lifecycle import UNPROVEN_COMMAND, CommandStatus, HoldStatus

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


def judge(standing: Standing) -> Verdict:
    """Return what the car's newest reading proves about its hold."""
    seen = standing.observed_at
    if seen is None or seen <= standing.taken_from:
        return Verdict.NOTHING
    if standing.owed_until is not None and seen <= standing.owed_until:
        # A late stop may still land; a car seen stopped, though, is held from now on.
        if standing.hold == HoldStatus.TAKING and _shows_stop(standing, seen):
            return Verdict.STOPPED
        return Verdict.NOTHING
    if standing.command == CommandStatus.SENDING:
        return Verdict.NOTHING  # its outcome comes first
    if standing.is_plugged_in is False:
        return Verdict.DROVE_OFF
    if standing.hold == HoldStatus.TAKING:
        return _judge_taking(standing, seen)
    if standing.hold == HoldStatus.HELD:
        return _judge_held(standing, seen)
    return _judge_restoring(standing, seen)


def _judge_taking(standing: Standing, seen: datetime) -> Verdict:
    if _shows_stop(standing, seen):
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
    asked = (
        standing.command not in WAITING
        and standing.answered_at is not None
        and seen > standing.answered_at
    )
    within = FULL_AFTER_START_WITHIN_PERCENT if asked else FULL_WITHIN_PERCENT
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


def _shows_stop(standing: Standing, seen: datetime) -> bool:
    """Say whether the reading is newer than the stop and shows no charging."""
    return (
        standing.is_charging is False
        and standing.answered_at is not None
        and seen > standing.answered_at
        and standing.command not in WAITING
    )


def _is_full(standing: Standing, *, within: float = FULL_WITHIN_PERCENT) -> bool:
    if standing.soc_percent is None:
        return False
    limit = 100.0 if standing.limit_percent is None else standing.limit_percent
    return standing.soc_percent >= limit - within


def _after(moment: datetime | None, wait: timedelta) -> datetime | None:
    return None if moment is None else moment + wait
