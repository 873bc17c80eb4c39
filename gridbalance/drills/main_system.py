"""Lose the main system in the middle of an event, give back, come back: for real.

1. A fleet of charging cars behind a simulator; web, workers and beat hold all of them.
2. Once the newest sheet knows every hold, all but the simulator is killed for good.
3. `give_back` runs as it would on another host: no database, no Redis. It is killed as
   well, as often as asked, and started again.
4. The simulator tells what is true: who charges, who was started twice, what the
   provider counted.
5. The main system comes back, learns, and must not start anybody again.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from dispatch.models import Hold
from dispatch.safekeeping import place
from gridbalance.drills.stage import (
    LEARNT_WITHIN_SECONDS,
    MAIN,
    RAMP_KW_PER_CAR,
    Drill,
    Result,
)
from gridbalance.processes import ProcessFailed
from gridbalance.processes.supervisor import CHECKOUT

NOWHERE = "127.0.0.1:9"
GIVEN_WITHIN_SECONDS = 600.0


@dataclass(frozen=True)
class GivenBack(Result):
    """What the drill showed; minutes are simulated."""

    vehicles: int
    held: int
    kills: int
    charging: int  # of those held, by the simulator's truth
    ends: dict[str, int]
    second_starts: int
    calls: int
    calls_per_minute: float
    contract_per_minute: float
    overdrawn: int
    minutes: float
    kw_per_minute_most: float
    ramp_kw_per_minute: float
    learnt: int
    open_after: int
    starts_after: int  # by the main system, once it was back

    @property
    def is_good(self) -> bool:
        """Say whether everything that was taken was given back, once."""
        return (
            self.charging == self.held == self.learnt
            and not self.second_starts
            and not self.overdrawn
            and not self.open_after
            and not self.starts_after
        )


@dataclass
class EndOfMainSystem(Drill):
    """The main system is lost for good, and comes back all the same."""

    kills: int

    def run(self) -> GivenBack:
        """Hold, lose, give back, come back."""
        self.set_up()
        self._hold()
        held = [car["id"] for car in self.truth.cars() if not car["charging"]]
        self.say(f"{len(held)} cars are held. The main system is lost now.")
        self.house.lose(*MAIN)
        connection.close()
        lost_at = self._last_call()
        found = self._give_back(len(held))
        calls = [call for call in self.truth.calls() if call.sequence > lost_at]
        starts = self._starts(lost_at)
        cars = {car["id"]: car for car in self.truth.cars()}
        began, ended = (
            datetime.fromisoformat(found[name]) for name in ("began_at", "ended_at")
        )
        self.say(f"All is given back: {found['ends']}. The main system comes back.")
        given_at = self._last_call()
        learnt, still_open = self._come_back()
        return GivenBack(
            vehicles=self.vehicles,
            held=len(held),
            kills=self.kills,
            charging=sum(cars[pk]["charging"] for pk in held),
            ends=found["ends"],
            second_starts=sum(count - 1 for count in starts.values() if count > 1),
            calls=len(calls),
            calls_per_minute=_per_minute([call.at for call in calls]),
            contract_per_minute=self.per_minute,
            overdrawn=self.truth.get("summary")["overdrawn"]["application"],
            minutes=(ended - began).total_seconds() / 60,
            kw_per_minute_most=self._steepest(since=calls[0].at),
            ramp_kw_per_minute=self.vehicles * RAMP_KW_PER_CAR,
            learnt=learnt,
            open_after=still_open,
            starts_after=sum(self._starts(given_at).values()),
        )

    # --- The event, and its end --

    def _give_back(self, held: int) -> dict[str, Any]:
        """Run the command, kill it on its way as often as asked, and let it end."""
        for number in range(1, self.kills + 1):
            wanted = held * number // (self.kills + 1)
            process = self._command()
            self._until(
                lambda wanted=wanted: self._charging() >= wanted,  # type: ignore[misc]
                GIVEN_WITHIN_SECONDS,
                "Nobody is given back.",
            )
            process.send_signal(signal.SIGKILL)
            process.communicate()
            self.say(f"give_back was killed after {self._charging()} cars.")
        process = self._command()
        out, _ = process.communicate(timeout=GIVEN_WITHIN_SECONDS)
        if not out:
            raise ProcessFailed("give_back failed.", self.house.log("give_back"))
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found

    def _command(self) -> subprocess.Popen[str]:
        """Start `give_back` where there is neither a database nor Redis."""
        env = {
            **self.house.env,
            "DATABASE_URL": f"postgresql://nobody:x@{NOWHERE}/nothing",
            "REDIS_URL": f"redis://{NOWHERE}",
        }
        # Into a file: a pipe that nobody reads would hold it up.
        with self.house.log("give_back").open("ab") as said:
            return subprocess.Popen(
                [sys.executable, "manage.py", "give_back", "--main-is-gone", "--json"],
                cwd=CHECKOUT, env=env, text=True, stdout=subprocess.PIPE, stderr=said,
            )  # fmt: skip

    def _come_back(self) -> tuple[int, int]:
        """Start the main system again; return how many holds it learnt of, and owes."""
        self.house.start_services()
        self._start_main()

        def has_learnt() -> bool:
            there = place.of_settings()
            return there is not None and not there.numbers()

        self._until(
            has_learnt, LEARNT_WITHIN_SECONDS, "The main system learns nothing."
        )
        self._until(lambda: not Hold.objects.open().exists(), LEARNT_WITHIN_SECONDS, "")
        learnt = Hold.objects.filter(restore_reason="given back without us").count()
        return learnt, Hold.objects.open().count()


def _per_minute(moments: list[datetime]) -> float:
    """Return how many of these fall into the busiest minute."""
    ordered = sorted(moments)
    most, first = 0, 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] >= timedelta(minutes=1):
            first += 1
        most = max(most, last - first + 1)
    return float(most)
