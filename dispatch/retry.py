"""What becomes of a command after one call. Pure: an outcome in, a decision out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dispatch.lifecycle import CommandStatus
from fleets.providers.base import (
    AccessRevoked,
    Asleep,
    CarState,
    NothingToDo,
    OutcomeUnknown,
    ProviderError,
    QuotaSpent,
    Receipt,
    Refused,
    Report,
    TokenStale,
    TryLater,
    Unsupported,
)

# First waits of a backoff that doubles, in simulated seconds, and where it ends.
BACKOFF_SECONDS = 30.0
BACKOFF_TOP_SECONDS = 900.0
# A sleeping car is left alone for longer: each try may cost its 12 V battery.
ASLEEP_SECONDS = 120.0
# A restore that was refused is tried again at this pace, for as long as it is owed: the
# owner signs in again, the plan is raised, the car comes back from service.
REFUSED_RESTORE_SECONDS = 600.0
# A limit that its car or maker refuses for want of a cable waits for the next plug-in;
# in case nobody hears of that, it is tried again at this pace.
UNPLUGGED_SECONDS = 12 * 3600.0
# The first wait after a look that did not show our limit; it doubles.
LOOK_AGAIN_SECONDS = 120.0
LOOKED = "another limit than expected"
# The read that follows an unknown outcome waits for the maker to calm down.
READ_AFTER_UNKNOWN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a decision depends on beside the outcome."""

    is_restore: bool
    number: int  # 1 for the first call
    may_have_landed: bool  # an earlier call may have reached the car
    freshness_seconds: float  # how old the make's newest data may be
    is_limit: bool = False  # it writes a limit; otherwise it stops or starts
    has_looked: bool = True  # of a limit: False while the look is on its way


@dataclass(frozen=True, slots=True)
class Decision:
    """The command's next status, and what else follows."""

    status: CommandStatus
    code: str = ""
    request_id: str = ""
    wait_seconds: float = 0.0  # until it is due again, if queued
    read_seconds: float | None = None  # until the car is asked, if not proven
    may_have_landed: bool = False
    nothing_taken: bool = False  # the hold that it was for closes
    alarm: bool = False  # a person should know


def backoff_seconds(number: int, first: float = BACKOFF_SECONDS) -> float:
    """Return the wait after the `number`th failed try (1 is the first)."""
    return float(min(first * 2 ** min(number - 1, 10), BACKOFF_TOP_SECONDS))


def decide(outcome: Receipt | Report | ProviderError, attempt: Attempt) -> Decision:
    """Say what becomes of a command whose call ended in `outcome`.

    A report is that of a look that did not let its write go.
    """
    if isinstance(outcome, Receipt):
        return _accepted(attempt, request_id=outcome.request_id[:80])
    if isinstance(outcome, Report):
        return _not_written(outcome, attempt)
    return replace(
        _after_error(outcome, attempt),
        code=outcome.code[:80],
        request_id=outcome.request_id[:80],
    )


def _accepted(attempt: Attempt, *, request_id: str = "") -> Decision:
    return Decision(
        CommandStatus.ACCEPTED,
        request_id=request_id,
        # Webhooks come first; the read is for those that got lost.
        read_seconds=attempt.freshness_seconds + READ_AFTER_UNKNOWN_SECONDS,
        may_have_landed=True,
    )


def _not_written(seen: Report, attempt: Attempt) -> Decision:
    """Judge a look that showed another limit than the one to be replaced.

    What it showed is a reading: the next turn concludes whose limit that is. One that
    takes has come too late, unless an earlier try of ours is what it saw.
    """
    landed = attempt.may_have_landed
    if attempt.is_restore:
        wait = backoff_seconds(attempt.number, LOOK_AGAIN_SECONDS)
        if seen.is_plugged_in is False:
            wait = UNPLUGGED_SECONDS
        return Decision(
            CommandStatus.QUEUED, code=LOOKED, wait_seconds=wait, may_have_landed=landed
        )
    if landed:
        return _accepted(attempt)
    return Decision(CommandStatus.FAILED, code=LOOKED, nothing_taken=True)


def _after_error(error: ProviderError, attempt: Attempt) -> Decision:
    landed = attempt.may_have_landed
    if isinstance(error, OutcomeUnknown) and not attempt.has_looked:
        # It was the look that nobody answered: nothing was written.
        wait = backoff_seconds(attempt.number)
        return Decision(CommandStatus.QUEUED, wait_seconds=wait, may_have_landed=landed)
    if isinstance(error, OutcomeUnknown):
        return Decision(
            CommandStatus.UNKNOWN,
            read_seconds=READ_AFTER_UNKNOWN_SECONDS,
            may_have_landed=True,
        )
    if isinstance(error, NothingToDo):
        return _nothing_to_do(error, attempt)
    if isinstance(error, TokenStale):
        # At once with the next token, but only once: should that be refused as well,
        # asking on would spend every call there is.
        wait = 0.0 if attempt.number == 1 else BACKOFF_SECONDS
        return Decision(CommandStatus.QUEUED, wait_seconds=wait, may_have_landed=landed)
    if isinstance(error, TryLater):
        first = ASLEEP_SECONDS if isinstance(error, Asleep) else BACKOFF_SECONDS
        wait = error.wait_seconds or backoff_seconds(attempt.number, first)
        return Decision(CommandStatus.QUEUED, wait_seconds=wait, may_have_landed=landed)
    if attempt.is_restore and isinstance(error, Refused):
        return Decision(
            CommandStatus.QUEUED,
            wait_seconds=REFUSED_RESTORE_SECONDS,
            may_have_landed=landed,
            alarm=isinstance(error, AccessRevoked | QuotaSpent | Unsupported),
        )
    return Decision(
        CommandStatus.FAILED,
        may_have_landed=landed,
        nothing_taken=not attempt.is_restore and not landed,
        alarm=attempt.is_restore,
    )


def _nothing_to_do(error: NothingToDo, attempt: Attempt) -> Decision:
    """Judge a car that says it is beyond the command already.

    A start is never closed by words: only a reading shows that the car charges, is
    full, or has gone. A stop that found nothing to stop has taken nothing, unless an
    earlier one of ours may be the reason. A limit is not bound to charging: refused for
    want of a cable, it was not written, and waits for the next plug-in.
    """
    if attempt.is_limit and attempt.is_restore:
        return Decision(
            CommandStatus.QUEUED,
            wait_seconds=UNPLUGGED_SECONDS,
            may_have_landed=attempt.may_have_landed,
        )
    if attempt.is_restore or attempt.may_have_landed:
        return Decision(CommandStatus.ACCEPTED, read_seconds=0.0, may_have_landed=True)
    if error.state is CarState.CHARGING:  # odd for a stop: look, then decide
        return Decision(CommandStatus.UNKNOWN, read_seconds=0.0, may_have_landed=True)
    return Decision(CommandStatus.FAILED, nothing_taken=True)
