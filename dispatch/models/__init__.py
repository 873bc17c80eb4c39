"""What happens: events, what each car is owed, commands, and the record of it all."""

from __future__ import annotations

from dispatch.models.areas import AreaHoldOff
from dispatch.models.envelope_changes import EnvelopeChange
from dispatch.models.events import GridClient, GridEvent, GridSignal, Participation
from dispatch.models.forecasts import Forecast, ForecastScore, QuarterSample
from dispatch.models.holds import Command, Hold
from dispatch.models.policies import DayOff, EventPolicy, Occurrence, RecurringWindow
from dispatch.models.records import (
    Alarm,
    AuditEntry,
    Catch,
    Change,
    IdempotencyKey,
    LoadSample,
    Response,
    Tally,
)
from dispatch.models.running import (
    Envelope,
    EnvelopeGauge,
    LoopTurn,
    Poll,
    SecondPlace,
    Sender,
)

__all__ = [
    "Alarm",
    "AreaHoldOff",
    "AuditEntry",
    "Catch",
    "Change",
    "Command",
    "DayOff",
    "Envelope",
    "EnvelopeChange",
    "EnvelopeGauge",
    "EventPolicy",
    "Forecast",
    "ForecastScore",
    "GridClient",
    "GridEvent",
    "GridSignal",
    "Hold",
    "IdempotencyKey",
    "LoadSample",
    "LoopTurn",
    "Occurrence",
    "Participation",
    "Poll",
    "QuarterSample",
    "RecurringWindow",
    "Response",
    "SecondPlace",
    "Sender",
    "Tally",
]
