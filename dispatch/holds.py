"""Act: intents become holds, participations and commands, and readings close them.

Every function runs inside the transaction of one turn of the loop, which has locked the
program's event rows and open holds first: event, hold, command, ids ascending, is the
one order in which everybody locks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite

from django.db import transaction

from dispatch import alarms, audit
from dispatch.lifecycle import (
    CommandKind,
    CommandStatus,
    HoldStatus,
    ParticipationStatus,
)
from dispatch.models import Command, GridEvent, Hold, Participation
from dispatch.planner import Act, Cars, Intent, Reason
from fleets.models import Tactic, Vehicle

# Reasons after which a car is not held again by the same event, even if it replugs.
FINAL_REASONS = (
    Reason.OPTED_OUT, Reason.WITHDRAWN, Reason.LATEST_START, Reason.PICK_UP,
)  # fmt: skip

CALLED_BACK = "wanted by another event before its start left"


def act(
    intents: Sequence[Intent],
    cars: Cars,
    *,
    events: Mapping[int, GridEvent],
    now: datetime,
) -> None:
    """Write down what was decided; the fan-out finds it in the rows."""
    by_act: dict[Act, list[Intent]] = defaultdict(list)
    for intent in intents:
        by_act[intent.act].append(intent)
    _drop(by_act[Act.DROP], cars, now=now)
    _restore(by_act[Act.RESTORE], cars, now=now)
    _hold(by_act[Act.HOLD], cars, events=events, now=now)
    _spare(by_act[Act.SPARE], cars, now=now)


def _hold(
    intents: Sequence[Intent],
    cars: Cars,
    *,
    events: Mapping[int, GridEvent],
    now: datetime,
) -> None:
    """Open holds with the state from before us, and queue their stops.

    A car that is owed already keeps that hold: it knows the state from before the
    first event. The new event only joins in, and calls a start back that has not left.
    """
    vehicle_ids = [int(cars.vehicle_id[intent.place]) for intent in intents]
    vehicles = Vehicle.objects.in_bulk(vehicle_ids)
    held = {
        hold.vehicle_id: hold
        for hold in Hold.objects.open().filter(vehicle__in=vehicle_ids)
    }
    first = {  # the first event that takes a car opens its hold
        vehicle_id: intent
        for vehicle_id, intent in reversed(list(zip(vehicle_ids, intents, strict=True)))
        if vehicle_id not in held
    }
    left = _call_back(held.values(), now=now)
    opened = Hold.objects.bulk_create(
        Hold(
            vehicle=vehicles[vehicle_id],
            event=events[intent.event_id],
            tactic=Tactic.STOP,
            was_charging=True,
            soc_percent=vehicles[vehicle_id].soc_percent,
            limit_percent=vehicles[vehicle_id].limit_percent,
            power_kw=float(cars.power_kw[intent.place]),
            state_observed_at=vehicles[vehicle_id].observed_at or now,
            plugged_in_at=vehicles[vehicle_id].plugged_in_at,
            latest_start_at=_moment(cars.latest_start[intent.place]),
            reason=intent.reason,
            opened_at=now,
        )
        for vehicle_id, intent in sorted(first.items())
    )
    Hold.objects.all().record(
        [(hold.pk, "") for hold in opened], HoldStatus.TAKING, now=now
    )
    held.update({hold.vehicle_id: hold for hold in opened})
    _claim(
        {
            (intent.event_id, vehicle_id): (intent.reason, held[vehicle_id])
            for vehicle_id, intent in zip(vehicle_ids, intents, strict=True)
            if held[vehicle_id].pk not in left
        },
        now=now,
    )
    _queue(
        [
            Command(
                vehicle_id=hold.vehicle_id,
                hold=hold,
                event=hold.event,
                event_version=hold.event.version,
                kind=CommandKind.STOP,
                is_restore=False,
                created_at=now,
                due_at=now,
                deadline_at=hold.event.ends_at,
            )
            for hold in opened
        ],
        now=now,
    )


def _call_back(held: Iterable[Hold], *, now: datetime) -> set[int]:
    """Keep cars that were on their way back; return the holds whose start has left.

    A claim may have taken it since the turn looked.
    """
    wanted = {hold.pk for hold in held if hold.status == HoldStatus.RESTORING}
    starts = Command.objects.filter(
        hold__in=wanted,
        is_restore=True,
        status=CommandStatus.QUEUED,
        may_have_landed=False,
    ).move(CommandStatus.SUPERSEDED, now=now, reason=CALLED_BACK)
    kept = set(Command.objects.filter(pk__in=starts).values_list("hold_id", flat=True))
    Hold.objects.filter(pk__in=kept).move(
        HoldStatus.HELD, now=now, reason=CALLED_BACK, restoring_at=None,
        restore_reason="",
    )  # fmt: skip
    return wanted - kept


def _claim(
    claims: Mapping[tuple[int, int], tuple[Reason, Hold]], *, now: datetime
) -> None:
    """Write participations as claimed; those that were claimed before stay so."""
    Participation.objects.bulk_create(
        [
            Participation(
                event_id=event_id,
                vehicle_id=vehicle_id,
                hold=hold,
                status=ParticipationStatus.CLAIMED,
                reason=reason,
                judged_at=now,
            )
            for (event_id, vehicle_id), (reason, hold) in sorted(claims.items())
        ],
        update_conflicts=True,
        unique_fields=["event", "vehicle"],
        update_fields=["hold", "status", "reason", "judged_at"],
    )


def _spare(intents: Sequence[Intent], cars: Cars, *, now: datetime) -> None:
    """Write down who is left alone, and why."""
    Participation.objects.bulk_create(
        [
            Participation(
                event_id=intent.event_id,
                vehicle_id=int(cars.vehicle_id[intent.place]),
                status=ParticipationStatus.SPARED,
                reason=intent.reason,
                judged_at=now,
            )
            for intent in intents
        ],
        update_conflicts=True,
        unique_fields=["event", "vehicle"],
        update_fields=["status", "reason", "judged_at"],
    )


def _restore(intents: Sequence[Intent], cars: Cars, *, now: datetime) -> None:
    """Queue starts; whatever stop is still underway is superseded with them.

    An accepted or unknown stop needs no confirmation before its start. One on the wire
    does: the planner leaves those cars alone until the outcome is here.
    """
    for reason, vehicle_ids in _by_reason(intents, cars).items():
        hold_ids = (
            Hold.objects.open()
            .filter(vehicle__in=vehicle_ids)
            .exclude(status=HoldStatus.UNRESOLVED)  # that takes a person
            .values_list("pk", flat=True)
        )
        moved = Hold.objects.filter(pk__in=_off_the_wire(hold_ids)).move(
            HoldStatus.RESTORING,
            now=now,
            reason=reason,
            restoring_at=now,
            restore_reason=reason,
        )
        Command.objects.filter(hold__in=moved, is_restore=False).move(
            CommandStatus.SUPERSEDED, now=now, reason=reason
        )
        if reason in FINAL_REASONS:
            end_participation(moved, reason=reason, now=now)
        restored = Hold.objects.filter(pk__in=moved).select_related("event")
        _queue([_start_of(hold, now=now) for hold in restored.order_by("id")], now=now)


def _start_of(hold: Hold, *, now: datetime) -> Command:
    return Command(
        vehicle_id=hold.vehicle_id,
        hold=hold,
        event=hold.event,
        event_version=hold.event.version,
        kind=CommandKind.START,
        is_restore=True,
        created_at=now,
        due_at=now,
        latest_start_at=hold.latest_start_at,
    )


def _drop(intents: Sequence[Intent], cars: Cars, *, now: datetime) -> None:
    """Close holds of which nothing was taken."""
    for reason, vehicle_ids in _by_reason(intents, cars).items():
        hold_ids = Hold.objects.filter(
            vehicle__in=vehicle_ids, status=HoldStatus.TAKING
        ).values_list("pk", flat=True)
        release(list(hold_ids), reason=reason, now=now)


def _off_the_wire(hold_ids: Iterable[int]) -> list[int]:
    """Keep holds with no command on the wire, and see that none leaves meanwhile.

    A claim locks commands alone, so it may take one between a turn's look and its act.
    Such a hold is left to the next turn, when the outcome is here.
    """
    wanted = list(hold_ids)
    commands = (
        Command.objects.open()
        .filter(hold__in=wanted)
        .order_by("id")
        .select_for_update(no_key=True, of=("self",))
        .values_list("hold_id", "status")
    )
    sent = {hold_id for hold_id, status in commands if status == CommandStatus.SENDING}
    return [pk for pk in wanted if pk not in sent]


def release(hold_ids: Sequence[int], *, reason: str, now: datetime) -> list[int]:
    """Close holds without anything to give back, and call off what is queued.

    Those with a command on the wire stay open until its outcome is here.
    """
    moved = Hold.objects.filter(pk__in=_off_the_wire(hold_ids)).move(
        HoldStatus.RELEASED, now=now, reason=reason, closed_at=now, close_reason=reason
    )
    call_off(moved, reason=reason, now=now)
    return moved


def call_off(hold_ids: Sequence[int], *, reason: str, now: datetime) -> None:
    """Supersede the commands of holds that need none any more."""
    Command.objects.filter(hold__in=hold_ids).exclude(
        status=CommandStatus.SENDING  # its outcome will find the hold closed
    ).move(CommandStatus.SUPERSEDED, now=now, reason=reason)


def end_participation(hold_ids: Sequence[int], *, reason: str, now: datetime) -> None:
    """Let cars out of the events that claim them, for good."""
    Participation.objects.filter(hold__in=hold_ids).exclude(
        status=ParticipationStatus.ENDED
    ).update(status=ParticipationStatus.ENDED, reason=reason, ended_at=now)


def refuse(hold_ids: Sequence[int], *, now: datetime) -> None:
    """Close holds whose stop was refused with nothing taken.

    The provider's own words, of whatever length, stay with the command. The car is
    judged again when it has something new to say, not at the next tick.
    """
    release(hold_ids, reason=Reason.REFUSED, now=now)
    Participation.objects.filter(
        hold__in=hold_ids, status=ParticipationStatus.CLAIMED
    ).update(status=ParticipationStatus.SPARED, reason=Reason.REFUSED, judged_at=now)


def close_by_hand(hold: Hold, *, actor: str, now: datetime, why: str) -> bool:
    """Let a person close what could not be given back; False if it has closed itself.

    The person has looked: the customer was called, the car was seen to charge.
    """
    with transaction.atomic():
        moved = Hold.objects.filter(pk=hold.pk, status=HoldStatus.UNRESOLVED).move(
            HoldStatus.RELEASED, now=now, reason=f"{actor}: {why}", closed_at=now,
            close_reason="closed by a person",
        )  # fmt: skip
        if moved:
            alarms.clear(alarms.of_hold(hold.pk), now=now)
            audit.write(
                "close hold", subject=f"hold {hold.pk}", actor=actor, now=now, why=why
            )
    return bool(moved)


def try_again(hold: Hold, *, actor: str, now: datetime, why: str) -> bool:
    """Let a person ask for one more start of a car that could not be given back."""
    with transaction.atomic():
        moved = Hold.objects.filter(pk=hold.pk, status=HoldStatus.UNRESOLVED).move(
            HoldStatus.RESTORING, now=now, reason=f"{actor}: {why}", restoring_at=now
        )
        if moved:
            hold.refresh_from_db()
            _queue([_start_of(hold, now=now)], now=now)
            audit.write(
                "try again", subject=f"hold {hold.pk}", actor=actor, now=now, why=why
            )
    return bool(moved)


def expire(events: Iterable[GridEvent], *, now: datetime) -> None:
    """Take queued stops whose deadline passed out of the senders' reach."""
    Command.objects.filter(
        event__in=events, deadline_at__lte=now, status=CommandStatus.QUEUED
    ).move(CommandStatus.EXPIRED, now=now, reason="deadline passed")


def _queue(commands: Sequence[Command], *, now: datetime) -> None:
    """Insert commands with the first line of their history."""
    created = Command.objects.bulk_create(commands)
    Command.objects.all().record(
        [(command.pk, "") for command in created], CommandStatus.QUEUED, now=now
    )


def _by_reason(intents: Sequence[Intent], cars: Cars) -> dict[Reason, list[int]]:
    """Return vehicle ids by the reason of their intent."""
    grouped: dict[Reason, list[int]] = defaultdict(list)
    for intent in intents:
        grouped[intent.reason].append(int(cars.vehicle_id[intent.place]))
    return grouped


def _moment(seconds: float) -> datetime | None:
    """Return a planner's moment as a datetime (UTC); None when it never comes."""
    return datetime.fromtimestamp(seconds, UTC) if isfinite(seconds) else None
