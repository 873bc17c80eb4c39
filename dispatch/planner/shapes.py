"""The planner's words and arrays.

Arrays are as long as the fleet (n), one place a car; times are seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Texts = NDArray[np.str_]
Codes = NDArray[np.int8]


class Act(StrEnum):
    """What is to be done with one car."""

    HOLD = "hold"  # stop it, or lower its limit; what it is owed is written down first
    SPARE = "spare"  # leave it alone, and say why
    RESTORE = "restore"  # give it back
    DROP = "drop"  # nothing was taken from it yet: let go


class Reason(StrEnum):
    """Why; shown to operators and customers in these words."""

    # held
    TARGET = "counts towards the target"
    ALL = "event without a target"
    QUEUED = "waits for its turn"  # it plugged in while others are given back
    # spared, in the order in which they are tested
    AREA_OFF = "area on hold-off"  # also: given back for it
    UNKNOWN = "state unknown"
    UNPLUGGED = "not plugged in"
    AWAY = "not at home"
    HOME_UNKNOWN = "not known to be at home"
    NOT_CHARGING = "not charging"
    UNABLE = "cannot be stopped and started"
    LIMIT_UNKNOWN = "its charge limit is unknown"  # and it takes nothing else
    LIMIT_UNFIT = "no limit would stop it"
    BELOW_MINIMUM = "below minimum charge"
    READY_BY = "would be late"
    NO_CALLS = "no calls left this month"
    CYCLES = "held often enough today"
    REFUSED = "could not be held"  # judged anew when the car has something to say
    GOING_BACK = "being given back"  # for an event before; judged anew when it has it
    STOPPED = "new holds are stopped"
    BLIND = "too few readings to hold more"
    NO_ROOM = "restore would not fit"
    ENOUGH = "target met without it"
    # let go of before anything was taken
    OVERTAKEN = "stop overtaken"  # by an amendment, its deadline, a switch
    # restored
    OPTED_OUT = "customer opted out"
    WITHDRAWN = "customer withdrew"
    LATEST_START = "latest start for its departure"
    EVENT_OVER = "event over"
    PICK_UP = "power is back after an outage"


# As codes: an array of numbers is compared many times faster than one of texts.
ACTS = tuple(Act)
REASONS = tuple(Reason)
NO_REASON = -1


class Standing(StrEnum):
    """Where a car stands with an event."""

    NONE = ""
    CLAIMED = "claimed"
    SPARED = "spared"
    ENDED = "ended"


class Debt(StrEnum):
    """What the car's open hold is at, as far as decisions go."""

    NONE = ""
    UNTAKEN = "untaken"  # its stop is queued; none can have reached the car
    LAPSED = "lapsed"  # untaken, and no stop will be sent any more
    TAKEN = "taken"  # it may be stopped, or is
    BUSY = "busy"  # a command is on the wire: its outcome comes first
    RETURNING = "returning"  # an event is over; the start has not left, so it may stay
    RESTORING = "restoring"


class Area(StrEnum):
    """What an area hold-off means for a car."""

    NONE = ""
    OFF = "off"  # not to be held; what it is owed goes back
    DARK = "dark"  # no power: nothing is commanded
    PICK_UP = "pick-up"  # held when its power went, which is back


@dataclass(frozen=True)
class Cars:
    """A program's cars, and those that it still owes something."""

    vehicle_id: Ints
    consented: Bools  # an active enrolment in the program
    known: Bools  # its state is known, and recent enough to act upon
    plugged_in: Bools
    charging: Bools
    at_home: Bools
    away: Bools
    able: Bools  # can be stopped, and started again, at its present charge
    can_set_limit: Bools
    limit_percent: Floats  # its own, told by its newest reading; NaN: unknown
    soc_percent: Floats
    minimum_percent: Floats
    power_kw: Floats  # what it draws, or would
    power_is_told: Bools  # by itself, and possible; otherwise its usual one counts
    latest_start: Floats  # still ready by its departure, if it charges from then on
    calls_left: Ints  # this month, beyond the reserve for its restore
    debt: Texts  # Debt
    held_kw: Floats  # 0 without an open hold
    charge_seconds: Floats  # until it is full, at its power
    restore_calls: Ints  # that giving it back takes: 1, or 2 for a lowered limit
    area: Texts  # Area
    feeder: Ints  # its place in Program.feeders; -1: none that bounds its restore
    feeder_stopped: Bools  # the switch of its feeder: no new holds
    holds_left: Ints  # today, before it was held often enough
    # Towards a target:
    make: Ints  # numbered from 0
    response: Floats  # the chance that it does what a stop asks
    shown: Bools  # a reading has shown it stopped
    would_draw_share: Floats  # of its held kW, which it would still draw without us
    recent_hours: Floats  # its customer's in holds, of late

    @property
    def n(self) -> int:
        """Return how many there are."""
        return len(self.vehicle_id)

    def owes(self, *debts: Debt) -> Bools:
        """Say whose debt is one of these (n)."""
        found: Bools = np.logical_or.reduce([self.debt == debt for debt in debts])
        return found


@dataclass(frozen=True)
class Event:
    """An event that runs, with each car's standing."""

    event_id: int
    holding: bool  # active: holds and catches; otherwise it only restores
    holds_stopped: bool  # the switch: no new holds, restores go on
    ends_at: float
    target_kw: float | None
    aimed: Bools  # at these cars
    opted_out: Bools
    standing: Texts  # Standing
    reason: Texts  # Reason of that standing
    has_news: Bools  # the car reported since it was judged
    # Once it is over, what it took of a car is charged again by then; inf: no promise.
    back_by: Floats
    # Overnight managed: who joins those that wait, plugging in after its end.
    queues: Bools
    clocks_change: bool = False  # between its start and its end, where its program is


@dataclass(frozen=True)
class Tracking:
    """How a target is met; shares of 1."""

    confidence: float = 0.9  # with which the target is met
    maker_outage: float = 0.01  # chance that one maker's cloud is down
    dead_band: float = 0.01  # of the target; a smaller gap is left
    let_go_above: float = 0.03  # of the target; a smaller surplus is kept
    # Who is taken first: points for an hour of slack, for a kW of one call, and off for
    # an hour in holds of late.
    slack_weight: float = 1.0
    kw_weight: float = 0.1
    rotation_weight: float = 0.25


@dataclass(frozen=True)
class Feeder:
    """What a feeder bears of restores, and what goes on there already."""

    restore_cap_kw: float  # inf: none
    restore_ramp_kw_per_minute: float  # inf: none
    # As a program's, but of all cars that hang on it, whatever their program.
    ahead_kw: Floats
    restored_kw_last_minute: float


@dataclass(frozen=True)
class Program:
    """The rules for taking and restoring, and what is going on already."""

    limit_first: bool  # its tactic: lower limits where that can be done
    restore_cap_kw: float  # inf: none
    restore_ramp_kw_per_minute: float
    # Drawn by its cars, restores on their way included: in steps of AHEAD_SECONDS from
    # now on, with what is expected of cars still to come. The last goes on for ever.
    ahead_kw: Floats
    restored_kw_last_minute: float
    pick_up_ramp_kw_per_minute: float
    picked_up_kw_last_minute: float
    tracking: Tracking = field(default_factory=Tracking)
    newest_reading_at: float = float("inf")  # of any of its cars
    feeders: Sequence[Feeder] = ()  # those that bound restores of its cars


@dataclass(frozen=True)
class Provider:
    """What the provider lets us do, and what is owed through it already."""

    reserve_calls: float  # kept for restores, at once
    restores_per_minute: float  # half of the present rate (promise 3)
    owed_latest_starts: Floats  # of every call that is owed, of all programs


# Held, or on the way to it.
ON_HOLD = (Debt.UNTAKEN, Debt.BUSY, Debt.TAKEN)
# A car is given back this long before its latest start: one lost command, its read and
# its repetition fit in between for most makes.
MARGIN_SECONDS = 1200.0
