"""The lives of events, participations, holds and commands: statuses and moves.

The tables here are the only ones: guarded updates take their "from" from them, and the
tests try every pair of statuses against them.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db import models


class EventStatus(models.TextChoices):
    DRAFT = "draft"  # being written; nobody acts on it
    PENDING = "pending approval"  # larger than its envelope; waits for a second person
    SCHEDULED = "scheduled"  # will start by itself
    ACTIVE = "active"  # holds cars and catches plug-ins
    RESTORING = "restoring"  # takes nothing more, gives everything back
    COMPLETED = "completed"  # nothing is owed any more
    SETTLED = "settled"  # measured and paid
    CANCELLED = "cancelled"  # called off before anything was held


class EventKind(models.TextChoices):
    ECONOMIC = "economic"  # saves money
    EMERGENCY = "emergency"  # keeps the grid up
    TEST = "test"  # proves that it works


class AreaKind(models.TextChoices):
    EVACUATION = "evacuation"  # people must get away
    STORM = "storm"  # full batteries may be all that a home has
    OUTAGE = "outage"  # no power: nothing is commanded until it is over


class EnvelopeChangeStatus(models.TextChoices):
    PROPOSED = "proposed"  # waits for a second person
    APPROVED = "approved"  # the bounds hold
    REFUSED = "refused"  # a second person said no
    WITHDRAWN = "withdrawn"  # taken back by whoever proposed it
    OVERTAKEN = "overtaken"  # the bounds changed before anybody decided


class ParticipationStatus(models.TextChoices):
    CLAIMED = "claimed"  # the event wants this car held
    SPARED = "spared"  # the event leaves this car alone, with a reason
    ENDED = "ended"  # over for this car and event


class HoldStatus(models.TextChoices):
    TAKING = "taking"  # what holds it is on its way, the car has not shown it
    HELD = "held"  # a reading shows that the car does not charge
    RESTORING = "restoring"  # being given back
    RESTORED = "restored"  # a reading shows that the car has it back
    RELEASED = "released"  # nothing owed: the customer's own act, or nothing was taken
    UNRESOLVED = "unresolved"  # could not be given back; alarmed until a person closes


class CommandKind(models.TextChoices):
    STOP = "stop"  # stop charging
    START = "start"  # start charging
    SET_LIMIT = "set limit"  # change the charge limit


class CommandStatus(models.TextChoices):
    QUEUED = "queued"  # waits for its time or for a sender
    SENDING = "sending"  # one sender holds it
    UNKNOWN = "unknown"  # it may have happened; the car must be read first
    ACCEPTED = "accepted"  # the provider took it, the car has not shown it yet
    CONFIRMED = "confirmed"  # a reading shows that the car obeyed
    FAILED = "failed"  # will not happen
    EXPIRED = "expired"  # its deadline passed before it could be sent
    SUPERSEDED = "superseded"  # something newer made it pointless


Moves = Mapping[str, frozenset[str]]


def _moves(table: dict[str, set[str]]) -> Moves:
    return {source: frozenset(targets) for source, targets in table.items()}


EVENT_MOVES = _moves(
    {
        EventStatus.DRAFT: {
            EventStatus.PENDING, EventStatus.SCHEDULED, EventStatus.CANCELLED,
        },
        EventStatus.PENDING: {EventStatus.SCHEDULED, EventStatus.CANCELLED},
        EventStatus.SCHEDULED: {
            EventStatus.PENDING,  # amended beyond its envelope
            EventStatus.ACTIVE, EventStatus.CANCELLED,
        },
        EventStatus.ACTIVE: {EventStatus.RESTORING},
        EventStatus.RESTORING: {EventStatus.COMPLETED},
        EventStatus.COMPLETED: {EventStatus.SETTLED},
        EventStatus.SETTLED: set(),
        EventStatus.CANCELLED: set(),
    }
)  # fmt: skip

ENVELOPE_CHANGE_MOVES = _moves(
    {
        EnvelopeChangeStatus.PROPOSED: {
            EnvelopeChangeStatus.APPROVED, EnvelopeChangeStatus.REFUSED,
            EnvelopeChangeStatus.WITHDRAWN, EnvelopeChangeStatus.OVERTAKEN,
        },
        EnvelopeChangeStatus.APPROVED: set(),
        EnvelopeChangeStatus.REFUSED: set(),
        EnvelopeChangeStatus.WITHDRAWN: set(),
        EnvelopeChangeStatus.OVERTAKEN: set(),
    }
)  # fmt: skip

PARTICIPATION_MOVES = _moves(
    {
        ParticipationStatus.CLAIMED: {
            ParticipationStatus.SPARED,  # nothing came of it; judged anew
            ParticipationStatus.ENDED,
        },
        ParticipationStatus.SPARED: {
            ParticipationStatus.CLAIMED, ParticipationStatus.ENDED,
        },
        ParticipationStatus.ENDED: set(),
    }
)  # fmt: skip

HOLD_MOVES = _moves(
    {
        HoldStatus.TAKING: {
            HoldStatus.HELD, HoldStatus.RESTORING, HoldStatus.RELEASED,
        },
        HoldStatus.HELD: {HoldStatus.RESTORING, HoldStatus.RELEASED},
        HoldStatus.RESTORING: {
            HoldStatus.HELD,  # its start had not left when another event wanted it
            HoldStatus.RESTORED, HoldStatus.RELEASED, HoldStatus.UNRESOLVED,
        },
        HoldStatus.UNRESOLVED: {
            HoldStatus.RESTORING,  # a person asks for one more try
            HoldStatus.RESTORED, HoldStatus.RELEASED,
        },
        HoldStatus.RESTORED: set(),
        HoldStatus.RELEASED: set(),
    }
)  # fmt: skip

COMMAND_MOVES = _moves(
    {
        CommandStatus.QUEUED: {
            CommandStatus.SENDING, CommandStatus.EXPIRED, CommandStatus.SUPERSEDED,
        },
        CommandStatus.SENDING: {
            CommandStatus.QUEUED,  # put back, or the provider said: later
            CommandStatus.UNKNOWN, CommandStatus.ACCEPTED, CommandStatus.FAILED,
            CommandStatus.SUPERSEDED,  # an opt-out came between claim and send
        },
        CommandStatus.UNKNOWN: {
            CommandStatus.QUEUED,  # read: it did not happen
            CommandStatus.CONFIRMED, CommandStatus.FAILED, CommandStatus.SUPERSEDED,
        },
        CommandStatus.ACCEPTED: {
            CommandStatus.QUEUED,  # a reading shows that the car ignored it
            CommandStatus.CONFIRMED, CommandStatus.FAILED, CommandStatus.SUPERSEDED,
        },
        CommandStatus.CONFIRMED: set(),
        CommandStatus.FAILED: set(),
        CommandStatus.EXPIRED: set(),
        CommandStatus.SUPERSEDED: set(),
    }
)  # fmt: skip


def sources(moves: Moves, target: str) -> list[str]:
    """Return the statuses that may move to `target`, in the table's order."""
    return [source for source, targets in moves.items() if target in targets]


def final(moves: Moves) -> frozenset[str]:
    """Return the statuses that nothing leaves."""
    return frozenset(status for status, targets in moves.items() if not targets)


# What an event must be to have any effect on cars.
RUNNING_EVENT = (EventStatus.ACTIVE, EventStatus.RESTORING)
# A car that is owed something.
OPEN_HOLD = (
    HoldStatus.TAKING, HoldStatus.HELD, HoldStatus.RESTORING, HoldStatus.UNRESOLVED,
)  # fmt: skip
# Exclusive per vehicle: the next command must wait for, or supersede, these.
OPEN_COMMAND = (CommandStatus.QUEUED, CommandStatus.SENDING, CommandStatus.UNKNOWN)
# A command whose effect on the car no reading has shown yet.
UNPROVEN_COMMAND = (CommandStatus.UNKNOWN, CommandStatus.ACCEPTED)
