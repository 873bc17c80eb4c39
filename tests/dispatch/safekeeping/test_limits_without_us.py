"""Lowered limits from real holds to the sheet, to the cars, and back into the rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dispatch.lifecycle import HoldStatus
from dispatch.models import Command, Hold
from dispatch.safekeeping import export, learn, sheet
from dispatch.safekeeping.sheet import Give
from fleets import clock
from fleets.models import Tactic, Vehicle
from tests.dispatch.lowered import Adas, ada
from tests.dispatch.safekeeping.conftest import CALLS, KEY, head
from tests.dispatch.safekeeping.test_giving import give_back, keys, written
from tests.fleets.simulator.conftest import Simulator

__all__ = ["ada", "keys"]

Make = Callable[..., Any]


def test_the_sheet_owes_a_limit(ada: Adas) -> None:
    ada.lower()

    (car,) = export.owed(now=ada.house.now)

    assert (car.give, car.percent, car.our_percent) == (Give.LIMIT, 80, 63)
    assert car.given is None


def test_the_sheet_says_that_a_limit_was_sent_back(ada: Adas) -> None:
    ada.lower()
    ada.end()
    ada.send()

    (car,) = export.owed(now=ada.house.now)

    assert (car.give, car.given) == (Give.LIMIT, "accepted")


def test_the_sheet_owes_a_start_where_the_limit_is_back(ada: Adas) -> None:
    ada.lower()
    ada.end()
    ada.send()
    ada.house.wait(minutes=6)
    ada.reports(limit_percent=80.0, is_charging=False)

    (car,) = export.owed(now=ada.house.now)

    assert (car.give, car.percent, car.our_percent) == (Give.START, None, None)


@pytest.mark.usefixtures("keys")
def test_what_real_holds_owe_is_given_back_by_the_cars_own_truth(
    evening: Callable[..., Simulator],
    tmp_path: Path,
    make_enrolment: Make,
    make_vehicle: Make,
    make_program: Make,
    make_event: Make,
) -> None:
    simulator = evening()
    cars = {
        name: simulator.add(make="TESLA", soc_percent=63.9, limit_percent=80.0)
        for name in ("held", "changed", "away")
    }
    told = simulator.get("clock")
    now = datetime.fromisoformat(told["now"])
    program = make_program(tactic=Tactic.LIMIT)
    event = make_event(program)
    for car in cars.values():
        vehicle: Vehicle = make_vehicle(external_id=car["id"], observed_at=now)
        vehicle.account.external_id = car["user"]
        vehicle.account.save(update_fields=["external_id"])
        make_enrolment(program, vehicle)
        assert simulator.call(car, "set-limit", percent=63).status == 200
        Hold.objects.create(
            vehicle=vehicle, event=event, status=HoldStatus.HELD, tactic=Tactic.LIMIT,
            was_charging=True, limit_percent=80.0, our_limit_percent=63, power_kw=7.0,
            state_observed_at=now - timedelta(minutes=20), reason="x", opened_at=now,
        )  # fmt: skip
    simulator.patch(cars["changed"], limit_percent=90)
    simulator.patch(cars["away"], plugged_in=False)
    real_now = clock.real_now()
    described = head(
        written_at=now,
        written_real_at=real_now,
        heartbeat_real_at=real_now - timedelta(hours=1),
        clock_real=datetime.fromisoformat(told["real"]),
        clock_simulated=now,
        clock_speed=told["speed"],
        calls=CALLS,
    )
    data = sheet.sealed(described, export.owed(now=now), keys=[KEY])

    found = give_back(written(tmp_path / "sheet", data))

    assert found.ends == {"restored": 2, "limit changed by somebody else": 1}
    limits = {name: simulator.car(car)["limit_percent"] for name, car in cars.items()}
    assert limits == {"held": 80.0, "changed": 90.0, "away": 80.0}
    assert simulator.car(cars["held"])["charging"]


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("restored", HoldStatus.RESTORED),
        ("limit changed by somebody else", HoldStatus.RELEASED),
    ],
)
def test_what_became_of_a_limit_is_learnt(ada: Adas, end: str, status: str) -> None:
    ada.lower()
    at = ada.house.now.isoformat()
    line = {"run": 1, "seq": 1, "at": at, "did": "close", "hold": ada.hold.pk}

    learn.learn([{**line, "end": end, "reason": ""}], subject="x", now=ada.house.now)

    assert ada.hold.status == status


def test_a_limit_that_was_sent_without_us_waits_for_a_reading(ada: Adas) -> None:
    ada.lower()
    line = {"run": 1, "at": ada.house.now.isoformat(), "hold": ada.hold.pk}
    said = {"status": "accepted", "code": "", "request": "", "landed": True, "wait": 0}

    learn.learn(
        [
            {**line, "seq": 1, "did": "send"},
            {**line, "seq": 2, "did": "answer", **said},
        ],
        subject="x",
        now=ada.house.now,
    )

    command = Command.objects.latest("id")
    assert (command.kind, command.percent, command.status) == (
        "set limit", 80, "accepted",
    )  # fmt: skip
    ada.reports(limit_percent=80.0, is_charging=True)
    assert ada.hold.status == HoldStatus.RESTORED
