"""One sending machine against two, with one database.

A machine is a sender with a core of its own. What holds a sender back here is how long
the provider thinks: it has `FANOUT_IN_FLIGHT` calls on the wire at most. The database
and the simulator, which share the same cores, are far from their limits; what happens
at those is what `fanout` shows.
"""

from __future__ import annotations

import os

from dispatch.models import Command
from gridbalance.bench import fleet
from gridbalance.bench.fanout import together
from gridbalance.bench.sides import durable
from gridbalance.demo.truth import Truth

# The simulator's slow answers take up to this long, and some a little longer.
LONGEST_ANSWER_SECONDS = 2.0


def measure(truth: Truth, *, vehicles: int) -> dict[str, float]:
    """Send a third of the commands from one machine, the rest from two."""
    fleet.fill(truth, vehicles)
    fleet.decide(fleet.enrol(), vehicles)
    truth.tell("PUT", "faults", {"slow": 1.0})
    commands = list(Command.objects.order_by("id").values_list("pk", flat=True))
    rest = commands[vehicles // 3 :]
    fleet.put_off(rest)

    cores: list[int | None] = [None, None]
    if hasattr(os, "sched_getaffinity"):
        cores = [*sorted(os.sched_getaffinity(0)), None][:2]
    alone = together(durable, cores[:1])
    fleet.check_accepted(vehicles - len(rest))
    fleet.let_go(rest)
    both = together(durable, cores)
    fleet.check_accepted(vehicles)
    one_per_s, two_per_s = alone.calls / alone.seconds, both.calls / both.seconds
    return {
        "vehicles": vehicles,
        "one_per_s": round(one_per_s, 3),
        "two_per_s": round(two_per_s, 3),
        "ratio_two_to_one": round(two_per_s / one_per_s, 3),
    }
