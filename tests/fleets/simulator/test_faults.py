"""Every fault by its name, met by exactly the next call."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from fleets.simulator.faults import NAMES, UnknownFault, plan_from, rates_from_text
from tests.fleets.simulator.conftest import Simulator
from tests.waiting import eventually

Make = Callable[..., Simulator]


@pytest.mark.parametrize(
    ("fault", "statuses", "code", "has_acted"),
    [
        ("asleep", {409}, "VEHICLE_STATE:ASLEEP", False),
        ("unreachable", {409}, "VEHICLE_STATE:UNREACHABLE", False),
        ("acts-but-times-out", {502, 504}, "UPSTREAM:NO_RESPONSE", True),
        ("late-stop", {504}, "UPSTREAM:NO_RESPONSE", False),
        (
            "reconnect-needed",
            {400},
            "CONNECTED_SERVICES_ACCOUNT:AUTHENTICATION_FAILED",
            False,
        ),
        ("quota-spent", {430}, "BILLING:VEHICLE_REQUEST_LIMIT", False),
        ("maker-outage", {502}, "UPSTREAM:KNOWN_ISSUE", False),
        ("server-error", {500}, "SERVER:INTERNAL", False),
        ("rate-limited", {429}, "RATE_LIMIT:VEHICLE", False),
    ],
)
def test_a_fault_meets_the_next_call_and_no_other(
    make_simulator: Make, fault: str, statuses: set[int], code: str, has_acted: bool
) -> None:
    simulator = make_simulator()
    car = simulator.add()
    simulator.put(f"cars/{car['id']}/faults", {fault: 1.0, "calls": 1})

    answer = simulator.call(car, "stop")

    assert answer.status in statuses
    assert answer.code == code
    assert simulator.car(car)["charging"] is not has_acted
    assert simulator.call(car, "stop").status == (409 if has_acted else 200)


def test_a_reset_forgets_how_often_a_fault_came(make_simulator: Make) -> None:
    simulator = make_simulator()
    car = simulator.add()
    simulator.put("faults", {"server-error": 1.0, "calls": 1})
    simulator.call(car, "stop")
    before = simulator.get("summary")["faults_drawn"]

    simulator.send("POST", "/_sim/reset", {})

    assert before == {"server-error": 1}
    assert simulator.get("summary")["faults_drawn"] == {}


def test_accepted_and_ignored_looks_like_success(make_simulator: Make) -> None:
    simulator = make_simulator()
    car = simulator.add()
    simulator.put("faults", {"accepts-but-ignores": 1.0, "calls": 1})

    answer = simulator.call(car, "stop")

    assert answer.body["data"]["attributes"]["status"] == {"value": "SUCCESS"}
    assert simulator.car(car)["charging"]
    assert simulator.get("calls")["calls"][-1]["acted"] is False


def test_a_late_stop_lands_minutes_later(make_simulator: Make) -> None:
    simulator = make_simulator()
    car = simulator.add()
    simulator.put("faults", {"late-stop": 1.0, "calls": 1})

    simulator.call(car, "stop")
    before = simulator.car(car)
    simulator.leap(10)

    assert before["charging"]
    assert (simulator.car(car)["charging"], simulator.car(car)["stopped_by"]) == (
        False,
        "api",
    )


def test_a_stopped_car_restarts_by_itself(make_simulator: Make) -> None:
    simulator = make_simulator()
    car = simulator.add()
    simulator.put("faults", {"restarts-by-itself": 1.0, "calls": 1})

    simulator.call(car, "stop")
    stopped = simulator.car(car)
    simulator.leap(10)

    assert not stopped["charging"]
    assert (simulator.car(car)["charging"], simulator.car(car)["started_by"]) == (
        True,
        "self",
    )


def test_an_episode_passes(make_simulator: Make) -> None:
    simulator = make_simulator(episode_minutes="10-20")
    car = simulator.add()
    simulator.put("faults", {"asleep": 1.0})
    asleep = simulator.call(car, "stop")
    simulator.put("faults", {"slow": 0.0, "hang": 0.0, "server-error": 1e-9})

    during = simulator.call(car, "stop")
    told_at = simulator.call(car, "signals/charge-ischarging").body["data"]["meta"]
    simulator.leap(21)
    after = simulator.call(car, "stop")

    assert asleep.code == during.code == "VEHICLE_STATE:ASLEEP"
    assert told_at["oemUpdatedAt"] < told_at["retrievedAt"]
    assert after.status == 200


def test_a_slow_command_is_told_in_the_body_of_a_202(make_simulator: Make) -> None:
    simulator = make_simulator(long_answer_after=0.05)
    simulator.put("faults", {"slow": 1.0})
    cars = [simulator.add() for _ in range(12)]

    answers = [simulator.call(car, "stop") for car in cars]

    long = [answer for answer in answers if answer.status == 202]
    assert long, "a quarter goes beyond the bound"
    assert all("content-length" not in answer.headers for answer in long)
    assert all(answer.body["data"]["type"] == "command-execution" for answer in answers)
    assert not any(simulator.car(car)["charging"] for car in cars)


def test_a_hanging_call_is_held_until_the_client_lets_go(make_simulator: Make) -> None:
    simulator = make_simulator()
    car = simulator.add()
    simulator.put("faults", {"hang": 1.0, "calls": 1})

    with pytest.raises(TimeoutError):
        simulator.call(car, "stop", timeout_seconds=0.2)

    assert simulator.get("summary")["unanswered"] == 1
    assert simulator.call(car, "stop").status == 200


def test_a_plan_for_one_kind_of_call_spares_the_others(make_simulator: Make) -> None:
    simulator = make_simulator()
    car = simulator.add()
    simulator.put("faults", {"server-error": 1.0, "calls": 1, "kinds": ["start"]})

    assert simulator.call(car, "stop").status == 200
    assert simulator.call(car, "start").status == 500
    assert simulator.call(car, "start").status == 200


def test_an_outage_is_of_one_make_and_passes(make_simulator: Make) -> None:
    simulator = make_simulator()
    car = simulator.add()
    simulator.put("faults", {"maker-outage": 1.0})

    def is_out() -> bool:
        simulator.leap(1)
        return simulator.call(car, "signals").status == 502

    eventually(is_out)
    simulator.put("faults", {})
    simulator.leap(21)

    assert simulator.call(car, "signals").status == 200


@pytest.mark.parametrize(
    "wanted",
    [{"asleeep": 0.1}, {"asleep": 1.1}, {"asleep": "often"}, {"asleep": True}],
)
def test_a_fault_that_means_nothing_is_refused(wanted: dict[str, object]) -> None:
    with pytest.raises(UnknownFault):
        plan_from(wanted)


def test_faults_are_read_from_text() -> None:
    text = ", ".join(f"{name}=0.1" for name in NAMES)

    assert rates_from_text(text) == dict.fromkeys(NAMES, 0.1)
    with pytest.raises(UnknownFault):
        rates_from_text("asleep")


def test_a_rate_is_met_about_as_often(make_simulator: Make) -> None:
    simulator = make_simulator(application_bucket=0, seed=3)
    draw = Random(1)
    cars = [simulator.add() for _ in range(20)]
    simulator.put("faults", {"server-error": 0.3})

    answers = [simulator.call(draw.choice(cars), "signals") for _ in range(200)]

    assert 30 <= sum(answer.status == 500 for answer in answers) <= 90
