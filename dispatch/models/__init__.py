"""What happens: events, what each car is owed, commands, and the record of it all."""

from __future__ import annotations

from dispatch.models.areas import AreaHoldOff
from dispatch.models.envelope_changes import EnvelopeChange
from dispatch.models.events import GridClient, GridEvent, GridSignal, Participation
from dispatch.models.holds import Command, Hold
from dispatch.models.records import (
    Alarm,
    AuditEntry,
    Change,
    IdempotencyKey,
    LoadSample,
    Response,
)
from dispatch.models.running import (
    Envelope,
    EnvelopeGauge,
    LoopTurn,
    SecondPlace,
    Sender,
)

__all__ = [
    "Alarm",
    "AreaHoldOff",
    "AuditEntry",
    "Change",
    "Command",
    "Envelope",
    "EnvelopeChange",
    "EnvelopeGauge",
    "GridClient",
    "GridEvent",
    "GridSignal",
    "Hold",
    "IdempotencyKey",
    "LoadSample",
    "LoopTurn",
    "Participation",
    "Response",
    "SecondPlace",
    "Sender",
]
