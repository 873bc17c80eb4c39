"""What a picture is made of: finished values, which templates only write down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from dispatch.live.chart import Chart

# Abnormal things alone have a tone; the page gives each a colour, an icon, and words.
Tone = Literal["", "warning", "critical"]


@dataclass(frozen=True)
class Freshness:
    """Whether the figures are of now, and whether the engine runs."""

    time: str  # with seconds
    zone: str
    simulated: str  # "simulated time, 120 x"; empty in real time
    tick: str
    tick_tone: Tone
    senders: str
    senders_tone: Tone


@dataclass(frozen=True)
class Running:
    """One event that holds cars or gives them back."""

    id: int
    name: str
    kind: str
    doing: str
    window: str
    left: str
    passed_percent: int
    is_restoring: bool
    target: str  # kW; empty: all that can be held
    confirmed: str  # kW; empty: no figures yet
    unconfirmed: str
    blind: str
    confirmed_percent: int  # of the target, for the meter
    unconfirmed_percent: int
    blind_percent: int
    target_percent: int | None
    tone: Tone
    verdict: str
    chart: Chart
    shed: str  # kW, an estimate; empty: none
    shed_interval: str
    cautions: tuple[str, ...]
    cap: str  # under which it is given back, and how that came about; empty: none
    has_unconfirmed: bool
    has_blind: bool
    gone: str  # cars that left home after a hold; empty: none
    gone_tone: Tone
    broken: str  # what gave way to what comes first; empty: nothing
    caught: tuple[str, ...]  # how late cars that plugged in were judged, by make


@dataclass(frozen=True)
class Coming:
    """One event that will run, or waits to be approved."""

    id: int
    name: str
    kind: str
    window: str
    starts: str
    note: str
    is_pending: bool


@dataclass(frozen=True)
class Count:
    """How many, and why."""

    text: str
    number: int


@dataclass(frozen=True)
class State:
    """Cars in one state, with the reasons that brought them there."""

    word: str
    meaning: str
    number: int
    tone: Tone
    reasons: tuple[Count, ...]


@dataclass(frozen=True)
class CommandCount:
    """Commands in one status: those that take, those that give back."""

    status: str
    meaning: str
    holding: int
    restoring: int
    tone: Tone


@dataclass(frozen=True)
class Commands:
    """Where the commands are, and how long the rest takes."""

    counts: tuple[CommandCount, ...]
    codes: tuple[Count, ...]
    waiting: str
    duration: str
    rate: str
    paused: tuple[str, ...]


@dataclass(frozen=True)
class AlarmLine:
    text: str
    tone: Tone
    severity: str
    since: str


@dataclass(frozen=True)
class Alarms:
    lines: tuple[AlarmLine, ...]
    number: int
    critical: int
    hidden: int  # beyond those in `lines`


@dataclass(frozen=True)
class CarRow:
    """One car of the table."""

    name: str
    feeder: str
    state: str
    tone: Tone
    reason: str
    kw: str
    charge: str
    latest_start: str
    latest_start_tone: Tone
    age: str
    age_tone: Tone
    unresolved_hold: int | None = None  # a person must close it


@dataclass(frozen=True)
class Stopped:
    """A switch that is set: no new holds, of everything, a program or a feeder."""

    program_id: int | None
    feeder_id: int | None
    what: str
    by: str
    since: str


@dataclass(frozen=True)
class AreaOff:
    """An area in which nobody is held."""

    id: int
    text: str


@dataclass(frozen=True)
class Actions:
    """What an operator can do now. `key` changes when this does."""

    stopped: tuple[Stopped, ...]
    everything_is_stopped: bool
    can_end: tuple[tuple[int, str], ...]
    areas: tuple[AreaOff, ...]
    proposals: int  # for envelopes, that wait for a second person
    key: str


@dataclass(frozen=True)
class Picture:
    """All that the page shows, of one moment."""

    now: datetime
    freshness: Freshness
    running: tuple[Running, ...]
    coming: tuple[Coming, ...]
    states: tuple[State, ...]
    car_count: int
    commands: Commands
    alarms: Alarms
    cars: tuple[CarRow, ...]
    actions: Actions
