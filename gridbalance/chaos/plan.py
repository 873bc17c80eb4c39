"""What happens in one round, drawn from its seed. Pure: same seed, same plan.

A fault strikes some real seconds after its phase began and is relieved later. The same
draw that places it chooses its target, so a plan that leaves some faults out (`only`)
moves none of the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from random import Random

from fleets.simulator import faults as simulated

HOLDING, RESTORING = PHASES = ("holding", "restoring")
# How long each phase is under fire, in real seconds; each has a pair of faults at once.
PHASE_SECONDS = 11.0
# A phase begins so long before the event's start, or its end: most calls leave in the
# first second after that, and what is to meet them must be there.
LEAD_SECONDS = 1.0

SECOND = "-2"  # ends the name of whatever runs on the second machine
FIRST_MACHINE = ("web", "beat", "control", "fanout")
SECOND_MACHINE = tuple(f"{name}{SECOND}" for name in ("beat", "control", "fanout"))
SERVERS = ("valkey", "postgres")
# Who speaks to whom. A group stands for several lines at once.
LINES = (
    "web>postgres", "web>valkey", "beat>valkey", "control>postgres", "control>valkey",
    "fanout>postgres", "fanout>valkey", "fanout>provider", "provider>web",
)  # fmt: skip
GROUPS = (">postgres", ">valkey", "control>", "fanout>")

# Of the rounds, in so many the program lowers limits where it can.
LIMIT_SHARE = 0.3
# In so many of those that end by their time, cars that plug in after it queue.
OVERNIGHT_SHARE = 0.5
# Simulated minutes by which our clock alone is stepped, and later put right.
STEP_MINUTES = (1.0, 15.0)
# A car that ignores more than three starts is a person's: see `confirmation`.
MOST_IGNORED = 3
# A sender is dead after 2.5 s; a late stop must land within the longest answer.
LONGEST_TROUBLE_SECONDS = 5.0
ACTS = ("opt out", "withdraw", "drive away", "restart", "amend")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong; an `act` is a person's, and counts as no fault."""

    phase: str
    at: float  # real seconds after the phase began
    kind: str
    target: str
    lasts: float = 0.0  # real seconds
    amount: float = 0.0  # a rate, a delay in seconds, a step in minutes, a place

    def __str__(self) -> str:
        words = [f"{self.phase} +{self.at:.1f}s", self.kind, self.target]
        if self.amount:
            words.append(f"({self.amount:.3g})")
        if self.lasts:
            words.append(f"for {self.lasts:.1f}s")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Plan:
    """One round: how large, on how many machines, how it ends, what goes wrong."""

    seed: int
    cars: int
    late: int  # of these, so many plug in while the event runs
    machines: int
    ends_by_cancel: bool
    tactic: str
    is_overnight: bool  # arrivals after the event wait for their turn
    faults: tuple[Fault, ...]
    numbers: tuple[int, ...]  # of the faults, as drawn: `only` keeps them

    def only(self, numbers: Collection[int]) -> Plan:
        """Return the plan with these of its faults alone."""
        kept = [
            (number, fault)
            for number, fault in zip(self.numbers, self.faults, strict=True)
            if number in numbers
        ]
        return replace(
            self,
            faults=tuple(fault for _, fault in kept),
            numbers=tuple(number for number, _ in kept),
        )

    def steps_minutes(self) -> float:
        """Return how far our clock may be from the world's at worst."""
        return sum(abs(one.amount) for one in self.faults if one.kind == "step")

    def standstill_seconds(self) -> float:
        """Return how long a process, or what it waits for, stands still at worst."""
        stands = (one.lasts for one in self.faults if one.kind in {"freeze", "hang"})
        return max(stands, default=0.0)

    def lines(self) -> Iterator[str]:
        """Yield the plan in words."""
        end = "a cancel" if self.ends_by_cancel else "its time"
        yield (
            f"round {self.seed}: {self.cars} cars, {self.late} late,"
            f" {self.machines} machine{'s' * (self.machines > 1)}, held by"
            f" {self.tactic}, ended by {end}{', overnight' * self.is_overnight}"
        )
        for number, fault in zip(self.numbers, self.faults, strict=True):
            yield f"  {number:>2} {fault}"


def seeds(seed: int) -> Iterator[int]:
    """Yield the seeds of a run's rounds."""
    draw = Random(seed)  # noqa: S311 - dice
    while True:
        yield draw.getrandbits(32)


def draw_plan(seed: int, *, cars: int | None = None) -> Plan:
    """Return the round of this seed."""
    draw = Random(seed)  # noqa: S311 - dice
    drawn_cars = draw.randint(60, 140)
    machines = draw.choice((1, 2))
    ends_by_cancel = draw.random() < 0.5
    late_share = draw.uniform(0.05, 0.2)
    faults = [fault for phase in PHASES for fault in _phase(draw, phase, machines)]
    if draw.random() < 0.25:
        for _ in range(draw.choice((1, 2))):
            at = draw.uniform(0.5, 1.0) * PHASE_SECONDS
            faults.append(Fault(HOLDING, at, "lose", "car", amount=draw.random()))
    faults.sort(key=lambda fault: (PHASES.index(fault.phase), fault.at))
    number = cars or drawn_cars
    # Dice of its own, so that rounds of old seeds keep their faults.
    by_limit = Random(f"{seed}/tactic").random() < LIMIT_SHARE  # noqa: S311 - dice
    may_queue = Random(f"{seed}/night").random() < OVERNIGHT_SHARE  # noqa: S311 - dice
    return Plan(
        seed=seed,
        cars=number,
        late=max(1, int(late_share * number)),
        machines=machines,
        ends_by_cancel=ends_by_cancel,
        tactic="limit" if by_limit else "stop",
        is_overnight=may_queue and not ends_by_cancel,
        faults=tuple(faults),
        numbers=tuple(range(len(faults))),
    )


def _phase(draw: Random, phase: str, machines: int) -> Iterator[Fault]:
    """Yield what goes wrong in one phase."""
    for _ in range(draw.randint(3, 5)):
        yield _provider(draw, phase)
    for _ in range(draw.randint(1, 2)):
        yield _trouble(draw, phase, machines)
    first, second = (_trouble(draw, phase, machines) for _ in range(2))
    yield first
    yield replace(second, at=first.at)
    for _ in range(draw.randint(1, 3)):
        act = draw.choice(ACTS)
        yield Fault(phase, _moment(draw), "act", act, amount=draw.random())


def _moment(draw: Random) -> float:
    """Return when a fault strikes: early rather than late."""
    return draw.triangular(0.0, 0.85, 0.05) * PHASE_SECONDS


def _provider(draw: Random, phase: str) -> Fault:
    """Return one of the simulator's own faults, for the whole fleet for a while."""
    name = draw.choice(sorted(simulated.NAMES))
    rate = draw.uniform(0.1, 0.6)
    lasts = draw.uniform(2.0, 6.0)
    return Fault(phase, _moment(draw), "provider", name, lasts=lasts, amount=rate)


def _trouble(draw: Random, phase: str, machines: int) -> Fault:
    """Return one fault of processes, lines, the clock or the disk."""
    kind = draw.choices(
        ("kill", "freeze", "cut", "hang", "delay", "forget", "step", "fill"),
        weights=(6, 4, 3, 3, 2, 1, 2, 1),
    )[0]
    at = _moment(draw)
    lasts = draw.uniform(0.5, LONGEST_TROUBLE_SECONDS)
    amount = 0.0
    if kind == "kill":
        target = draw.choice((*_processes(machines), *SERVERS, *SERVERS, "machine"))
        lasts = 0.0
    elif kind == "freeze":
        target = draw.choice((*_processes(machines), *SERVERS))
    elif kind in {"cut", "hang", "delay"}:
        target = draw.choice((*_lines(machines), *GROUPS))
        amount = draw.uniform(0.05, 1.0) if kind == "delay" else 0.0
    elif kind == "forget":
        target, lasts = "valkey", 0.0
    elif kind == "step":
        target = "clock"
        amount = draw.choice((-1, 1)) * draw.uniform(*STEP_MINUTES)
    else:
        target = "disk"
    return Fault(phase, at, kind, target, lasts=lasts, amount=amount)


def _processes(machines: int) -> tuple[str, ...]:
    return FIRST_MACHINE + (SECOND_MACHINE if machines == 2 else ())


def _lines(machines: int) -> tuple[str, ...]:
    if machines == 1:
        return LINES
    return (*LINES, *second_lines(), f"{SECOND}>")


def second_lines() -> tuple[str, ...]:
    """Return the lines of the second machine's processes."""
    found = []
    for line in LINES:
        caller, _, server = line.partition(">")
        if f"{caller}{SECOND}" in SECOND_MACHINE:
            found.append(f"{caller}{SECOND}>{server}")
    return tuple(found)


def meant(target: str, lines: Collection[str]) -> list[str]:
    """Return the lines that a target means: itself, or all that hold its words."""
    return [target] if target in lines else [line for line in lines if target in line]
