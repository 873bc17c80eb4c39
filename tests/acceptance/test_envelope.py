"""Nobody moves more than the envelope: no operator, no stolen token, no bug.

All three at once, in two programs, within one envelope of everything; the simulator
says what it saw, with each car's kW, in any minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.test import Client
from django.urls import reverse

from dispatch import envelope_changes
from dispatch.lifecycle import (
    CommandKind,
    CommandStatus,
    EnvelopeChangeStatus,
    EventStatus,
    HoldStatus,
    ParticipationStatus,
)
from dispatch.models import (
    AreaHoldOff,
    Command,
    Envelope,
    EnvelopeChange,
    GridEvent,
    Hold,
    Participation,
)
from fleets import clock
from fleets.models import Program, Tactic, Vehicle
from tests.acceptance.evening import Evening
from tests.acceptance.stack import Stack
from tests.waiting import eventually

POWERS_KW = (3.7, 7.4, 11.0)
CARS = 9  # of each program
FLEET = {
    f"car-{n}": {"make": "TESLA", "power_kw": POWERS_KW[n % 3]} for n in range(CARS)
}
MOST_KW = 30.0  # a minute, whoever asks
MINUTE = timedelta(minutes=1)
WIDE = {"max_kw": 10_000, "max_cars": 1_000, "max_kw_per_minute": 10_000}
STEALS = 3  # events that the token posts, and amendments of each


def test_the_grid_never_sees_more_than_the_envelope_in_either_direction(
    stack: Stack,
) -> None:
    stack.wait_until_well()
    mistaken, robbed = (Evening.open(stack, FLEET, cast={}, late={}) for _ in range(2))
    for evening in (mistaken, robbed):
        Envelope.objects.create(program=evening.program, **WIDE)
        know_well(evening)
        # Nothing but the envelope is in the way of giving back all at once.
        Program.objects.filter(pk=evening.program.pk).update(
            restore_ramp_kw_per_minute=1e6, restore_cap_kw=1e6
        )
    with everything_within(MOST_KW):
        operator = HostileOperator()
        # Holding. Each event of the first program needs one car; a bug wants them all.
        mistaken.call_event(starts_at=clock.now(), minutes=170, target_kw=1.0)
        eventually(mistaken.holds.exists, else_say=mistaken.state)
        stopped_by_bug = want_everything(mistaken)
        steal(robbed)
        operator.try_to_raise_the_bounds()
        for evening in (mistaken, robbed):
            wait_until_nothing_is_commanded(evening)

        # Giving back: the bug once more, and the operator in every way there is.
        started_by_bug = give_everything_back(mistaken)
        operator.clear_the_area(mistaken.program)
        for evening in (mistaken, robbed):
            operator.end_everything(evening)
        operator.stop_and_allow_new_holds()
        operator.lift_all()
        for evening in (mistaken, robbed):
            evening.wait_until_over(within_seconds=90)
        assert operator.raised_nothing()

    assert stopped_by_bug > CARS / 2
    assert started_by_bug > CARS / 2
    for kind in ("stop", "start"):
        moved = Moved.of(kind, mistaken, robbed)
        assert moved.total_kw > 3 * MOST_KW
        assert MOST_KW / 2 < moved.most_in_a_minute() <= MOST_KW, (kind, moved)
    for evening in (mistaken, robbed):
        evening.judge()


@transaction.atomic
def of_everything() -> Envelope:
    return Envelope.objects.of(None)


@contextmanager
def everything_within(kw_per_minute: float) -> Iterator[None]:
    """Bound all programs together."""
    row = Envelope.objects.filter(pk=of_everything().pk)
    before = row.values("max_kw_per_minute").get()
    row.update(max_kw_per_minute=kw_per_minute)
    try:
        yield
    finally:
        row.update(**before)


def know_well(evening: Evening) -> None:
    """Let us have learnt long ago what each car draws."""
    for name in evening.ids:
        Vehicle.objects.filter(pk=evening.vehicle(name).pk).update(
            usual_power_kw=evening.true(name)["rated_kw"]
        )


def wait_until_nothing_is_commanded(evening: Evening) -> None:
    """Return when every stop has come to its end, one way or another."""
    waiting = [CommandStatus.QUEUED, CommandStatus.SENDING, CommandStatus.ACCEPTED]

    def is_quiet() -> bool:
        stops = evening.commands("stop")
        return (
            stops.filter(status=CommandStatus.CONFIRMED).count() > CARS / 2
            and not stops.filter(status__in=waiting).exists()
        )

    eventually(is_quiet, within_seconds=60, else_say=evening.state)


# --- The stolen token ---


def steal(evening: Evening) -> None:
    """Ask for everything, more than once, and keep changing it while it is sent."""
    for _ in range(STEALS):
        status, event = evening.post_event(starts_at=clock.now(), minutes=170)
        assert status == 201, event
        for priority in range(STEALS):
            status, event = evening.stack.grid.patch(
                f"/api/v1/events/{event['id']}",
                {"version": event["version"], "priority": priority},
            )
            assert status == 200, event


# --- The bug ---


@transaction.atomic
def want_everything(evening: Evening) -> int:
    """Write holds and stops for all cars, as no code of ours does; return how many."""
    now = clock.now()
    event = evening.events.select_for_update(no_key=True).get()
    # Without this lie the loop would call off what its target does not need.
    GridEvent.objects.filter(pk=event.pk).update(target_kw=None)
    free = Vehicle.objects.filter(external_id__in=evening.ids.values()).exclude(
        holds__in=Hold.objects.open()
    )
    for vehicle in free:
        hold = Hold.objects.create(
            vehicle=vehicle,
            event=event,
            tactic=Tactic.STOP,
            was_charging=True,
            soc_percent=vehicle.soc_percent,
            limit_percent=vehicle.limit_percent,
            power_kw=0.1,  # it lies about that as well
            state_observed_at=vehicle.observed_at or now,
            plugged_in_at=vehicle.plugged_in_at,
            reason="a bug",
            opened_at=now,
        )
        Hold.objects.all().record([(hold.pk, "")], HoldStatus.TAKING, now=now)
        Participation.objects.update_or_create(
            event=event,
            vehicle=vehicle,
            defaults={
                "hold": hold,
                "status": ParticipationStatus.CLAIMED,
                "reason": "a bug",
                "judged_at": now,
            },
        )
        command(hold, CommandKind.STOP, deadline_at=event.ends_at)
    return len(free)


def give_everything_back(evening: Evening) -> int:
    """Write starts for all that is held, past ramp and cap; return how many."""
    held = Hold.objects.filter(
        event__program=evening.program, status=HoldStatus.HELD
    ).select_related("event")
    for hold in held:
        Hold.objects.filter(pk=hold.pk).update(
            status=HoldStatus.RESTORING,
            restoring_at=clock.now(),
            restore_reason="a bug",
        )
        command(hold, CommandKind.START, is_restore=True)
    return len(held)


def command(hold: Hold, kind: CommandKind, **more: Any) -> None:
    now = clock.now()
    Command.objects.create(
        vehicle=hold.vehicle,
        hold=hold,
        event=hold.event,
        event_version=hold.event.version,
        kind=kind,
        created_at=now,
        due_at=now,
        **{"is_restore": False, **more},
    )


# --- The hostile operator ---

_operators = count(1)


@dataclass
class HostileOperator:
    """One person with every right, on the pages."""

    pages: Client = field(default_factory=Client)
    before: Mapping[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        user = get_user_model().objects.create_superuser(f"mallory-{next(_operators)}")
        self.pages.force_login(user)
        self.before = self._bounds()

    def try_to_raise_the_bounds(self) -> None:
        """Propose a thousand times as much, and agree to it."""
        row = of_everything()
        wanted = dict.fromkeys(self.before, 1_000_000)
        self._do("propose-bounds", row.pk, **wanted)
        proposal = EnvelopeChange.objects.get(
            envelope=row, status=EnvelopeChangeStatus.PROPOSED
        )
        self._do("approve-bounds", proposal.pk)
        self._do("withdraw-bounds", proposal.pk)

    def raised_nothing(self) -> bool:
        """Say whether the bounds are what they were."""
        return self._bounds() == self.before

    def clear_the_area(self, program: Program) -> None:
        """Let a storm be everywhere."""
        self._do("declare-area", kind="storm", program=program.pk, everywhere="on")

    def lift_all(self) -> None:
        """Let every storm be over."""
        for hold_off in AreaHoldOff.objects.filter(lifted_at=None):
            self._do("lift-area", hold_off.pk)

    def end_everything(self, evening: Evening) -> None:
        """End each event that runs."""
        for event in GridEvent.objects.filter(
            program=evening.program, status=EventStatus.ACTIVE
        ):
            self._do("end-early", event.pk)

    def stop_and_allow_new_holds(self) -> None:
        """Turn the switch there and back."""
        self._do("stop-new-holds")
        self._do("allow-new-holds")

    def _do(self, page: str, *args: int, **more: Any) -> None:
        answer = self.pages.post(reverse(page, args=args), {"why": "mine", **more})
        assert answer.status_code == 302, (page, answer.content)

    def _bounds(self) -> dict[str, float | None]:
        row = of_everything()
        return {name: getattr(row, name) for name in envelope_changes.ENVELOPE_BOUNDS}


# --- What the simulator saw ---


@dataclass(frozen=True)
class Moved:
    """Calls of one kind that moved load, each with its moment and its car's kW."""

    calls: Sequence[tuple[Any, float]]

    @classmethod
    def of(cls, kind: str, *evenings: Evening) -> Moved:
        """Return what moved in these programs."""
        return cls(
            [
                (call.at, evening.true(name)["rated_kw"])
                for evening in evenings
                for name, external_id in evening.ids.items()
                for call in evening.calls(kind)
                if call.vehicle == external_id and call.acted_at
            ]
        )

    @property
    def total_kw(self) -> float:
        return sum(kw for _, kw in self.calls)

    def most_in_a_minute(self) -> float:
        """Return the most kW that any minute saw."""
        return max(
            sum(kw for at, kw in self.calls if end - MINUTE < at <= end)
            for end, _ in self.calls
        )


@pytest.mark.parametrize(
    ("calls", "most"),
    [
        # alone, together, a minute apart
        ([(0, 7.0)], 7.0),
        ([(0, 7.0), (59, 11.0), (59, 3.0)], 21.0),
        ([(0, 7.0), (60, 11.0)], 11.0),
        # the minute that counts lies across two others
        ([(0, 1.0), (50, 7.0), (70, 7.0), (120, 1.0)], 14.0),
    ],
)
def test_any_minute_is_looked_at(calls: list[tuple[int, float]], most: float) -> None:
    """Tries the measure itself."""
    now = clock.real_now()

    moved = Moved([(now + timedelta(seconds=at), kw) for at, kw in calls])

    assert moved.most_in_a_minute() == most
