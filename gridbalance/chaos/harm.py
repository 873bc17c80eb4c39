"""Make the faults of a plan real, and take them away again."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from random import Random

import redis
from django.conf import settings
from django.db import DatabaseError, connection

from fleets import clock
from fleets.clock import Timeline
from gridbalance import pids
from gridbalance.chaos import plan
from gridbalance.chaos.crowd import Crowd
from gridbalance.chaos.network import Trouble
from gridbalance.chaos.patience import TooLong, done, until
from gridbalance.chaos.plan import Fault
from gridbalance.chaos.stack import Stack
from gridbalance.demo import scene
from gridbalance.embedded import POSTGRES, VALKEY
from gridbalance.pids import ProcessId

# The clock is a row: while PostgreSQL is away it cannot be stepped.
STEP_WITHIN_SECONDS = 3.0
ASK_THE_DATABASE = frozenset({"act", "lose", "step"})
# Faults that a car can meet too often for us: so many times each, on some cars.
DOSED = frozenset({"accepts-but-ignores"})


class Harm:
    """What is wrong with a stack now, and what was done to it so far."""

    def __init__(self, stack: Stack, crowd: Crowd, *, seed: int) -> None:
        self.stack = stack
        self.crowd = crowd
        self.struck: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self._seed = seed
        self._frozen: dict[int, list[ProcessId]] = {}
        self._rates: dict[int, tuple[str, float]] = {}
        self._dosed: set[str] = set()
        self._stepped: set[int] = set()
        # A frozen server keeps whoever asks it waiting: nobody whom others wait for.
        self._slowly = ThreadPoolExecutor(1)
        self._asked: list[Future[None]] = []
        self._strikes: dict[str, Callable[[int, Fault], None]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "forget": self._forget,
            "step": self._step,
            "fill": self._fill,
            "provider": self._provider,
            "lose": self._lose,
            "act": self._act,
        }

    def strike(self, number: int, fault: Fault) -> None:
        """Let one fault happen."""
        strike = partial(
            self._strikes.get(fault.kind, self._trouble_line), number, fault
        )
        if fault.kind in ASK_THE_DATABASE:
            self._ask(strike, str(fault))
        else:
            strike()

    def end_event(self) -> None:
        """Cancel the event, however long that takes."""
        self._ask(self.crowd.end, "cancel")

    def _ask(self, ask: Callable[[], object], what: str) -> None:
        """Do, beside everything else, what asks a server that may be away."""

        def do() -> None:
            try:
                ask()
            except DatabaseError:
                self.skipped[f"no database: {what}"] += 1
            finally:
                connection.close()

        self._asked.append(self._slowly.submit(do))

    def relieve(self, number: int, fault: Fault) -> None:
        """Let one fault end."""
        if fault.kind == "freeze":
            self._thaw(number)
        elif fault.kind in {"cut", "hang", "delay"}:
            self.stack.network.relieve(number)
        elif fault.kind == "step":
            self._ask(partial(self._step_back, number, fault), f"end of {fault}")
        elif fault.kind == "fill":
            self.stack.disk.relieve()
        elif fault.kind == "provider" and number in self._rates:
            del self._rates[number]
            self._tell_rates()

    def let_go(self) -> None:
        """End whatever would keep others from working or from ending."""
        for number in list(self._frozen):
            self._thaw(number)
        self.stack.network.relieve()
        self.stack.disk.relieve()

    def calm(self) -> None:
        """End everything that a plan may have left, but for what is lost for good."""
        self.let_go()
        for asked in self._asked:  # what waited for a server goes through now
            asked.result()
        self._slowly.shutdown()
        self._rates.clear()
        self._tell_rates()
        for car in self._dosed - self.crowd.lost:
            self.stack.truth.tell("PUT", f"cars/{car}/faults", {})
        self.stack.wait_until_well()
        until(
            done(self.stack.put_clock_right),
            within_seconds=30,
            else_say=lambda: "The clock could not be put right.",
        )

    # --- Processes --

    def _kill(self, number: int, fault: Fault) -> None:
        house = self.stack.house
        self.struck[f"kill {fault.target}"] += 1
        # A server's death is written down on its disk, which may be full.
        with contextlib.suppress(OSError):
            if fault.target == "machine":
                house.kill(*self.stack.running())
                house.kill_valkey()
                house.kill_postgres()
                # PostgreSQL's children notice their server's death once they run, and
                # keep another from starting until then.
                for frozen in list(self._frozen):
                    self._thaw(frozen)
            elif fault.target == POSTGRES:
                house.kill_postgres()
            elif fault.target == VALKEY:
                house.kill_valkey()
            else:
                house.kill(fault.target)

    def _freeze(self, number: int, fault: Fault) -> None:
        found = [pids.identify(pid) for pid in self.stack.house.pids_of(fault.target)]
        self._frozen[number] = [one for one in found if one is not None]
        _send(self._frozen[number], signal.SIGSTOP)
        self.struck[f"freeze {fault.target}"] += 1

    def _thaw(self, number: int) -> None:
        _send(self._frozen.pop(number, []), signal.SIGCONT)

    def _forget(self, number: int, fault: Fault) -> None:
        with (
            contextlib.suppress(redis.RedisError),
            redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1) as valkey,
        ):
            valkey.flushall()
            self.struck["forget valkey"] += 1

    # --- Lines, disk, clock --

    def _trouble_line(self, number: int, fault: Fault) -> None:
        names = plan.meant(fault.target, list(self.stack.network.lines))
        trouble = Trouble(fault.kind, fault.amount)
        self.stack.network.strike(number, names, trouble)
        self.struck[f"{fault.kind} line"] += len(names)

    def _fill(self, number: int, fault: Fault) -> None:
        if self.stack.disk.why_not:
            self.skipped[f"fill disk: {self.stack.disk.why_not}"] += 1
            return
        self.stack.disk.fill()
        self.struck["fill disk"] += 1

    def _step(self, number: int, fault: Fault) -> None:
        if self._shift(fault.amount):
            self._stepped.add(number)
            way = "back" if fault.amount < 0 else "forward"
            self.struck[f"step clock {way}"] += 1

    def _step_back(self, number: int, fault: Fault) -> None:
        if number in self._stepped:
            self._shift(-fault.amount)

    def _shift(self, minutes: float) -> bool:
        """Step our clock, not the world's; False when the row was out of reach."""

        def shift() -> None:
            timeline = clock.read()
            simulated = timeline.simulated + timedelta(minutes=minutes)
            scene.set_clock(Timeline(timeline.real, simulated, timeline.speed))

        try:
            until(
                done(shift),
                within_seconds=STEP_WITHIN_SECONDS,
                else_say=lambda: "no clock",
            )
        except TooLong:
            return False
        return True

    # --- The provider, cars and people --

    def _provider(self, number: int, fault: Fault) -> None:
        if fault.target in DOSED:
            kind = "stop" if fault.phase == plan.HOLDING else "start"
            draw = Random(f"{self._seed}/{number}")  # noqa: S311 - dice
            ids = sorted(self.crowd.ids - self.crowd.lost)
            for car in draw.sample(ids, int(fault.amount * len(ids))):
                dose = draw.randint(1, plan.MOST_IGNORED)
                body = {fault.target: 1, "calls": dose, "kinds": [kind]}
                self.stack.truth.tell("PUT", f"cars/{car}/faults", body)
                self._dosed.add(car)
            return
        self._rates[number] = (fault.target, fault.amount)
        self._tell_rates()

    def _tell_rates(self) -> None:
        self.stack.truth.tell("PUT", "faults", dict(self._rates.values()))

    def _lose(self, number: int, fault: Fault) -> None:
        if car := self.crowd.lose(fault.amount):
            self._dosed.discard(car)
            self.struck["lose car"] += 1

    def _act(self, number: int, fault: Fault) -> None:
        self.crowd.act(fault.target, fault.amount)


def _send(processes: list[ProcessId], number: signal.Signals) -> None:
    for process in processes:
        if pids.is_running(process):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
