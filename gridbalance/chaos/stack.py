"""The whole house for chaos: real processes on one or two machines, lines between.

The second machine is a second set of workers and a second beat, with lines of their own
to the same servers. Time runs fast, and time-outs in real time are short in proportion.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

from dispatch.models import LoopTurn
from fleets import clock
from fleets.clock import Timeline
from gridbalance.chaos import plan
from gridbalance.chaos.disk import SmallDisk
from gridbalance.chaos.network import Network
from gridbalance.chaos.patience import until
from gridbalance.demo import scene
from gridbalance.demo.grid_system import GridSystem
from gridbalance.demo.truth import Truth
from gridbalance.embedded import POSTGRES, VALKEY
from gridbalance.embedded.stored import LOOPBACK
from gridbalance.processes import Process, Supervisor, beat, manage, web, worker

SPEED = 120.0  # simulated seconds a real one
# A tick is due every half second; a machine that is busy takes its time.
WELL_WITHIN_SECONDS = 8.0
WELL_SECONDS = 90.0  # a process that died often is waited for ten seconds
CONTRACT = {"PROVIDER_BUCKET_CALLS": "600", "PROVIDER_REFILL_PER_MINUTE": "300"}
SECRETS = {
    "SMARTCAR_CLIENT_ID": "chaos",
    "SMARTCAR_CLIENT_SECRET": "chaos-secret",
    "SMARTCAR_MANAGEMENT_TOKEN": "chaos-management",
}
TIMES = {
    "PROVIDER_TIMEOUT_SECONDS": "2.5",
    # What a frozen sender or a hung line held back leaves up to 7.5 real seconds late.
    "LONGEST_ANSWER_SECONDS": str(7.5 * SPEED),
    "SENDER_HEARTBEAT_SECONDS": "0.5",
    "SENDER_DEAD_SECONDS": "2.5",
    "TICK_SECONDS": "0.5",
}


class Stack:
    """Processes, lines, disk and clock, well or not."""

    def __init__(self, house: Supervisor, disk: SmallDisk) -> None:
        self.house = house
        self.disk = disk
        self.network = Network()
        # Asked once: a port that is taken, be it by us, would be another the next time.
        self.ports = {name: house.port(name) for name in ("web", "simulator")}
        self.truth = Truth(self.ports["simulator"])
        self.machines = 0
        self.grid: GridSystem | None = None

    # --- Start and end --

    def prepare(self) -> None:
        """Start the servers, lay the lines and tell this process where all is."""
        self.house.start_services()
        ports = {
            "postgres": self._server_port(POSTGRES),
            "valkey": self._server_port(VALKEY),
            "provider": self.ports["simulator"],
            "web": self.ports["web"],
        }
        for line in (*plan.LINES, *plan.second_lines()):
            server = line.partition(">")[2]
            port = self.house.port(f"line {line}")
            self.network.lay(line, port=port, server_port=ports[server])
        os.environ |= SECRETS
        for name, value in SECRETS.items():
            setattr(settings, name, value)
        for name, value in CONTRACT.items():
            setattr(settings, name, float(value))
        settings.SMARTCAR_IAM_ORIGIN = self.truth.origin
        settings.SMARTCAR_VEHICLE_ORIGIN = self.truth.origin
        self.house.run_manage("migrate", "--no-input")

    def begin_anew(self, *, seed: int) -> None:
        """Empty the database, and start every process again."""
        self._stop(*reversed(self._names(self.machines or 1)), "simulator")
        self.machines = 0
        connection.close()
        self.house.run_manage("flush", "--no-input")
        scene.set_clock(Timeline(clock.real_now(), scene.STARTS_AT, 0.0))
        self.house.start(manage("simulator", "simulator", *self._simulator(seed)))
        self.house.wait_until_answers(
            "simulator", self.ports["simulator"], "/_sim/clock"
        )
        self.house.start(*self._processes(plan.FIRST_MACHINE))
        self.machines = 1
        self.house.wait_until_answers("web", self.ports["web"], "/healthz")
        self.run_clocks(SPEED)
        self.grid = GridSystem(
            f"http://{LOOPBACK}:{self.ports['web']}", scene.make_login()
        )
        self.wait_until_well()
        until(
            lambda: self.truth.get("summary")["webhooks"]["verified"],
            within_seconds=WELL_SECONDS,
            else_say=lambda: "The webhook was not verified.",
        )

    def use(self, machines: int) -> None:
        """Let one or two machines work."""
        if machines > self.machines:
            self.house.start(*self._processes(plan.SECOND_MACHINE))
        elif machines < self.machines:
            self._stop(*plan.SECOND_MACHINE)
        self.machines = machines

    def close(self) -> None:
        """Take the lines away; the house stops its processes itself."""
        connection.close()
        self.network.close()

    # --- How it is --

    def wait_until_well(self) -> None:
        """Return when every process runs and the loop turns."""
        until(self._is_well, within_seconds=WELL_SECONDS, else_say=self._how_it_is)

    def _is_well(self) -> bool:
        if not all(self.house.is_running(name) for name in self._names(self.machines)):
            return False
        turn = LoopTurn.objects.first()
        if turn is None:
            return False
        age = clock.real_now() - turn.real_at
        return age.total_seconds() < WELL_WITHIN_SECONDS

    def _how_it_is(self) -> str:
        runs = {n: self.house.is_running(n) for n in self._names(self.machines)}
        return f"The stack is not well: {runs}"

    def running(self) -> tuple[str, ...]:
        """Return the names of all processes but the servers."""
        return self._names(self.machines)

    # --- Time --

    def run_clocks(self, speed: float) -> None:
        """Let our clock and the world's run alike from the world's present."""
        real = clock.real_now()
        timeline = Timeline(real, self._world().at(real), speed)
        self.truth.follow(timeline)
        scene.set_clock(timeline)

    def put_clock_right(self) -> None:
        """Let our clock show what the world's does, which has no step in it."""
        scene.set_clock(self._world())

    def _world(self) -> Timeline:
        told = self.truth.get("clock")
        real, simulated = (
            datetime.fromisoformat(told[name]) for name in ("real", "simulated")
        )
        return Timeline(real, simulated, told["speed"])

    # --- Processes --

    def _processes(self, names: tuple[str, ...]) -> Iterator[Process]:
        make: dict[str, Callable[[], Process]] = {
            "web": lambda: web(self.ports["web"]),
            "beat": lambda: beat(self.house.data_dir),
            "control": lambda: worker("control"),
            "fanout": lambda: worker("fanout", processes=2),
        }
        for name in names:
            kind = name.removesuffix(plan.SECOND)
            process = make[kind]()
            words = [word.replace(f"{kind}@", f"{name}@") for word in process.argv]
            if name == f"beat{plan.SECOND}":
                words[-1] += plan.SECOND  # a schedule of its own
            yield replace(
                process, name=name, argv=tuple(words), env=self._environment(name)
            )

    def _environment(self, name: str) -> dict[str, str]:
        addresses = self.house.embedded.addresses
        told = {**CONTRACT, **SECRETS, **TIMES}
        lines = self.network.lines
        if line := lines.get(f"{name}>postgres"):
            told["DATABASE_URL"] = _through(line.port, addresses.database_url)
        if line := lines.get(f"{name}>valkey"):
            told["REDIS_URL"] = _through(line.port, addresses.redis_url)
        if line := lines.get(f"{name}>provider"):
            told["SMARTCAR_IAM_ORIGIN"] = f"http://{LOOPBACK}:{line.port}"
            told["SMARTCAR_VEHICLE_ORIGIN"] = told["SMARTCAR_IAM_ORIGIN"]
        return told

    def _simulator(self, seed: int) -> list[str]:
        hook = self.network.lines["provider>web"].port
        words = {
            "--port": self.ports["simulator"],
            "--speed": 0,
            "--seed": seed,
            "--start": scene.STARTS_AT.isoformat(),
            "--vehicles": 0,
            "--freshness-scale": 0.1,
            "--client-id": SECRETS["SMARTCAR_CLIENT_ID"],
            "--webhook-url": f"http://{LOOPBACK}:{hook}/webhooks/smartcar",
            "--application-bucket": CONTRACT["PROVIDER_BUCKET_CALLS"],
            "--application-refill": CONTRACT["PROVIDER_REFILL_PER_MINUTE"],
            "--long-answer-after": 175 / SPEED,
        }
        return [str(part) for pair in words.items() for part in pair]

    @staticmethod
    def _names(machines: int) -> tuple[str, ...]:
        return plan.FIRST_MACHINE + (plan.SECOND_MACHINE if machines == 2 else ())

    def _stop(self, *names: str) -> None:
        self.house.stop(*(name for name in names if self.house.has(name)))

    def _server_port(self, name: str) -> int:
        addresses = self.house.embedded.addresses
        url = addresses.database_url if name == POSTGRES else addresses.redis_url
        port = urlsplit(url).port
        assert port is not None
        return port


def _through(port: int, url: str) -> str:
    """Return the address with another port."""
    parts = urlsplit(url)
    account = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{account}@{LOOPBACK}:{port}").geturl()
