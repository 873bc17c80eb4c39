"""Feeders bound what goes back on them, of all programs together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from dispatch import control, snapshot
from dispatch.forecast import issuing
from dispatch.lifecycle import EventStatus, HoldStatus
from dispatch.models import GridEvent, Hold, QuarterSample
from dispatch.planner import Reason
from dispatch.safekeeping import export
from fleets.models import Feeder, Program, Vehicle
from tests.dispatch.forecast.conftest import Keep, keep_samples
from tests.dispatch.forecast.test_issuing import NEXT
from tests.factories import HOUR, NOW

__all__ = ["keep_samples"]  # a fixture

Make = Callable[..., Any]
pytestmark = pytest.mark.django_db


@pytest.fixture
def feeder(make_feeder: Make) -> Feeder:
    """Return one that bears a single car of 7 kW at a time."""
    row: Feeder = make_feeder("n1", restore_cap_kw=10.0)
    return row


@pytest.fixture
def owe(make_event: Make, make_enrolment: Make) -> Make:
    """Return a maker of a car on a feeder that an event which is over still holds."""

    def make(program: Program, feeder: Feeder, **values: Any) -> Hold:
        event = make_event(
            program,
            status=EventStatus.RESTORING,
            starts_at=NOW - 2 * HOUR,
            ends_at=NOW,
        )
        vehicle = make_enrolment(program).vehicle
        Vehicle.objects.filter(pk=vehicle.pk).update(feeder=feeder, is_charging=False)
        hold = {
            "tactic": "stop", "status": HoldStatus.HELD, "was_charging": True,
            "power_kw": 7.0, "state_observed_at": NOW, "held_at": NOW,
            "reason": "target", "opened_at": NOW, **values,
        }  # fmt: skip
        return Hold.objects.create(vehicle=vehicle, event=event, **hold)

    return make


def take(program: Program) -> snapshot.Snapshot:
    events = GridEvent.objects.filter(program=program).running().in_order()
    return snapshot.take(program, list(events), now=NOW)


def test_one_without_bounds_is_nobodys(
    program: Program, make_feeder: Make, owe: Make
) -> None:
    owe(program, make_feeder())

    seen = take(program)

    assert (seen.cars.feeder.tolist(), list(seen.program.feeders)) == ([-1], [])


def test_one_on_which_nothing_is_owed_is_not_asked(
    program: Program, feeder: Feeder, ada: Vehicle
) -> None:
    Vehicle.objects.update(feeder=feeder)

    assert list(take(program).program.feeders) == []


def test_each_car_knows_its_own(
    program: Program, feeder: Feeder, make_feeder: Make, owe: Make, ada: Vehicle
) -> None:
    ramped = make_feeder(restore_ramp_kw_per_minute=3.0)
    for one in (ramped, feeder):
        owe(program, one)

    seen = take(program)

    assert seen.cars.feeder.tolist() == [-1, 1, 0]
    capped, bounded = seen.program.feeders
    assert (capped.restore_cap_kw, capped.restore_ramp_kw_per_minute) == (10.0, np.inf)
    assert (bounded.restore_cap_kw, bounded.restore_ramp_kw_per_minute) == (np.inf, 3.0)


@pytest.mark.parametrize(
    ("car", "hold", "kw", "last_minute_kw"),
    [
        ({}, None, 7.0, 0.0),
        # tells no power that can be
        ({"power_kw": -3.0}, None, 11.0, 0.0),
        # on another's line
        ({"is_home": False}, None, 0.0, 0.0),
        ({"is_charging": False}, None, 0.0, 0.0),
        # nobody heard that it ended
        ({"observed_at": NOW - 4 * HOUR}, None, 7.0, 0.0),
        # held, and on its way back
        ({}, {"status": HoldStatus.HELD}, 0.0, 0.0),
        (
            {"is_charging": False},
            {"status": HoldStatus.RESTORING, "restoring_at": NOW},
            5.0,
            5.0,
        ),
    ],
)
@pytest.mark.parametrize("is_ours", [True, False])
def test_what_draws_there_counts_whatever_its_program(
    program: Program,
    make_program: Make,
    make_enrolment: Make,
    feeder: Feeder,
    owe: Make,
    is_ours: bool,
    car: dict[str, Any],
    hold: dict[str, Any] | None,
    kw: float,
    last_minute_kw: float,
) -> None:
    owe(program, feeder)
    of = program if is_ours else make_program()
    if hold:
        vehicle = owe(of, feeder, power_kw=5.0, **hold).vehicle
    else:
        vehicle = make_enrolment(of).vehicle
    Vehicle.objects.filter(pk=vehicle.pk).update(
        feeder=feeder, usual_power_kw=11.0, **{"is_charging": not hold, **car}
    )

    (found,) = take(program).program.feeders

    assert found.ahead_kw[0] == pytest.approx(kw)
    assert found.restored_kw_last_minute == last_minute_kw


def test_two_programs_do_not_fill_it_twice(
    program: Program, make_program: Make, feeder: Feeder, owe: Make
) -> None:
    holds = [owe(one, feeder) for one in (program, make_program())]

    control.turn(now=NOW)
    control.turn(now=NOW + timedelta(minutes=5))

    found = Hold.objects.filter(status=HoldStatus.RESTORING)
    assert [hold.pk for hold in found] == [holds[0].pk]
    assert found.get().restore_reason == Reason.EVENT_OVER


def test_its_cars_to_come_count_by_its_own_forecast(
    program: Program, feeder: Feeder, owe: Make, keep_samples: Keep
) -> None:
    keep_samples(until=NEXT)
    QuarterSample.objects.update(program=None, feeder=feeder)
    issuing.issue(now=NOW)
    owe(program, feeder)

    (found,) = take(program).program.feeders

    assert found.ahead_kw.max() > 100.0
    assert take(program).program.ahead_kw.max() == 0.0


def test_its_ramp_is_on_the_sheet_of_the_second_place(
    program: Program, feeder: Feeder, owe: Make
) -> None:
    Feeder.objects.update(restore_ramp_kw_per_minute=3.0)
    owe(program, feeder)

    (car,) = export.owed(now=NOW)
    ramps = export.head(now=NOW, real_now=NOW).ramps

    assert [ramps[name] for name in car.ramps if "ramp of feeder" in name] == [3.0]
