"""Many rounds: each announced before it starts, judged, counted; failures shrunk."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count, islice
from typing import Any

from gridbalance.chaos import plan, shrinking
from gridbalance.chaos.plan import Plan
from gridbalance.chaos.round import Verdict, play
from gridbalance.chaos.stack import Stack

# Cars, calls and rows of old rounds make every question slower.
ANEW_AFTER_ROUNDS = 8
MOST_LINES = 20  # of what is broken in one round: one cause breaks much


@dataclass(frozen=True)
class Failure:
    """A round that failed, and how to see it again."""

    seed: int
    what: list[str]
    command: str


@dataclass
class Tally:
    """What all rounds came to; the words of the last line of `--json`."""

    seeds: list[int] = field(default_factory=list)
    rounds: int = 0
    idle: list[int] = field(default_factory=list)  # seeds; their faults do not count
    minutes: float = 0.0
    faults: int = 0
    faults_by_kind: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    touched: int = 0
    held: int = 0
    promises_broken: int = 0
    unresolved: int = 0
    unresolved_by_plan: int = 0
    failures: list[Failure] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        """Count one round."""
        self.rounds += 1
        self.seeds.append(verdict.plan.seed)
        self.minutes = round(self.minutes + verdict.seconds / 60, 2)
        self.skipped += verdict.skipped
        if verdict.is_idle:
            self.idle.append(verdict.plan.seed)
        else:
            self.faults += verdict.faults.total()
            self.faults_by_kind += verdict.faults
        self.touched += verdict.touched
        self.held += verdict.held
        self.promises_broken += len(verdict.broken)
        self.unresolved += verdict.unresolved
        self.unresolved_by_plan += verdict.unresolved_by_plan

    def as_dict(self) -> dict[str, Any]:
        """Return it for `--json`."""
        return {
            **asdict(self),
            "faults_by_kind": dict(sorted(self.faults_by_kind.items())),
            "skipped": dict(self.skipped),
        }


class Run:
    """Rounds on one stack, until the time is over or the plans are used up."""

    def __init__(
        self,
        stack: Stack,
        *,
        say: Callable[[str], None],
        shrink_tries: int,
        cars: int | None,
    ) -> None:
        self.stack = stack
        self.say = say
        self.shrink_tries = shrink_tries
        self.cars = cars
        self.tally = Tally()
        self._rounds_since_anew = ANEW_AFTER_ROUNDS

    def by_seed(self, seed: int, *, minutes: float, rounds: int | None) -> None:
        """Run the rounds of a seed for so many minutes, or so many of them."""
        deadline = time.monotonic() + minutes * 60
        for drawn in islice(plan.seeds(seed), rounds):
            if rounds is None and time.monotonic() > deadline:
                break
            self._one(plan.draw_plan(drawn, cars=self.cars))

    def again(self, seed: int, *, only: Sequence[int] | None) -> None:
        """Run one round again, whole or with some of its faults."""
        drawn = plan.draw_plan(seed, cars=self.cars)
        self._one(drawn if only is None else drawn.only(only))

    def _one(self, drawn: Plan) -> None:
        for line in drawn.lines():
            self.say(line)
        verdict = self._play(drawn)
        self.tally.add(verdict)
        self._tell(verdict)
        if verdict.has_failed:
            smallest = self._shrink(drawn)
            command = self._command(smallest)
            self.tally.failures.append(
                Failure(drawn.seed, [*verdict.broken, *verdict.failures], command)
            )
            self.say(f"  again: {command}")

    def _play(self, drawn: Plan) -> Verdict:
        """Run a round on a stack that is fresh enough."""
        if self._rounds_since_anew >= ANEW_AFTER_ROUNDS:
            self.stack.begin_anew(seed=drawn.seed)
            self._rounds_since_anew = 0
        self._rounds_since_anew += 1
        verdict = play(self.stack, drawn)
        if verdict.has_failed:
            self._rounds_since_anew = (
                ANEW_AFTER_ROUNDS  # what it left is not to be trusted
            )
        return verdict

    def _shrink(self, drawn: Plan) -> Plan:
        tries = count(1)

        def fails(numbers: list[int]) -> bool:
            verdict = self._play(drawn.only(numbers))
            word = "fails" if verdict.has_failed else "passes"
            self.say(f"  shrinking {next(tries)}: {word} with {numbers}")
            return verdict.has_failed

        numbers = shrinking.shrink(drawn.numbers, fails=fails, tries=self.shrink_tries)
        return drawn.only(numbers)

    def _command(self, drawn: Plan) -> str:
        only = ",".join(str(number) for number in drawn.numbers)
        cars = f" --cars {self.cars}" if self.cars else ""
        return f"python manage.py chaos --round {drawn.seed} --only '{only}'{cars}"

    def _tell(self, verdict: Verdict) -> None:
        word = "FAILED" if verdict.has_failed else "kept"
        if verdict.is_idle:
            word = "idle: nothing was taken, so nothing was tried,"
        by_plan = verdict.unresolved_by_plan
        self.say(
            f"  {word} in {verdict.seconds:.0f} s: {verdict.touched} touched,"
            f" {verdict.held} held,"
            f" {verdict.faults.total()} faults, {len(verdict.broken)} promises broken,"
            f" {verdict.unresolved} unresolved ({by_plan} by plan)"
        )
        for reason, times in verdict.skipped.items():
            self.say(f"  skipped {times} x {reason}")
        for line in (*verdict.failures, *verdict.broken)[:MOST_LINES]:
            self.say(f"  BROKEN {line}")
