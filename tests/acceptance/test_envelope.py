"""Nobody moves more than the envelope: no operator, no stolen token, no bug."""

from __future__ import annotations

from datetime import timedelta

from dispatch.lifecycle import (
    CommandKind,
    CommandStatus,
    HoldStatus,
    ParticipationStatus,
)
from dispatch.models import Command, Envelope, Hold, Participation
from fleets import clock
from fleets.models import Program, Tactic, Vehicle
from gridbalance.demo.truth import Call
from tests.acceptance.evening import Evening
from tests.acceptance.stack import Stack
from tests.waiting import eventually

CAR_KW = 7.0
FLEET = {f"car-{n}": {"make": "TESLA", "power_kw": CAR_KW} for n in range(16)}
MOST_CARS_PER_MINUTE = 4
MOST_KW = MOST_CARS_PER_MINUTE * CAR_KW
MINUTE = timedelta(minutes=1)
SETTLED = [CommandStatus.CONFIRMED, CommandStatus.SUPERSEDED]


def test_the_grid_never_sees_more_than_the_envelope_in_either_direction(
    stack: Stack,
) -> None:
    stack.wait_until_well()
    crowd = Evening.open(stack, FLEET, cast={}, late={})
    Envelope.objects.create(
        program=crowd.program, max_kw=10_000, max_cars=1000, max_kw_per_minute=MOST_KW
    )
    # A stolen token asks for everything, at once and twice.
    for _ in range(2):
        crowd.post_event(starts_at=clock.now(), minutes=170)
    status, _ = crowd.post_event(starts_at=clock.now(), minutes=170, target_kw=1.0)
    assert status == 201
    eventually(crowd.holds.exists, else_say=crowd.state)
    # A bug of ours wants the whole fleet, past every decision. The loop drops some of
    # it while it waits; the rest leaves as fast as the envelope lets it.
    want_everything(crowd)
    eventually(
        lambda: not crowd.commands("stop").exclude(status__in=SETTLED).exists(),
        within_seconds=60,
        else_say=crowd.state,
    )
    held = crowd.holds.filter(status=HoldStatus.HELD).count()
    assert held > 2 * MOST_CARS_PER_MINUTE

    # A hostile operator opens the ramp of the restore, and ends everything.
    Program.objects.filter(pk=crowd.program.pk).update(
        restore_ramp_kw_per_minute=1e9, restore_cap_kw=None
    )
    crowd.end_early()
    crowd.wait_until_over(within_seconds=90)

    stops = [call for call in crowd.calls("stop") if call.acted_at]
    starts = [call for call in crowd.calls("start") if call.acted_at]
    assert len(stops) == len(starts) == held
    assert most_in_a_minute(stops) <= MOST_CARS_PER_MINUTE
    assert most_in_a_minute(starts) <= MOST_CARS_PER_MINUTE
    crowd.judge()


def want_everything(crowd: Evening) -> None:
    """Write holds and stops for all cars, as no code of ours does."""
    now = clock.now()
    event = crowd.events.order_by("id").last()
    free = Vehicle.objects.filter(external_id__in=crowd.ids.values()).exclude(
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
            power_kw=CAR_KW,
            state_observed_at=vehicle.observed_at or now,
            plugged_in_at=vehicle.plugged_in_at,
            reason="a bug",
            opened_at=now,
        )
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
        Command.objects.create(
            vehicle=vehicle,
            hold=hold,
            event=event,
            event_version=event.version,
            kind=CommandKind.STOP,
            is_restore=False,
            status=CommandStatus.QUEUED,
            created_at=now,
            due_at=now,
            deadline_at=event.ends_at,
        )


def most_in_a_minute(calls: list[Call]) -> int:
    """Return how many of these calls the provider saw within some minute, at most."""
    moments = sorted(call.at for call in calls)
    return max(
        sum(moment - MINUTE < other <= moment for other in moments)
        for moment in moments
    )
