"""What to do next for one car, and what an answer or a reading means for it. Pure.

The rules are the main system's: `dispatch.retry` judges calls, `dispatch.evidence`
readings. Only what ends is different: nobody will look at an unresolved car later, so
each ends with a word for the report.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from dispatch import evidence, limits, retry
from dispatch.evidence import Verdict
from dispatch.lifecycle import CommandStatus, HoldStatus
from dispatch.limits import Whose
from dispatch.retry import Attempt, Decision
from dispatch.safekeeping.journal import End, Progress
from dispatch.safekeeping.sheet import Give, Owed
from fleets.providers.base import ProviderError, Receipt, Refused, Rejected, Report

# Between two reads of the same car, doubling.
READ_AGAIN_SECONDS = 120.0
READ_AGAIN_TOP_SECONDS = 3600.0
# Attempts that a car ignored and that therefore do not count; the next one does.
INEFFECTIVE_ATTEMPTS = 3
# A car that ignored a start is asked again after this, doubling.
IGNORED_WAIT_SECONDS = 120.0
# The owner's login or plan is gone: some more tries, then a person must call.
REFUSALS = 3


class Call(StrEnum):
    """What to ask the provider for."""

    GIVE = "give"  # a start, or the limit set back
    READ = "read"


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a reading, or a failure to read, leads to."""

    end: End | None = None
    reason: str = ""
    again: bool = False  # the car ignored what it was given
    wait_seconds: float = 0.0


def beginning(car: Owed) -> Progress:
    """Return how far the main system had come with a car."""
    if car.given is None:
        return Progress()
    return Progress(
        command=CommandStatus(car.given),
        may_have_landed=True,
        sent_at=car.given_at,
        answered_at=car.given_at,
    )


def next_call(car: Owed, progress: Progress) -> Call:
    """Return what to do for a car that is still owed something."""
    if progress.command not in (None, CommandStatus.QUEUED):
        return Call.READ
    if car.give is Give.LIMIT:
        # Written only while it is ours, so each writing follows a look that shows it.
        seen = limits.whose(progress.seen_limit, ours=car.our_percent, own=car.percent)
        return Call.GIVE if seen is Whose.OURS else Call.READ
    must_look = car.look_first and not progress.attempts
    return Call.READ if must_look and not progress.was_seen else Call.GIVE


def judge_answer(
    car: Owed, progress: Progress, result: Receipt | ProviderError
) -> Decision:
    """Say what becomes of a start, or of a limit set back."""
    return retry.decide(
        result,
        Attempt(
            is_restore=True,
            number=progress.attempts,
            may_have_landed=progress.may_have_landed,
            freshness_seconds=car.freshness_seconds,
            is_limit=car.give is Give.LIMIT,
        ),
    )


def wait_after(car: Owed, decision: Decision, *, now: datetime) -> float:
    """Return the seconds until a car is due again after an answer."""
    if decision.read_seconds is None:
        return decision.wait_seconds
    # A stop that may still land makes every reading before that worthless.
    until = car.owed_until or now
    return max(decision.read_seconds, (until - now).total_seconds())


def is_hopeless(progress: Progress, decision: Decision) -> bool:
    """Say whether only a person can go on after this answer."""
    refused = decision.alarm and progress.attempts >= REFUSALS
    return decision.status == CommandStatus.FAILED or refused


def judge_reading(
    car: Owed, progress: Progress, report: Report, *, now: datetime
) -> Conclusion:
    """Say what a reading proves."""
    if car.give is Give.LIMIT:
        return _judge_limit(car, progress, report, now=now)
    verdict = evidence.judge(_standing(car, progress, report))
    if verdict is Verdict.STARTED:
        return Conclusion(End.RESTORED)
    if verdict is Verdict.FINISHED:
        return Conclusion(End.FINISHED)
    if verdict is Verdict.DROVE_OFF:
        return Conclusion(End.DROVE_OFF)
    if verdict is Verdict.RESTARTED or _never_stopped(car, progress, report):
        return Conclusion(End.CHARGES)
    if verdict is Verdict.START_IGNORED:
        return _ignored(progress)
    return _not_yet(car, progress, now=now)


def judge_unread(progress: Progress, error: ProviderError) -> Conclusion:
    """Say what a read that failed leads to; `progress` does not count it yet."""
    failures = progress.unread + 1
    if isinstance(error, Rejected):
        return Conclusion(End.NOT_REACHED, reason=error.code)
    if isinstance(error, Refused):
        if failures >= REFUSALS:
            end = End.UNSHOWN if progress.gave else End.NOT_REACHED
            return Conclusion(end, reason=error.code)
        return Conclusion(wait_seconds=retry.REFUSED_RESTORE_SECONDS)
    said = getattr(error, "wait_seconds", None)
    return Conclusion(wait_seconds=said or retry.backoff_seconds(failures))


def out_of_patience(progress: Progress) -> Conclusion:
    """End a car that was tried for long enough."""
    end = End.UNSHOWN if progress.gave else End.NOT_REACHED
    return Conclusion(end, reason=progress.code or "nothing shows it")


def _standing(car: Owed, progress: Progress, report: Report) -> evidence.Standing:
    return evidence.Standing(
        hold=HoldStatus.RESTORING,
        command=progress.command,
        answered_at=progress.answered_at,
        stop_answered_at=car.stop_answered_at,
        owed_until=car.owed_until,
        taken_from=car.taken_from,
        freshness=timedelta(seconds=car.freshness_seconds),
        observed_at=report.observed_at,
        is_plugged_in=report.is_plugged_in,
        is_charging=report.is_charging,
        soc_percent=report.soc_percent,
        limit_percent=report.limit_percent,
    )


def _never_stopped(car: Owed, progress: Progress, report: Report) -> bool:
    """Say whether a car charges that we gave nothing, and that no stop can reach."""
    if progress.gave or not report.is_charging:
        return False
    if car.owed_until is not None:
        return report.observed_at > car.owed_until
    return car.stop_answered_at is None and report.observed_at > car.taken_from


def _ignored(progress: Progress) -> Conclusion:
    if progress.ineffective >= INEFFECTIVE_ATTEMPTS:
        return Conclusion(End.NOT_REACHED, reason="the car ignores it")
    wait = IGNORED_WAIT_SECONDS * 2**progress.ineffective
    return Conclusion(again=True, wait_seconds=wait)


def _not_yet(car: Owed, progress: Progress, *, now: datetime) -> Conclusion:
    """Wait for a newer reading; a car that was only looked at is given at once."""
    if progress.command in (None, CommandStatus.QUEUED):
        return Conclusion()
    late = (car.owed_until - now).total_seconds() if car.owed_until else 0.0
    wait = min(
        READ_AGAIN_SECONDS * 2 ** min(progress.reads, 10), READ_AGAIN_TOP_SECONDS
    )
    return Conclusion(wait_seconds=max(wait, late))


def _judge_limit(
    car: Owed, progress: Progress, report: Report, *, now: datetime
) -> Conclusion:
    """Set a limit back only while it is the one that we had set."""
    seen, limit = report.limit_observed_at or report.observed_at, report.limit_percent
    whose = limits.whose(limit, ours=car.our_percent, own=car.percent)
    can_land = car.owed_until is not None and seen <= car.owed_until
    if car.stop_answered_at is not None and whose is not Whose.OURS:
        # Accepted a moment ago: the maker may not show it yet.
        shows_from = car.stop_answered_at + timedelta(seconds=car.freshness_seconds)
        can_land |= seen <= shows_from
    if limit is None or seen <= car.taken_from or can_land:
        late = (car.owed_until - now).total_seconds() if car.owed_until else 0.0
        wait = READ_AGAIN_SECONDS * 2 ** min(progress.reads, 5)
        return Conclusion(wait_seconds=max(wait, late))
    is_ours, is_back = whose is Whose.OURS, whose is Whose.OWN
    if not progress.gave:
        if is_back:
            return Conclusion(End.RESTORED, reason="it was back already")
        return Conclusion() if is_ours else Conclusion(End.THEIRS)
    if progress.answered_at is None or seen <= progress.answered_at:
        return _not_yet(car, progress, now=now)
    if is_back:
        return Conclusion(End.RESTORED)
    if not is_ours:
        return Conclusion(End.THEIRS)
    patient_until = progress.answered_at + timedelta(seconds=car.freshness_seconds)
    return (
        _ignored(progress) if seen > patient_until else _not_yet(car, progress, now=now)
    )
