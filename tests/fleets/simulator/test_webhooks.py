"""Webhooks, delivered to a receiver on the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.fleets.simulator.conftest import Receiver, Simulator
from tests.waiting import eventually

Make = Callable[..., Simulator]


def register(simulator: Simulator, receiver: Receiver) -> None:
    """Register and wait until the receiver has proved itself."""
    simulator.send("POST", "/_sim/webhooks", {"url": receiver.url})
    eventually(lambda: simulator.get("webhooks")["verified"])


def signal(event: dict[str, Any], code: str) -> Any:
    """Return one signal of an event."""
    return next(item for item in event["data"]["signals"] if item["code"] == code)


def test_a_stop_is_reported_after_the_makes_delay(
    make_simulator: Make, receiver: Receiver
) -> None:
    simulator = make_simulator()
    register(simulator, receiver)
    car = simulator.add(make="TOYOTA", soc_percent=51)
    simulator.leap(61)  # past the report of its plug-in
    eventually(lambda: receiver.events)
    receiver.events.clear()
    simulator.send("POST", "/_sim/webhooks", {})  # nothing more of what it told

    simulator.send("POST", "/_sim/webhooks", {"url": receiver.url})
    eventually(lambda: simulator.get("webhooks")["verified"])
    simulator.token = simulator.fetch_token().body["access_token"]
    stopped_at = simulator.call(car, "stop").body["data"]["meta"]["executedAt"]
    simulator.leap(29)
    early = [event for event in receiver.events if event["triggers"]]
    simulator.leap(62)
    eventually(
        lambda: (
            receiver.events
            and not signal(receiver.events[-1], "charge-ischarging")["body"]["value"]
        )
    )

    event = receiver.events[-1]
    assert not [
        item for item in early if not signal(item, "charge-ischarging")["body"]["value"]
    ]
    assert event["eventType"] == "VEHICLE_STATE"
    assert event["data"]["vehicle"]["id"] == car["id"]
    assert event["data"]["user"]["id"] == car["user"]
    assert event["meta"]["version"] == "4.0"
    assert event["meta"]["signalCount"] == 8
    told_at = signal(event, "charge-ischarging")["meta"]["oemUpdatedAt"]
    assert told_at > 1_700_000_000_000
    assert stopped_at < simulator.car(car)["reported_at"]
    assert all(receiver.signatures_are_right)


def test_after_verification_every_car_reports_once(
    make_simulator: Make, receiver: Receiver
) -> None:
    simulator = make_simulator()
    cars = {simulator.add(plugged_in=False, make="TESLA")["id"] for _ in range(3)}

    register(simulator, receiver)
    simulator.leap(6)
    eventually(lambda: len(receiver.events) >= 3)

    assert {event["data"]["vehicle"]["id"] for event in receiver.events} == cars
    assert receiver.events[0]["triggers"] == [{"type": "FIRST_DELIVERY"}]


def test_a_refused_delivery_is_tried_again_with_the_same_id(
    make_simulator: Make, receiver: Receiver
) -> None:
    simulator = make_simulator()
    simulator.add(plugged_in=False, make="TESLA")
    receiver.statuses = [500, 503]
    register(simulator, receiver)

    def tried(times: int) -> None:
        eventually(lambda: len(receiver.events) == times)
        eventually(lambda: simulator.get("summary")["webhooks"]["waiting"] <= 1)

    simulator.leap(6)
    tried(1)
    simulator.leap(0.5)
    tried(2)
    simulator.leap(1)
    tried(3)

    assert len({event["eventId"] for event in receiver.events}) == 1
    assert len({event["meta"]["deliveryId"] for event in receiver.events}) == 3
    eventually(lambda: simulator.get("summary")["webhooks"]["delivered"] == 1)


def test_after_four_tries_it_is_dropped(
    make_simulator: Make, receiver: Receiver
) -> None:
    simulator = make_simulator()
    simulator.add(plugged_in=False, make="TESLA")
    receiver.statuses = [500] * 10
    register(simulator, receiver)

    def is_dropped() -> bool:
        simulator.leap(1)
        return bool(simulator.get("summary")["webhooks"]["dropped"])

    eventually(is_dropped)

    assert len(receiver.events) == 4


def test_reports_are_lost_doubled_and_late(
    make_simulator: Make, receiver: Receiver
) -> None:
    simulator = make_simulator()
    simulator.put("faults", {"doubled-webhooks": 1.0, "reordered-webhooks": 1.0})
    simulator.add(plugged_in=False, make="TESLA")
    register(simulator, receiver)

    simulator.leap(6)
    simulator.leap(15)
    eventually(lambda: len(receiver.events) == 2)
    simulator.put("faults", {"lost-webhooks": 1.0})
    simulator.add(make="TESLA")
    simulator.leap(6)

    assert receiver.events[0]["eventId"] == receiver.events[1]["eventId"]
    eventually(lambda: simulator.get("summary")["webhooks"]["lost"])
    assert len(receiver.events) == 2


def test_a_sleeping_car_keeps_silent_until_it_wakes(
    make_simulator: Make, receiver: Receiver
) -> None:
    simulator = make_simulator()
    register(simulator, receiver)
    car = simulator.add(make="TESLA", plugged_in=False)
    simulator.put(f"cars/{car['id']}/faults", {"asleep": 1.0})
    simulator.patch(car, plugged_in=True)

    simulator.leap(30)
    while_asleep = simulator.get("summary")["webhooks"]["reported"]
    simulator.put(f"cars/{car['id']}/faults", {})
    simulator.leap(2)

    assert while_asleep == 0
    eventually(lambda: receiver.events)
    assert signal(receiver.events[0], "charge-ischargingcableconnected")["body"][
        "value"
    ]
