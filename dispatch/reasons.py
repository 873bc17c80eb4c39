"""The words of a decision: what is done with a car, why, and where it stands. Pure."""

from __future__ import annotations

from enum import StrEnum


class Act(StrEnum):
    """What is to be done with one car."""

    HOLD = "hold"  # stop it; what it is owed is written down first
    SPARE = "spare"  # leave it alone, and say why
    RESTORE = "restore"  # give it back
    DROP = "drop"  # nothing was taken from it yet: let go


class Reason(StrEnum):
    """Why; shown to operators and customers in these words."""

    # held
    TARGET = "counts towards the target"
    ALL = "event without a target"
    # spared, in the order in which they are tested
    AREA_OFF = "area on hold-off"  # also: given back for it
    UNKNOWN = "state unknown"
    UNPLUGGED = "not plugged in"
    AWAY = "not at home"
    HOME_UNKNOWN = "not known to be at home"
    NOT_CHARGING = "not charging"
    UNABLE = "cannot be stopped and started"
    BELOW_MINIMUM = "below minimum charge"
    READY_BY = "would be late"
    NO_CALLS = "no calls left this month"
    CYCLES = "held often enough today"
    REFUSED = "could not be held"  # judged anew when the car has something to say
    GOING_BACK = "being given back"  # for an event before; judged anew when it has it
    STOPPED = "new holds are stopped"
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
