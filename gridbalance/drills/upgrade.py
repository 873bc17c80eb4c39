"""Upgrade in the middle of an event: old and new code on one database, at once.

1. The older revision is unpacked beside this one. It makes the database and runs.
2. This revision's migrations are applied under it, while its processes go on.
3. An event holds half of the fleet with the old code alone. Workers of this revision
   join in, and the event asks for the rest: both claim, send and record.
4. The old processes are asked to end, one by one, while the rest is being held.
5. The event ends; this revision gives everything back. The simulator tells the truth.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from dispatch import grid_events
from dispatch.models import Change, GridEvent, Hold, Sender
from fleets import clock
from gridbalance.drills.stage import HELD_WITHIN_SECONDS, MAIN, Drill, Result
from gridbalance.processes import Process, ProcessFailed, beat, web, worker
from gridbalance.processes.supervisor import CHECKOUT

GIVEN_WITHIN_SECONDS = 600.0
OLD = "-old"


@dataclass(frozen=True)
class Upgraded(Result):
    """What the drill showed."""

    revision: str
    migrations: int  # that the older revision does not have
    vehicles: int
    held: int
    senders: int  # of both revisions, that sent side by side
    left_unknown: int  # commands whose sender went without an answer
    charging: int  # at the end, by the simulator's truth
    second_stops: int
    second_starts: int
    overdrawn: int
    open_after: int

    @property
    def is_good(self) -> bool:
        """Say whether nobody noticed anything."""
        return (
            self.charging == self.held == self.vehicles
            and self.senders > 1
            and not self.left_unknown
            and not self.second_stops
            and not self.second_starts
            and not self.overdrawn
            and not self.open_after
        )


@dataclass
class Upgrade(Drill):
    """Two revisions at once."""

    revision: str

    def run(self) -> Upgraded:
        """Run the old, migrate, hold with both, let the old go, give back."""
        self._unpack()
        # What is newer cannot be made older.
        self.house.embedded.remove()
        self.set_up()
        self._hold(self.vehicles // 2)
        self.say("Workers of this revision join in.")
        self.house.start(*self._mine())
        self._until(
            lambda: Sender.objects.count() > 1, HELD_WITHIN_SECONDS,
            "The new workers do not send.",
        )  # fmt: skip
        senders = Sender.objects.count()
        event = GridEvent.objects.get()
        grid_events.amend(
            event, {"vehicles": []}, actor="drill", now=clock.now(), why="drill"
        )
        for name in MAIN:
            self.house.stop(name)
        self.say("The old processes are gone.")
        self._until(
            lambda: Hold.objects.filter(status="held").count() == self.vehicles,
            HELD_WITHIN_SECONDS, "The rest was not held.",
        )  # fmt: skip
        held = self.vehicles - self._charging()
        event.refresh_from_db()
        grid_events.end_early(event, actor="drill", now=clock.now(), why="drill")
        self._until(lambda: not Hold.objects.open().exists(), GIVEN_WITHIN_SECONDS, "")
        return Upgraded(
            revision=self.revision,
            migrations=self.migrations,
            vehicles=self.vehicles,
            held=held,
            senders=senders,
            left_unknown=Change.objects.filter(
                subject="command", after="unknown", reason="sender died"
            ).count(),
            charging=self._charging(),
            second_stops=self._repeated("stop"),
            second_starts=self._repeated("start"),
            overdrawn=self.truth.get("summary")["overdrawn"]["application"],
            open_after=Hold.objects.open().count(),
        )

    # --- The older revision --

    @property
    def _folder(self) -> Path:
        return self.house.data_dir / "older"

    def _unpack(self) -> None:
        packed = subprocess.run(  # noqa: S603  (our own history)
            ["git", "archive", "--format=tar", self.revision],  # noqa: S607
            cwd=CHECKOUT, capture_output=True, check=False,
        )  # fmt: skip
        if packed.returncode != 0:
            raise ProcessFailed(
                f"git knows no {self.revision}: {packed.stderr.decode().strip()}",
                self.house.log("git"),
            )
        shutil.rmtree(self._folder, ignore_errors=True)
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(self._folder, filter="data")

    def _migrate(self) -> None:
        """Let the old code make the database, run, and be migrated under."""
        self._run_old("migrate", "--no-input")
        self._start_main()
        self.migrations = len(_migrations(CHECKOUT) - _migrations(self._folder))
        self.say(
            f"The old code runs. {self.migrations} migrations are applied under it."
        )
        self.house.run_manage("migrate", "--no-input")

    def _run_old(self, *words: str) -> None:
        ended = subprocess.run(  # noqa: S603  (our own command)
            [sys.executable, "manage.py", *words], cwd=self._folder,
            env=self.house.env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if ended.returncode != 0:
            raise ProcessFailed(
                f"The old `{words[0]}` failed: {ended.stderr[-2000:]}",
                self.house.log(words[0]),
            )

    def _processes(self) -> Iterator[Process]:
        """Yield the main system's processes, run by the older revision."""
        for process in super()._processes():
            yield replace(process, folder=self._folder)

    def _mine(self) -> Iterator[Process]:
        """Yield the same of this revision, beside them."""
        port = self.house.port("web new")
        for process in (
            web(port), beat(self.house.data_dir / "new"), worker("control"),
            worker("fanout"),
        ):  # fmt: skip
            name = f"{process.name} new"
            words = [
                word.replace(f"{process.name}@", f"{process.name}-new@")
                for word in process.argv
            ]
            yield replace(process, name=name, argv=tuple(words))

    def _repeated(self, kind: str) -> int:
        counts: dict[str | None, int] = {}
        for call in self.truth.calls():
            if call.kind == kind:
                counts[call.vehicle] = counts.get(call.vehicle, 0) + 1
        return sum(count - 1 for count in counts.values())


def _migrations(checkout: Path) -> set[str]:
    return {path.name for path in checkout.glob("*/migrations/0*.py")}
