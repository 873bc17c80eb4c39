"""An evening with an event, decided step by step by the planner itself.

Every car obeys at once, and what it draws is known as soon as it is seen. What is
rehearsed is the law, not the line to the cars.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dispatch import planner
from dispatch.planner import Act, Area, Debt, Standing
from dispatch.rehearsal import evening
from dispatch.rehearsal.evening import (
    NEXT_NOON,
    STEP_HOURS,
    STEP_SECONDS,
    STEPS,
    Bools,
    Evening,
    Floats,
    Ints,
)
from dispatch.rehearsal.forecast import Arrivals

# Never the narrow place here.
PROVIDER = planner.Provider(
    reserve_calls=1e9, restores_per_minute=1e9, owed_latest_starts=np.array([])
)
EVENT_ID = 1
DONE_KWH = 1e-9


@dataclass(frozen=True)
class Rules:
    """What is rehearsed, in kW of the whole fleet and steps after noon."""

    window: tuple[int, int]
    target_kw: float | None = None
    cap_kw: float = float("inf")
    ramp_kw_per_minute: float = float("inf")
    managed: bool = False  # arrivals after the event join the queue
    # From the event's end: what was taken has been charged again.
    within_steps: float = float("inf")


@dataclass(frozen=True)
class Course:
    """What happened: loads by step (STEPS), and what became of each car (n)."""

    load_kw: Floats
    held_kw: Floats  # drawn before their stops by cars that are stopped
    missing_kwh: Floats  # when it left
    stops: Ints
    starts: Ints
    waited_hours: Floats  # from the event's end to its start; NaN: not held then
    charged_hours: Floats  # from the event's end until it drew no more


class Stage:
    """The cars between two turns."""

    def __init__(self, cars: Evening, rules: Rules) -> None:
        n = len(cars)
        self.cars = cars
        self.rules = rules
        self.seen_from = cars.arrives + cars.catch_steps
        self.owed_kwh = cars.energy_kwh.copy()
        # Of a car that nobody stops.
        self.full_at = cars.arrives + cars.energy_kwh / (cars.power_kw * STEP_HOURS)
        self.debt = np.full(n, str(Debt.NONE), dtype="U12")
        self.standing = np.full(n, str(Standing.NONE), dtype="U12")
        self.reason = np.full(n, "", dtype="U40")
        self.stops = np.zeros(n, dtype=np.int64)
        self.starts = np.zeros(n, dtype=np.int64)
        self.started_at = np.full(n, -1, dtype=np.int64)
        self.drew_last = np.zeros(n, dtype=np.int64)
        self.held_at_end: Bools = np.zeros(n, dtype=bool)

    def plugged_in(self, step: int) -> Bools:
        here: Bools = (self.cars.arrives <= step) & (step < self.cars.leaves)
        return here

    def charging(self, step: int) -> Bools:
        wants = self.plugged_in(step) & (self.owed_kwh > DONE_KWH)
        draws: Bools = wants & (self.debt == Debt.NONE)
        return draws

    def let_go(self, step: int) -> None:
        """Close the holds of cars that drove off."""
        gone = (self.debt == Debt.TAKEN) & ~self.plugged_in(step)
        self.debt[gone] = str(Debt.NONE)
        self.started_at[gone] = step

    def draw(self, step: int) -> float:
        """Let the cars charge for a step; return the load (kW)."""
        drawn = np.minimum(self.owed_kwh, self.cars.power_kw * STEP_HOURS)
        drawn[~self.charging(step)] = 0.0
        self.owed_kwh -= drawn
        self.drew_last[drawn > 0.0] = step + 1
        return float(drawn.sum() / STEP_HOURS)

    def obey(self, intents: planner.Intents, places: Ints, step: int) -> None:
        """Do what was decided for the cars at these places."""
        held = places[intents.to(Act.HOLD).place]
        self.debt[held] = str(Debt.TAKEN)
        self.standing[held] = str(Standing.CLAIMED)
        self.stops[held] += 1
        restored = places[intents.to(Act.RESTORE).place]
        self.debt[restored] = str(Debt.NONE)
        self.standing[restored] = str(Standing.ENDED)
        self.starts[restored] += 1
        self.started_at[restored] = step
        spared = places[intents.to(Act.SPARE).place]
        self.standing[spared] = str(Standing.SPARED)
        for reason, decided in intents.by_reason().items():
            self.reason[places[decided]] = str(reason)

    def latest_start(self) -> Floats:
        """Return when each car must start, by what is believed (seconds, n)."""
        hours = self.owed_kwh / self.cars.power_kw
        latest: Floats = self.cars.believed_leaves * STEP_SECONDS - hours * 3600.0
        return latest

    def back_by(self) -> Floats:
        """Return by when what the event took is charged again (seconds, n).

        Nobody here needs the margin in which a lost command is repeated.
        """
        back = (self.rules.window[1] + self.rules.within_steps) * STEP_SECONDS
        return np.where(self.held_at_end, back + planner.MARGIN_SECONDS, np.inf)


def play(cars: Evening, rules: Rules, arrivals: Arrivals | None = None) -> Course:
    """Return what happens; `arrivals` is what is expected of those still to come."""
    stage = Stage(cars, rules)
    begins, ends = rules.window
    load = np.zeros(STEPS)
    held = np.zeros(STEPS)
    for step in range(STEPS):
        stage.let_go(step)
        if step == ends:
            stage.held_at_end = stage.debt == Debt.TAKEN
        owing = step >= ends and bool((stage.debt == Debt.TAKEN).any())
        managing = rules.managed and ends <= step < NEXT_NOON
        if begins <= step < ends or owing or managing:
            _turn(stage, step, arrivals)
        held[step] = cars.power_kw[stage.debt == Debt.TAKEN].sum()
        load[step] = stage.draw(step)
    waited = np.where(stage.held_at_end, (stage.started_at - ends) * STEP_HOURS, np.nan)
    charged = np.where(
        stage.held_at_end, np.maximum(stage.drew_last - ends, 0) * STEP_HOURS, np.nan
    )
    return Course(
        load, held, stage.owed_kwh, stage.stops, stage.starts, waited, charged
    )


def _turn(stage: Stage, step: int, arrivals: Arrivals | None) -> None:
    """Decide once, of the cars that are known to charge or be held, and do it."""
    ours = stage.charging(step) | (stage.debt == Debt.TAKEN)
    places = np.flatnonzero(ours & (stage.seen_from <= step))
    if not len(places):
        return
    n = len(places)
    yes: Bools = np.ones(n, dtype=bool)
    event = planner.Event(
        event_id=EVENT_ID,
        holding=step < stage.rules.window[1],
        holds_stopped=False,
        ends_at=stage.rules.window[1] * STEP_SECONDS,
        target_kw=stage.rules.target_kw,
        aimed=yes,
        opted_out=~yes,
        standing=stage.standing[places],
        reason=stage.reason[places],
        has_news=yes,
        back_by=stage.back_by()[places],
        queues=yes & stage.rules.managed,
    )
    intents = planner.decide(
        _program(stage, step, arrivals),
        _cars(stage, step, places),
        [event],
        PROVIDER,
        now=step * STEP_SECONDS,
    )
    stage.obey(intents, places, step)


def _program(stage: Stage, step: int, arrivals: Arrivals | None) -> planner.Program:
    """Return the bounds, and what will be drawn."""
    rules = stage.rules
    now = stage.charging(step)
    ahead = evening.load_kw(
        np.full(int(now.sum()), step),
        np.ceil(stage.cars.believed_leaves[now]).astype(np.int64),
        stage.owed_kwh[now],
        stage.cars.power_kw[now],
    )
    if arrivals is not None and not rules.managed:
        ahead += arrivals.ahead[min(step + 1, NEXT_NOON)] * stage.cars.enrolled
    return planner.Program(
        limit_first=False,
        restore_cap_kw=rules.cap_kw,
        restore_ramp_kw_per_minute=rules.ramp_kw_per_minute * STEP_SECONDS / 60.0,
        ahead_kw=ahead[step:],
        restored_kw_last_minute=0.0,
        pick_up_ramp_kw_per_minute=float("inf"),
        picked_up_kw_last_minute=0.0,
    )


def _cars(stage: Stage, step: int, places: Ints) -> planner.Cars:
    """Return what is known of the cars at these places."""
    n = len(places)
    yes: Bools = np.ones(n, dtype=bool)
    power = stage.cars.power_kw[places]
    held = stage.debt[places] == Debt.TAKEN
    return planner.Cars(
        vehicle_id=places,
        consented=yes,
        known=yes,
        plugged_in=yes,
        charging=stage.charging(step)[places],
        at_home=yes,
        away=~yes,
        able=yes,
        can_set_limit=~yes,
        limit_percent=np.full(n, np.nan),
        soc_percent=np.full(n, 50.0),  # the sessions tell energy alone
        minimum_percent=np.zeros(n),
        power_kw=power,
        latest_start=stage.latest_start()[places],
        calls_left=np.full(n, 100, dtype=np.int64),
        debt=stage.debt[places],
        held_kw=np.where(held, power, 0.0),
        charge_seconds=stage.owed_kwh[places] / power * 3600.0,
        restore_calls=np.ones(n, dtype=np.int64),
        area=np.full(n, str(Area.NONE), dtype="U8"),
        feeder=np.full(n, -1),
        feeder_stopped=~yes,
        holds_left=1 - stage.stops[places],  # one start a car
        power_is_told=yes,
        make=np.zeros(n, dtype=np.int64),
        response=np.ones(n),
        shown=yes,
        would_draw_share=(step < stage.full_at[places]).astype(float),
        recent_hours=np.zeros(n),
    )
