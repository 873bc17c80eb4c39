"""Destroy the database in the middle of an event, and bring an older backup back.

1. Half of the fleet is held. PostgreSQL is backed up.
2. More happens, which the backup does not know: the rest is held, and the owners of
   some cars that were held before leave the event and have them back.
3. All but the simulator is killed for good, and the database's files are destroyed.
4. The backup is restored and the main system started. Nobody tells it anything.
5. The simulator tells what is true: every car charges, no owner's car that was given
   back before was started again, and no limit was overdrawn.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from django.db import connection

from dispatch import grid_events
from dispatch.models import AuditEntry, Envelope, GridEvent, Hold
from fleets import clock
from gridbalance.drills.stage import HELD_WITHIN_SECONDS, MAIN, Drill, Result
from gridbalance.embedded import base_backup

GIVEN_WITHIN_SECONDS = 600.0
# One car in so many is given back after the backup.
LEAVES = 10


@dataclass(frozen=True)
class Restored(Result):
    """What the drill showed."""

    vehicles: int
    in_the_backup: int
    left_since: int
    held: int  # when the database was lost
    adopted: int
    ended: int  # open in the backup, over in truth
    charging: int  # of those held, by the simulator's truth
    second_starts: int
    starts_of_those_who_left: int
    overdrawn: int
    open_after: int
    new_holds_stopped: bool

    @property
    def is_good(self) -> bool:
        """Say whether everything that was taken was given back, once."""
        return (
            self.charging == self.held == self.vehicles - self.left_since
            and self.adopted == self.vehicles - self.in_the_backup
            and self.ended == self.left_since
            and self.new_holds_stopped
            and not self.second_starts
            and not self.starts_of_those_who_left
            and not self.overdrawn
            and not self.open_after
        )


@dataclass
class Backup(Drill):
    """A backup that is older than what is owed."""

    def run(self) -> Restored:
        """Hold, back up, hold more, destroy, restore, come back."""
        self.set_up()
        in_the_backup = self.vehicles // 2
        self._hold(in_the_backup)
        copy = self.house.data_dir / "backup"
        shutil.rmtree(copy, ignore_errors=True)
        base_backup.take(self.house.data_dir, copy)
        self.say("PostgreSQL is backed up.")
        left = self._let_leave(in_the_backup // LEAVES)
        self._hold_the_rest(self.vehicles - len(left))
        held = [car["id"] for car in self.truth.cars() if not car["charging"]]
        self.say(f"{len(held)} cars are held. The database is destroyed now.")
        self.house.lose(*MAIN)
        connection.close()
        lost_at = self._last_call()
        base_backup.bring_back(self.house.data_dir, copy)
        self.house.start_services()
        self.say("The backup is back. The main system is started.")
        self._start_main()
        self._until(
            lambda: not Hold.objects.open().exists() and self._has_adopted(),
            GIVEN_WITHIN_SECONDS, "",
        )  # fmt: skip
        cars = {car["id"]: car for car in self.truth.cars()}
        starts = self._starts(lost_at)
        told = AuditEntry.objects.filter(act="adopt").first()
        return Restored(
            vehicles=self.vehicles,
            in_the_backup=in_the_backup,
            left_since=len(left),
            held=len(held),
            adopted=told.detail["unknown"] if told else 0,
            ended=told.detail["ended"] if told else 0,
            charging=sum(cars[pk]["charging"] for pk in held),
            second_starts=sum(count - 1 for count in starts.values() if count > 1),
            starts_of_those_who_left=sum(starts[pk] for pk in left),
            overdrawn=self.truth.get("summary")["overdrawn"]["application"],
            open_after=Hold.objects.open().count(),
            new_holds_stopped=Envelope.objects.filter(
                program=None, holds_stopped_at__isnull=False
            ).exists(),
        )

    def _let_leave(self, count: int) -> list[str]:
        """Let some owners leave the event; return their cars once they charge."""
        event = GridEvent.objects.get()
        holds = list(Hold.objects.open().select_related("vehicle")[:count])
        for hold in holds:
            grid_events.opt_out(
                hold.vehicle, event=event, actor="drill", now=clock.now()
            )
        self._until(
            lambda: not Hold.objects.open()
            .filter(pk__in=[hold.pk for hold in holds])
            .exists(),
            GIVEN_WITHIN_SECONDS, "Those who left are not given back.",
        )  # fmt: skip
        self.say(f"{count} of them have left and charge again.")
        return [hold.vehicle.external_id for hold in holds]

    def _hold_the_rest(self, wanted: int) -> None:
        """Aim the event at everybody."""
        event = GridEvent.objects.get()
        grid_events.amend(
            event, {"vehicles": []}, actor="drill", now=clock.now(), why="drill"
        )  # fmt: skip
        self._until(
            lambda: Hold.objects.filter(status="held").count() == wanted,
            HELD_WITHIN_SECONDS, "The rest was not held.",
        )  # fmt: skip
        self._until(
            lambda: self._is_kept(wanted),
            HELD_WITHIN_SECONDS, "No sheet knows all holds.",
        )  # fmt: skip

    def _has_adopted(self) -> bool:
        return AuditEntry.objects.filter(act="adopt").exists()
