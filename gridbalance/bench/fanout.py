"""How fast commands go out: the durable path against two others, in one run.

- *durable*: queued rows, tokens, claims, calls, outcomes and history, with
  `synchronous_commit` on, in as many worker processes as `--workers` says;
- *bare*: a loop of the same HTTP client with as many calls at once, which keeps
  nothing, in as many processes as goes fastest: one, or `--workers`;
- *naive*: one Celery task a car with a synchronous client, over some of the cars.

All call the same simulator process, each from processes of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from time import perf_counter, sleep

from dispatch.lifecycle import CommandStatus
from dispatch.models import Command
from gridbalance import pids
from gridbalance.bench import fleet, naive
from gridbalance.bench.sides import Done, Side, Work, bare, durable
from gridbalance.demo.truth import Truth
from gridbalance.embedded import POSTGRES
from gridbalance.processes import Supervisor

# One task a car takes its time; its rate does not depend on how many there are.
NAIVE_CARS = 2000
SIMULATOR = "simulator"
# Until PostgreSQL has counted what its workers' ended processes cost.
LET_GO_SECONDS = 1.0


@dataclass(frozen=True)
class Result:
    """Rates per second, processor time per command, and a worker's peak memory."""

    vehicles: int
    workers: int
    decide_seconds: float  # one turn of the loop: snapshot, decision, rows
    commands_per_s: float
    bare_http_per_s: float
    naive_per_s: float
    ratio_bare: float
    ratio_naive: float
    worker_cpu_us: float  # per command, in the workers themselves
    postgres_cpu_us: float
    simulator_cpu_us: float
    bare_cpu_us: float
    worker_peak_mb: float

    def as_dict(self) -> dict[str, float]:
        """Return it for JSON."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


def measure(house: Supervisor, truth: Truth, *, vehicles: int, workers: int) -> Result:
    """Stop a fleet of charging cars by rows, and call it again by the other ways."""
    fleet.fill(truth, vehicles)
    program = fleet.enrol()
    decide_seconds = fleet.decide(program, vehicles)

    others = {name: house.pids_of(name) for name in (POSTGRES, SIMULATOR)}
    before = {name: pids.cpu_seconds(of) for name, of in others.items()}
    sent = together(durable, [None] * workers)
    sleep(LET_GO_SECONDS)
    spent = {
        name: (pids.cpu_seconds(house.pids_of(name)) - before[name]) / vehicles * 1e6
        for name in others
    }
    fleet.check_accepted(vehicles)
    asked = min(
        (together(bare, [None] * processes) for processes in {1, workers}),
        key=lambda done: done.seconds / done.calls,
    )
    bare_per_s = asked.calls / asked.seconds

    some = list(Command.objects.order_by("id").values_list("pk", flat=True))
    some = some[:NAIVE_CARS]
    Command.objects.filter(pk__in=some).update(status=CommandStatus.QUEUED)
    naive_per_s = len(some) / naive.run(some)
    commands_per_s = vehicles / sent.seconds
    return Result(
        vehicles=vehicles,
        workers=workers,
        decide_seconds=decide_seconds,
        commands_per_s=commands_per_s,
        bare_http_per_s=bare_per_s,
        naive_per_s=naive_per_s,
        ratio_bare=commands_per_s / bare_per_s,
        ratio_naive=commands_per_s / naive_per_s,
        worker_cpu_us=sent.cpu_seconds / vehicles * 1e6,
        postgres_cpu_us=spent[POSTGRES],
        simulator_cpu_us=spent[SIMULATOR],
        bare_cpu_us=asked.cpu_seconds / asked.calls * 1e6,
        worker_peak_mb=sent.peak_mb,
    )


def together(prepare: Callable[[], Work], cores: list[int | None]) -> Done:
    """Let a process work on each of these cores at once; return it as if one had.

    None is no core in particular.
    """
    sides = [Side(prepare, core=core) for core in cores]
    began = perf_counter()
    for side in sides:
        side.begin()
    done = [side.end() for side in sides]
    return Done(
        calls=sum(one.calls for one in done),
        seconds=perf_counter() - began,
        cpu_seconds=sum(one.cpu_seconds for one in done),
        peak_mb=max(one.peak_mb for one in done),
    )
