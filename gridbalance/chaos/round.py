"""One round: an evening with its faults, and the verdict."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from operator import itemgetter

from django.db.models import Exists, OuterRef

from dispatch.lifecycle import HoldStatus
from dispatch.models import Alarm, Command
from fleets import clock
from gridbalance import checker
from gridbalance.chaos import plan
from gridbalance.chaos.crowd import Crowd
from gridbalance.chaos.harm import Harm
from gridbalance.chaos.patience import TooLong, until
from gridbalance.chaos.plan import LEAD_SECONDS, PHASE_SECONDS, Plan
from gridbalance.chaos.stack import SPEED, Stack

START_SECONDS = 30.0
# Real time for everything to be given back once the world is calm: some retries at
# their slowest pace (15 simulated minutes), and late stops that must be waited for.
OVER_SECONDS = 180.0
# A car that never answers is a person's after twelve hours: those pass at this speed.
LOST_SPEED = 3000.0
LOST_SECONDS = 60.0
LOOK_SECONDS = 0.02
# The provider's buckets refill by its own clock: with ours ahead, calls are refused.
# It says so with 429, which is obeyed; no promise can know the right time.
OF_CLOCKS = 7


@dataclass
class Verdict:
    """What came of a round."""

    plan: Plan
    faults: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)  # promises
    failures: list[str] = field(default_factory=list)  # whatever else went wrong
    unresolved: int = 0
    unresolved_by_plan: int = 0
    touched: int = 0  # cars that a call of ours may have reached
    held: int = 0  # of these, those that showed it
    seconds: float = 0.0

    @property
    def has_failed(self) -> bool:
        return bool(self.broken or self.failures)

    @property
    def is_idle(self) -> bool:
        """Say whether the faults met a system that did nothing: they prove nothing."""
        return not self.touched and not self.has_failed


def play(stack: Stack, drawn: Plan) -> Verdict:
    """Let the evening of this plan pass, and judge it."""
    began = time.monotonic()
    verdict = Verdict(drawn)
    harm: Harm | None = None
    crowd: Crowd | None = None
    try:
        stack.use(drawn.machines)
        stack.wait_until_well()
        stack.truth.tell("POST", "reset", {})
        crowd = Crowd.gather(stack, drawn)
        harm = Harm(stack, crowd, seed=drawn.seed)
        crowd.call_event()
        _pass(crowd, harm, drawn)
        harm.calm()
        crowd.come_home()
        crowd.lift_cap()
        until(crowd.is_over, within_seconds=OVER_SECONDS, else_say=crowd.state)
        _judge(stack, crowd, verdict)
        _judge_lost(stack, crowd, verdict)
    except TooLong as error:
        verdict.failures.append(f"not given back in time: {error}")
        if crowd is not None and hasattr(crowd, "event"):
            _judge(stack, crowd, verdict)
    finally:
        if harm is not None:
            harm.let_go()
            verdict.faults.update(harm.struck)
            verdict.skipped.update(harm.skipped)
            drawn_by_simulator = stack.truth.get("summary")["faults_drawn"]
            verdict.faults.update(
                {f"provider {name}": n for name, n in drawn_by_simulator.items()}
            )
        verdict.seconds = time.monotonic() - began
    return verdict


def _pass(crowd: Crowd, harm: Harm, drawn: Plan) -> None:
    """Let both phases pass, with everything that is planned in them."""
    starts_at = crowd.event.starts_at - timedelta(seconds=LEAD_SECONDS * SPEED)
    until(
        lambda: clock.now() >= starts_at,
        within_seconds=START_SECONDS,
        else_say=lambda: "The event's start does not come.",
    )
    for phase in plan.PHASES:
        happenings = list(_happenings(crowd, harm, drawn, phase))
        if phase == plan.RESTORING and drawn.ends_by_cancel:
            happenings.append((LEAD_SECONDS, harm.end_event))
        _let_happen(happenings)


def _let_happen(happenings: list[tuple[float, Callable[[], None]]]) -> None:
    """Do each thing at its moment, in one phase."""
    began = time.monotonic()
    for at, happen in sorted(happenings, key=itemgetter(0)):
        time.sleep(max(0.0, began + at - time.monotonic()))
        happen()
    time.sleep(max(0.0, began + PHASE_SECONDS - time.monotonic()))


def _happenings(
    crowd: Crowd, harm: Harm, drawn: Plan, phase: str
) -> Iterator[tuple[float, Callable[[], None]]]:
    """Yield when what happens in a phase: faults, their ends, and late plug-ins.

    A fault of the first phase may end in the second: it is relieved at its end then.
    """
    for number, fault in zip(drawn.numbers, drawn.faults, strict=True):
        if fault.phase == phase:
            yield fault.at, partial(harm.strike, number, fault)
        ends = fault.at + fault.lasts
        if not fault.lasts:
            continue
        runs_over = ends > PHASE_SECONDS and fault.phase == plan.HOLDING
        if fault.phase == phase and not runs_over:
            yield min(ends, PHASE_SECONDS), partial(harm.relieve, number, fault)
        elif runs_over and phase == plan.RESTORING:
            yield ends - PHASE_SECONDS, partial(harm.relieve, number, fault)
    if phase == (plan.RESTORING if drawn.is_overnight else plan.HOLDING):
        step = 0.6 * PHASE_SECONDS / len(crowd.late)
        for place, car in enumerate(crowd.late):
            yield 2 * LEAD_SECONDS + place * step, partial(crowd.plug_in, car)


def _judge(stack: Stack, crowd: Crowd, verdict: Verdict) -> None:
    """Ask the independent checker, and see that nothing is left that need not be."""
    steps = timedelta(minutes=verdict.plan.steps_minutes())
    stood_still = timedelta(seconds=SPEED * verdict.plan.standstill_seconds())
    evidence = checker.collect(
        stack.truth,
        speed=SPEED,
        program=crowd.program.code,
        more_slack=steps + stood_still,
    )
    for breach in checker.breaches(evidence):
        if steps and breach.promise == OF_CLOCKS:
            verdict.skipped["refused for clocks that differ"] += 1
            continue
        verdict.broken.append(str(breach))
    taken = Command.objects.filter(
        hold=OuterRef("pk"), is_restore=False, may_have_landed=True
    )
    verdict.touched = crowd.holds().filter(Exists(taken)).count()
    verdict.held = crowd.holds().exclude(held_at=None).count()
    unresolved = crowd.holds().filter(status=HoldStatus.UNRESOLVED)
    for hold in unresolved.exclude(vehicle__external_id__in=crowd.lost):
        verdict.unresolved += 1
        verdict.failures.append(f"hold {hold.pk} is unresolved, and not by plan")


def _judge_lost(stack: Stack, crowd: Crowd, verdict: Verdict) -> None:
    """A car lost by plan ends as unresolved, with an alarm; then a person closes it."""
    owed = crowd.holds().open()
    if not owed.exists():
        return
    stack.run_clocks(LOST_SPEED)
    try:
        until(
            lambda: not owed.exclude(status=HoldStatus.UNRESOLVED).exists(),
            within_seconds=LOST_SECONDS,
            else_say=lambda: f"never unresolved:\n{crowd.state()}",
        )
    finally:
        stack.run_clocks(SPEED)
    for hold in crowd.holds().filter(status=HoldStatus.UNRESOLVED):
        verdict.unresolved += 1
        verdict.unresolved_by_plan += 1
        key = f"hold:{hold.pk}:unresolved"
        if not Alarm.objects.filter(key=key, cleared_at=None).exists():
            verdict.failures.append(f"hold {hold.pk} is unresolved without an alarm")
    crowd.close_lost()
