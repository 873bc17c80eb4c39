"""What the newest sheet owes and a database that went back in time does not know.

A restored backup, or a standby that was promoted without the last commits, lacks the
holds that were taken since; their cars are stopped, and no row says so. The sheet does.
Hold numbers are kept, so that a journal of the same sheet still tells which is which.

What a sheet cannot tell - opt-outs, withdrawals, events - is lost with the database, so
nothing new is taken afterwards until a person allows it, and every adopted car is given
back, whatever its event wanted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from dispatch import audit, holds
from dispatch.lifecycle import (
    UNPROVEN_COMMAND,
    CommandKind,
    CommandStatus,
    EventKind,
    EventStatus,
    HoldStatus,
    ParticipationStatus,
)
from dispatch.models import Command, GridEvent, Hold, LoopTurn, Participation
from dispatch.querysets import HoldQuerySet
from dispatch.safekeeping.sheet import Give, Head, Owed, Sheet
from fleets import enrolment
from fleets.models import Bucket, Program, Tactic, Vehicle
from fleets.providers.base import Connection, VehicleKey
from fleets.transactions import retried

REASON = "adopted from the second place"
ACTOR = "adoption"
# An event ends after it starts, however fresh what it gives back is.
SHORTEST = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Adopted:
    """How the rows and the newest sheet differed."""

    went_back: bool  # the database has forgotten turns that the sheet knows
    unknown: int  # holds that no row knew
    ended: int  # open in the rows, closed when the sheet was written

    @property
    def is_lost(self) -> bool:
        """Say whether rows are missing, rather than just being written."""
        return self.went_back or self.unknown > 0


def compare(found: Sheet) -> Adopted:
    """Say how the rows and a sheet differ; nothing is changed."""
    went_back = _went_back(found.head)
    known = _known(found.owed)
    unknown = sum((car.hold_id, car.vehicle_id) not in known for car in found.owed)
    ended = _ended(found.owed).count() if went_back else 0
    return Adopted(went_back, unknown, ended)


@retried
def adopt(found: Sheet, *, now: datetime) -> Adopted | None:
    """Make the rows owe what the sheet owes; None while a sender has one on the wire.

    1. Be the only process that adopts; lock what is open, holds before commands.
    2. Close what the sheet's writer knew as closed: it was given back, and a start
       more could come ahead of the car's own timer.
    3. What was about to leave when the backup was made may have left since.
    4. Open what no row knows, under an event that only gives back.
    5. Empty the buckets: nobody knows what was spent since.
    """
    with transaction.atomic():
        _be_alone()
        differs = compare(found)
        if not differs.is_lost:
            return differs
        owing = list(
            Hold.objects.open().order_by("id").select_for_update(no_key=True)
            .values_list("pk", flat=True)
        )  # fmt: skip
        if Command.objects.filter(
            hold__in=owing, status=CommandStatus.SENDING
        ).exists():
            return None
        if differs.went_back:
            holds.release(
                list(_ended(found.owed).values_list("pk", flat=True)),
                reason="ended before the database went back", now=now,
            )  # fmt: skip
        known = _known(found.owed)
        _may_have_left([car for car in found.owed if _key(car) in known])
        unknown = [car for car in found.owed if _key(car) not in known]
        by_program: dict[str, list[Owed]] = defaultdict(list)
        for car in unknown:
            by_program[car.program].append(car)
        _leave_free([car.hold_id for car in unknown])
        for code, cars in sorted(by_program.items()):
            _open(code, cars, now=now)
        Bucket.objects.update(tokens=0, refilled_at=now)
        audit.write(
            "adopt", subject="what is owed", actor=ACTOR, now=now, why=REASON,
            unknown=differs.unknown, ended=differs.ended, went_back=differs.went_back,
        )  # fmt: skip
    return differs


def _be_alone() -> None:
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(hashtext('dispatch.adopt'))")


def _went_back(head: Head) -> bool:
    """Say whether the sheet has seen a turn of the loop that the rows know nothing of.

    Rows are committed before a sheet is written from them, so they never lag otherwise.
    """
    last = LoopTurn.objects.values_list("real_at", flat=True).first()
    seen = head.heartbeat_real_at
    return seen is not None and (last is None or seen > last)


def _key(car: Owed) -> tuple[int, str]:
    return car.hold_id, car.vehicle_id


def _known(owed: Sequence[Owed]) -> set[tuple[int, str]]:
    """Return the holds of the sheet that are rows; a number alone may be used again."""
    return set(
        Hold.objects.filter(pk__in=[car.hold_id for car in owed]).values_list(
            "pk", "vehicle__external_id"
        )
    )


def _ended(owed: Sequence[Owed]) -> HoldQuerySet:
    return Hold.objects.open().exclude(pk__in=[car.hold_id for car in owed])


def _may_have_left(cars: Sequence[Owed]) -> None:
    """Let nobody drop these as untaken, nor close them by an older reading."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            with told as (
                select * from unnest(
                    %(ids)s::bigint[], %(from)s::timestamptz[],
                    %(until)s::timestamptz[], %(answered)s::timestamptz[]
                ) as t (id, taken_from, until, answered_at)
            ), owing as (
                update dispatch_hold h set
                    state_observed_at = greatest(h.state_observed_at, t.taken_from),
                    owed_until = greatest(h.owed_until, t.until)
                from told t where h.id = t.id
            )
            update dispatch_command c set
                may_have_landed = true,
                answered_at = greatest(c.answered_at, t.answered_at)
            from told t where c.hold_id = t.id and not c.is_restore
            """,
            {
                "ids": [car.hold_id for car in cars],
                "from": [car.taken_from for car in cars],
                "until": [car.owed_until for car in cars],
                "answered": [car.stop_answered_at for car in cars],
            },
        )


def _leave_free(hold_ids: Sequence[int]) -> None:
    """Let the numbers of new holds begin behind these."""
    if hold_ids:
        with connection.cursor() as cursor:
            cursor.execute(
                "select setval(s, greatest(nextval(s), %s))"
                " from pg_get_serial_sequence('dispatch_hold', 'id') s",
                [max(hold_ids)],
            )


def _open(code: str, cars: Sequence[Owed], *, now: datetime) -> None:
    """Open these holds of one program, and keep its running events from claiming them.

    A hold whose number was given away meanwhile gets another one.
    """
    program, _ = Program.objects.get_or_create(code=code, defaults={"name": code})
    vehicles = _vehicles(cars, now=now)
    taken = set(
        Hold.objects.filter(pk__in=[car.hold_id for car in cars]).values_list(
            "pk", flat=True
        )
    )
    owing = set(
        Hold.objects.open()
        .filter(vehicle__in=[vehicle.pk for vehicle in vehicles.values()])
        .values_list("vehicle_id", flat=True)
    )
    cars = [car for car in cars if vehicles[car.vehicle_id].pk not in owing]
    event = _event(program, cars, now=now)
    opened = Hold.objects.bulk_create(
        Hold(
            pk=None if car.hold_id in taken else car.hold_id,
            vehicle=vehicles[car.vehicle_id],
            event=event,
            status=HoldStatus.RESTORING if car.given else HoldStatus.HELD,
            tactic=Tactic.LIMIT if car.give is Give.LIMIT else Tactic.STOP,
            was_charging=True,
            limit_percent=car.percent,
            our_limit_percent=car.our_percent if car.give is Give.LIMIT else None,
            power_kw=car.power_kw,
            state_observed_at=car.taken_from,
            latest_start_at=car.latest_start_at,
            reason=REASON,
            restore_reason=REASON if car.given else "",
            opened_at=car.taken_from,
            held_at=now,
            restoring_at=now if car.given else None,
            owed_until=car.owed_until,
        )
        for car in cars
    )
    for status in (HoldStatus.HELD, HoldStatus.RESTORING):
        Hold.objects.all().record(
            [(hold.pk, "") for hold in opened if hold.status == status],
            status, now=now, reason=REASON,
        )  # fmt: skip
    _claim(event, opened, now=now)
    _write_commands(event, list(zip(cars, opened, strict=True)), now=now)


def _vehicles(cars: Sequence[Owed], *, now: datetime) -> dict[str, Vehicle]:
    """Return the cars by the provider's id; bring in those that were forgotten."""
    wanted = {car.vehicle_id: car for car in cars}
    known = set(
        Vehicle.objects.filter(external_id__in=wanted).values_list(
            "external_id", flat=True
        )
    )
    enrolment.bring_in(
        [
            Connection(VehicleKey(pk, car.user_id), car.make, "", None, frozenset())
            for pk, car in wanted.items()
            if pk not in known
        ],
        region=Vehicle._meta.get_field("region").default,
        now=now,
    )
    return {
        vehicle.external_id: vehicle
        for vehicle in Vehicle.objects.filter(external_id__in=wanted)
    }


def _event(program: Program, cars: Sequence[Owed], *, now: datetime) -> GridEvent:
    """Make the event that gives these back; the loop completes it."""
    begun = min((car.taken_from for car in cars), default=now)
    event = GridEvent.objects.create(
        program=program,
        kind=EventKind.EMERGENCY,
        status=EventStatus.RESTORING,
        starts_at=min(begun, now - SHORTEST),
        ends_at=now,
        reason=REASON,
        created_at=now,
        created_by=ACTOR,
        started_at=begun,
        restoring_at=now,
    )
    GridEvent.objects.all().record(
        [(event.pk, "")], EventStatus.RESTORING, now=now, reason=REASON
    )
    return event


def _claim(event: GridEvent, opened: Sequence[Hold], *, now: datetime) -> None:
    """Let the event claim its cars, and take them out of all that run beside it."""
    Participation.objects.bulk_create(
        Participation(
            event=event, vehicle_id=hold.vehicle_id, hold=hold,
            status=ParticipationStatus.CLAIMED, reason=REASON, judged_at=now,
        )
        for hold in opened
    )  # fmt: skip
    beside = GridEvent.objects.alive().filter(program=event.program)
    Participation.objects.bulk_create(
        [
            Participation(
                event=other, vehicle_id=hold.vehicle_id,
                status=ParticipationStatus.ENDED, reason=REASON, judged_at=now,
                ended_at=now,
            )
            for other in beside.exclude(pk=event.pk).order_by("id")
            for hold in opened
        ],
        update_conflicts=True,
        unique_fields=["event", "vehicle"],
        update_fields=["status", "reason", "judged_at", "ended_at"],
    )  # fmt: skip


def _write_commands(
    event: GridEvent, rows: Sequence[tuple[Owed, Hold]], *, now: datetime
) -> None:
    """Write down what the sheet says of our calls: readings are judged by their end."""
    of_all: dict[str, Any] = {
        "event": event, "event_version": event.version, "created_at": now,
        "due_at": now, "may_have_landed": True, "code": REASON,
    }  # fmt: skip
    took = [
        Command(
            vehicle_id=hold.vehicle_id, hold=hold, is_restore=False, deadline_at=now,
            status=CommandStatus.SUPERSEDED, sent_at=car.stop_answered_at,
            answered_at=car.stop_answered_at, **_what(car, CommandKind.STOP, ours=True),
            **of_all,
        )
        for car, hold in rows
    ]  # fmt: skip
    gave = [
        Command(
            vehicle_id=hold.vehicle_id, hold=hold, is_restore=True, attempt=1,
            status=CommandStatus(car.given), latest_start_at=hold.latest_start_at,
            sent_at=car.given_at, answered_at=car.given_at, read_due_at=now,
            **_what(car, CommandKind.START, ours=False), **of_all,
        )
        for car, hold in rows
        if car.given in UNPROVEN_COMMAND
    ]  # fmt: skip
    created = Command.objects.bulk_create(took + gave)
    for status in (CommandStatus.SUPERSEDED, *UNPROVEN_COMMAND):
        Command.objects.all().record(
            [(command.pk, "") for command in created if command.status == status],
            status, now=now, reason=REASON,
        )  # fmt: skip


def _what(car: Owed, kind: CommandKind, *, ours: bool) -> dict[str, Any]:
    """Return what such a command did to the car."""
    if car.give is Give.START:
        return {"kind": kind}
    return {
        "kind": CommandKind.SET_LIMIT,
        "percent": car.our_percent if ours else car.percent,
    }
