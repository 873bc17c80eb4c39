"""The face of Smartcar v3, over the wire."""

from __future__ import annotations

from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.fleets.simulator.conftest import Simulator

Make = Callable[..., Simulator]


def test_a_stop_and_a_start_change_the_car(make_simulator: Make) -> None:
    simulator = make_simulator()
    car = simulator.add()

    stopped = simulator.call(car, "stop")

    assert stopped.status == 200
    assert stopped.headers["sc-request-id"]
    attributes = stopped.body["data"]["attributes"]
    assert attributes["commandType"] == "charge-stop"
    assert attributes["status"] == {"value": "SUCCESS"}
    truth = simulator.car(car)
    assert (truth["charging"], truth["stopped_by"]) == (False, "api")
    assert truth["shadow"]["charging"]
    assert simulator.call(car, "start").status == 200
    assert simulator.car(car)["charging"]


@pytest.mark.parametrize(
    ("form", "what", "status", "code"),
    [
        ({}, "start", 409, "VEHICLE_STATE:CHARGING_IN_PROGRESS"),
        ({"charging": False}, "stop", 409, "VEHICLE_STATE:NOT_CHARGING"),
        ({"soc_percent": 80}, "stop", 409, "VEHICLE_STATE:FULLY_CHARGED"),
        ({"soc_percent": 80}, "start", 409, "VEHICLE_STATE:FULLY_CHARGED"),
        (
            {"plugged_in": False},
            "stop",
            409,
            "VEHICLE_STATE:CHARGING_PLUG_NOT_CONNECTED",
        ),
        ({"soc_percent": 2}, "stop", 409, "VEHICLE_STATE:LOW_BATTERY"),
        (
            {"remote_access": False},
            "stop",
            409,
            "VEHICLE_STATE:REMOTE_ACCESS_DISABLED",
        ),
        ({"permissions": ["read_charge"]}, "stop", 403, "PERMISSION:None"),
        # sold in the US it has a start and nothing else
        ({"make": "NISSAN"}, "stop", 501, "COMPATIBILITY:VEHICLE_NOT_CAPABLE"),
        # General Motors' cars obey from half a battery up
        (
            {"make": "CHEVROLET", "soc_percent": 49},
            "stop",
            501,
            "COMPATIBILITY:VEHICLE_NOT_CAPABLE",
        ),
    ],
)
def test_a_car_that_cannot_obey_says_why(
    make_simulator: Make, form: dict[str, Any], what: str, status: int, code: str
) -> None:
    simulator = make_simulator()
    car = simulator.add(**form)

    answer = simulator.call(car, what)

    assert (answer.status, answer.code) == (status, code)
    assert answer.body["errors"][0]["status"] == str(status)


def test_a_car_that_has_just_left_is_in_motion(make_simulator: Make) -> None:
    simulator = make_simulator()
    car = simulator.add()
    simulator.patch(car, drive_away=True)

    answer = simulator.call(car, "stop")

    assert answer.code == "VEHICLE_STATE:IN_MOTION"


def test_a_limit_below_the_charge_stops_and_a_higher_one_starts(
    make_simulator: Make,
) -> None:
    simulator = make_simulator()
    car = simulator.add(soc_percent=60)

    lowered = simulator.call(car, "set-limit", percent=50)
    while_low = simulator.car(car)
    simulator.call(car, "set-limit", percent=80)

    assert lowered.body["data"]["attributes"]["parameters"] == {"percent": 50}
    assert (while_low["charging"], while_low["limit_percent"]) == (False, 50)
    assert while_low["shadow"]["limit_percent"] == 80
    assert simulator.car(car)["charging"]


def test_a_car_that_waits_to_be_told_stays_off_when_its_limit_is_back(
    make_simulator: Make,
) -> None:
    simulator = make_simulator()
    car = simulator.add(make="VOLKSWAGEN", soc_percent=60)

    simulator.call(car, "set-limit", percent=50)
    simulator.call(car, "set-limit", percent=80)

    assert not simulator.car(car)["charging"]
    assert simulator.call(car, "start").status == 200


@pytest.mark.parametrize(
    ("make", "region", "code"),
    [
        # its maker wants the cable in
        ("HYUNDAI", "US", "VEHICLE_STATE:CHARGING_PLUG_NOT_CONNECTED"),
        ("TESLA", "US", None),
        # sold there it takes no limit at all
        ("HYUNDAI", "EUROPE", "COMPATIBILITY:VEHICLE_NOT_CAPABLE"),
        ("BMW", "US", "COMPATIBILITY:VEHICLE_NOT_CAPABLE"),
    ],
)
def test_a_parked_car_takes_a_limit_by_its_make_and_region(
    make_simulator: Make, make: str, region: str, code: str | None
) -> None:
    simulator = make_simulator()
    car = simulator.add(make=make, region=region, plugged_in=False)

    answer = simulator.call(car, "set-limit", percent=60)

    assert (answer.code if answer.status != 200 else None) == code


@pytest.mark.parametrize("percent", [49, 101, 80.5, "80", True])
def test_a_limit_that_is_none_is_refused(make_simulator: Make, percent: object) -> None:
    simulator = make_simulator()
    car = simulator.add()

    answer = simulator.call(car, "set-limit", percent=percent)

    assert (answer.status, answer.code) == (400, "VALIDATION:None")
    assert simulator.car(car)["limit_percent"] == 80


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_secret": "guessed"}, 401, "invalid_client"),
        ({"client_id": "somebody"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "invalid_request"),
        ({"client_id": ""}, 400, "invalid_request"),
    ],
)
def test_a_wrong_client_gets_no_token(
    make_simulator: Make, changes: dict[str, str], status: int, error: str
) -> None:
    simulator = make_simulator()

    answer = simulator.fetch_token(**changes)

    assert (answer.status, answer.body["error"]) == (status, error)


def test_a_token_lasts_a_simulated_hour(make_simulator: Make) -> None:
    simulator = make_simulator()
    car = simulator.add()

    simulator.leap(59)
    before = simulator.call(car, "signals")
    simulator.leap(2)
    after = simulator.call(car, "signals")

    assert before.status == 200
    assert (after.status, after.code) == (401, "UNAUTHORIZED:None")


def test_the_user_must_be_named_and_right(make_simulator: Make) -> None:
    simulator = make_simulator()
    car = simulator.add()

    nobody = simulator.call({**car, "user": ""}, "stop")
    somebody = simulator.call({**car, "user": "somebody"}, "stop")
    no_car = simulator.call({**car, "id": "none"}, "stop")

    assert (nobody.status, nobody.code) == (400, "VALIDATION:None")
    assert (somebody.status, somebody.code) == (403, "PERMISSION:None")
    assert (no_car.status, no_car.code) == (404, "RESOURCE_NOT_FOUND:PATH")
    assert simulator.car(car)["charging"]


def test_connections_are_walked_page_by_page(make_simulator: Make) -> None:
    simulator = make_simulator(vehicles=25)
    headers = {"authorization": f"Bearer {simulator.token}"}
    seen: list[str] = []

    path: str | None = "/v3/connections"
    while path:
        page = simulator.send("GET", path, headers=headers).body
        seen += [
            item["relationships"]["vehicle"]["data"]["id"] for item in page["data"]
        ]
        path = page["links"]["next"]

    assert page["meta"] == {"page": 3, "pageSize": 10, "totalCount": 25}
    assert seen == [car["id"] for car in simulator.get("cars")["cars"]]


def test_connections_are_filtered_by_user_and_vehicle(make_simulator: Make) -> None:
    simulator = make_simulator(vehicles=5)
    car = simulator.get("cars")["cars"][3]
    headers = {"authorization": f"Bearer {simulator.token}"}

    def ids(query: str, **more: str) -> list[str]:
        path = f"/v3/connections?{query}"
        page = simulator.send("GET", path, headers=headers | more).body
        return [item["id"] for item in page["data"]]

    assert car["connection"] in ids(f"filter[userId]={car['user']}")
    assert ids(f"filter[vehicleId]={car['id']}") == [car["connection"]]
    assert car["connection"] in ids("", **{"sc-user-id": car["user"]})
    assert ids("filter[userId]=nobody") == []


def test_signals_tell_the_state(make_simulator: Make) -> None:
    simulator = make_simulator()
    car = simulator.add(soc_percent=55, power_kw=7)

    listed = simulator.call(car, "signals").body
    one = simulator.call(car, "signals/charge-ischarging").body["data"]

    values = {item["id"]: item["attributes"]["body"] for item in listed["data"]}
    assert values["charge-ischarging"] == {"value": True}
    assert values["charge-detailedchargingstatus"] == {"value": "CHARGING"}
    assert values["charge-chargelimits"]["activeLimit"] == 80
    assert values["charge-wattage"] == {"value": 7000, "unit": "watts"}
    assert values["tractionbattery-stateofcharge"]["value"] == 55
    assert values["location-isathome"] == {"value": True}
    assert listed["meta"]["totalCount"] == len(listed["data"])
    assert one["attributes"]["body"] == {"value": True}
    assert one["meta"]["oemUpdatedAt"] > 1_700_000_000_000


def test_an_unplugged_car_has_no_wattage(make_simulator: Make) -> None:
    simulator = make_simulator()
    car = simulator.add(plugged_in=False)

    signal = simulator.call(car, "signals/charge-wattage").body["data"]

    assert signal["attributes"]["status"]["value"] == "ERROR"
    assert "body" not in signal["attributes"]


def test_the_application_bucket_runs_dry_and_fills(make_simulator: Make) -> None:
    simulator = make_simulator(application_bucket=2, application_refill=2)
    car = simulator.add()
    answers = [simulator.call(car, "signals") for _ in range(3)]

    simulator.leap(0.5)
    again = simulator.call(car, "signals")

    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[2].code == "RATE_LIMIT:SMARTCAR_API"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 30
    assert again.status == 200
    assert simulator.get("summary")["overdrawn"]["application"] == 1


def test_a_car_has_its_own_bucket(make_simulator: Make) -> None:
    simulator = make_simulator(vehicle_bucket=1, vehicle_refill=0.5)
    car, other = simulator.add(), simulator.add()

    first, second = simulator.call(car, "signals"), simulator.call(car, "signals")

    assert (first.status, second.status) == (200, 429)
    assert second.code == "RATE_LIMIT:VEHICLE"
    assert 1 <= int(second.headers["retry-after"]) <= 120
    assert simulator.call(other, "signals").status == 200


def test_a_month_has_so_many_calls(make_simulator: Make) -> None:
    simulator = make_simulator(monthly_calls=1)
    car = simulator.add()

    simulator.call(car, "stop")
    spent = simulator.call(car, "start")

    assert (spent.status, spent.code) == (430, "BILLING:VEHICLE_REQUEST_LIMIT")
    assert spent.body["errors"][0]["resolution"] == {"type": "CONTACT_SUPPORT"}
    assert simulator.get("summary")["overdrawn"]["monthly"] == 1


def test_one_connection_carries_many_calls(make_simulator: Make) -> None:
    simulator = make_simulator()
    connection = HTTPConnection("127.0.0.1", simulator.port, timeout=5)

    for _ in range(3):
        connection.request("GET", "/v3/nothing")
        response = connection.getresponse()
        assert response.status == 401
        response.read()

    connection.close()


def test_every_call_is_on_record(make_simulator: Make) -> None:
    simulator = make_simulator()
    car = simulator.add()
    since = simulator.get("calls")["last"]

    simulator.call(car, "set-limit", percent=70)
    simulator.call(car, "start")
    calls = simulator.get(f"calls?since={since}")["calls"]

    assert [(call["kind"], call["status"], call["acted"]) for call in calls] == [
        ("set-limit", 200, True),
        ("start", 409, False),
    ]
    assert calls[0]["percent"] == 70
    assert calls[1]["code"] == "VEHICLE_STATE:CHARGING_IN_PROGRESS"
    assert {call["vehicle"] for call in calls} == {car["id"]}
