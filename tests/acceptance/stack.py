"""One stack of real processes, shared by every test of this folder.

It lives in the servers of the test run (`tests.services`) and in the database that
pytest-django makes there. Its clock runs fast, and time-outs in real time are short.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import redis
from django.conf import LazySettings
from django.db import connection

from dispatch.models import LoopTurn, Sender
from fleets import clock
from fleets.clock import Timeline
from gridbalance.demo import scene
from gridbalance.demo.grid_system import GridSystem
from gridbalance.demo.truth import Truth
from gridbalance.processes import Process, Supervisor, beat, manage, web, worker
from tests.waiting import eventually

# Simulated seconds a real one: an hour's event takes half a minute.
SPEED = 120.0
STARTS_AT = datetime(2027, 1, 12, 17, 30, tzinfo=UTC)
# A contract that is in nobody's way; one test lives with the default one.
GENEROUS = {"PROVIDER_BUCKET_CALLS": "1000", "PROVIDER_REFILL_PER_MINUTE": "1000"}
WORKERS = ("control", "fanout")
PROCESSES = ("web", "beat", *WORKERS)
# A tick is due every 0.3 s; a machine that is busy may take its time.
WELL_WITHIN = timedelta(seconds=1.5)


@dataclass
class Stack:
    """The processes, the truth behind them, and ways to do them harm."""

    house: Supervisor
    settings: LazySettings
    truth: Truth = field(init=False)
    grid: GridSystem = field(init=False)
    origin: str = field(init=False)
    _started: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Choose the addresses."""
        self.truth = Truth(self.house.port("simulator"))
        # Asked for once: while web listens there, another would be found.
        self.web_port = self.house.port("web")
        self.origin = f"http://127.0.0.1:{self.web_port}"

    # --- Start and end --

    def start(self) -> None:
        """Start every process, and let time run."""
        self._keep_what_is_committed()
        self._tell_settings()
        simulator_port = self.house.port("simulator")
        self._start(manage("simulator", "simulator", *self._simulator_words()))
        self.house.wait_until_answers("simulator", simulator_port, "/_sim/clock")
        self._start(web(self.web_port))
        self._start(beat(self.house.data_dir), *self._workers())
        self.house.wait_until_answers("web", self.web_port, "/healthz")
        timeline = Timeline(clock.real_now(), STARTS_AT, SPEED)
        scene.set_clock(timeline)
        self.truth.follow(timeline)
        self.grid = GridSystem(self.origin, scene.make_login())
        self.wait_until_well()
        eventually(lambda: self.truth.get("summary")["webhooks"]["verified"])

    def stop(self) -> None:
        """Stop every process, so that nobody uses the database any more."""
        connection.close()
        self.house.stop(*reversed(self._started))

    def wait_until_well(self) -> None:
        """Return when every process runs and the loop turns."""
        eventually(self._is_well, within_seconds=60, else_say=self._say_how_it_is)

    def _is_well(self) -> bool:
        if not all(self.house.is_running(name) for name in PROCESSES):
            return False
        turned_after = clock.real_now() - WELL_WITHIN
        return LoopTurn.objects.filter(real_at__gt=turned_after).exists()

    def _say_how_it_is(self) -> str:
        runs = {name: self.house.is_running(name) for name in PROCESSES}
        return f"The stack is not well: {runs}, {LoopTurn.objects.values()}"

    def _start(self, *processes: Process) -> None:
        self._started += [
            process.name for process in processes if process.name not in self._started
        ]
        self.house.start(
            *(
                replace(process, env={**self._environment(), **process.env})
                for process in processes
            )
        )

    def _workers(self, contract: Mapping[str, str] = GENEROUS) -> Iterator[Process]:
        for process in (worker("control"), worker("fanout", processes=2)):
            yield replace(process, env=contract)

    def _environment(self) -> dict[str, str]:
        database = connection.settings_dict
        url = urlsplit(self.house.embedded.addresses.database_url)
        return {
            "DATABASE_URL": url._replace(path=f"/{database['NAME']}").geturl(),
            "SMARTCAR_CLIENT_ID": "acceptance",
            "SMARTCAR_CLIENT_SECRET": "acceptance-secret",
            "SMARTCAR_MANAGEMENT_TOKEN": "acceptance-management",
            "SMARTCAR_IAM_ORIGIN": self.truth.origin,
            "SMARTCAR_VEHICLE_ORIGIN": self.truth.origin,
            "PROVIDER_TIMEOUT_SECONDS": "2.5",
            # A late stop lands within six minutes of its call; the shortest freshness
            # of a make, 5 minutes, comes on top of this.
            "LONGEST_ANSWER_SECONDS": "120",
            "SENDER_HEARTBEAT_SECONDS": "0.5",
            "SENDER_DEAD_SECONDS": "2.5",
            "TICK_SECONDS": "0.3",
            **GENEROUS,
        }

    def _tell_settings(self) -> None:
        """Bring this process's settings up to the other processes'."""
        for name, value in self._environment().items():
            if name.startswith("SMARTCAR_"):
                setattr(self.settings, name, value)

    def _keep_what_is_committed(self) -> None:
        """Let a commit survive the death of the server, as it does in real life."""
        name = connection.ops.quote_name(connection.settings_dict["NAME"])
        with connection.cursor() as cursor:
            cursor.execute(f"alter database {name} set synchronous_commit = on")
        connection.close()

    def _simulator_words(self) -> list[str]:
        words = {
            "--port": self.house.port("simulator"),
            "--speed": 0,
            "--seed": 1,
            "--start": STARTS_AT.isoformat(),
            "--vehicles": 0,
            "--freshness-scale": 0.1,
            "--client-id": "acceptance",
            "--webhook-url": f"{self.origin}/webhooks/smartcar",
            "--application-bucket": 1_000_000,
            "--application-refill": 1_000_000,
            "--long-answer-after": 175 / SPEED,
        }
        return [str(part) for pair in words.items() for part in pair]

    def restart(self, name: str) -> None:
        """Ask one process to end, as a service manager does, and start it again."""
        self.house.stop(name)
        fresh = {process.name: process for process in self._processes()}
        self._start(fresh[name])
        self.wait_until_well()

    def _processes(self) -> Iterator[Process]:
        yield web(self.web_port)
        yield beat(self.house.data_dir)
        yield from self._workers()

    # --- Harm --

    def flush_valkey(self) -> None:
        """Let Valkey forget everything."""
        with redis.Redis.from_url(self.settings.REDIS_URL) as valkey:
            valkey.flushall()

    @contextmanager
    def contract(self, *, calls: float, per_minute: float) -> Iterator[None]:
        """Live with these limits, the provider and we alike."""
        limits = self.truth.get("limits")
        self._sign(
            {
                "PROVIDER_BUCKET_CALLS": str(calls),
                "PROVIDER_REFILL_PER_MINUTE": str(per_minute),
            }
        )
        self.truth.tell(
            "PUT",
            "limits",
            {"application_bucket": calls, "application_refill": per_minute},
        )
        try:
            yield
        finally:
            self.truth.tell("PUT", "limits", limits)
            self._sign(GENEROUS)

    def _sign(self, contract: Mapping[str, str]) -> None:
        self.house.stop(*WORKERS)
        self._start(*self._workers(contract))
        self.wait_until_well()

    def wait_for_no_sender(self) -> None:
        """Return when nothing is on the wire."""
        eventually(lambda: not Sender.objects.exists())
