"""What cars say, in all the shapes in which it comes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleets.providers.base import Report
from fleets.providers.smartcar.json_values import instant
from fleets.providers.smartcar.signals import report
from tests.strategies import json_values

AT = datetime(2026, 1, 12, 17, 0, tzinfo=UTC)


def signal(code: str, *, at: object = AT.timestamp(), **body: object) -> dict[str, Any]:
    return {
        "code": code,
        "status": {"value": "SUCCESS"},
        "body": body,
        "meta": {"retrievedAt": AT.timestamp() + 60, "oemUpdatedAt": at},
    }


def read(*signals: object) -> Report:
    found = report("v-1", list(signals))
    assert found is not None
    return found


def test_it_reads_every_signal_in_its_unit() -> None:
    found = read(
        signal("charge-ischarging", value=True),
        signal("charge-ischargingcableconnected", value=True),
        signal("tractionbattery-stateofcharge", value=55.5, unit="percent"),
        signal("charge-chargelimits", activeLimit=80, values=[]),
        signal("charge-wattage", value=7200, unit="W"),
        signal("tractionbattery-nominalcapacity", capacity=75, source="SMARTCAR"),
        signal("location-isathome", value=True),
    )

    assert found == Report(
        vehicle_id="v-1",
        observed_at=AT,
        is_plugged_in=True,
        is_charging=True,
        soc_percent=55.5,
        limit_percent=80.0,
        limit_observed_at=AT,
        power_kw=7.2,
        battery_kwh=75.0,
        is_home=True,
    )


def test_it_unwraps_the_items_of_a_rest_list() -> None:
    inner = signal("charge-ischarging", value=False)
    meta = inner.pop("meta")

    found = read({"id": "x", "type": "signal", "attributes": inner, "meta": meta})

    assert found.is_charging is False
    assert found.observed_at == AT


@pytest.mark.parametrize(
    "stamp",
    [
        AT.timestamp(),
        int(AT.timestamp() * 1000),
        "2026-01-12T17:00:00Z",
        "2026-01-12T18:00:00+01:00",
        "2026-01-12T17:00:00",
        str(int(AT.timestamp())),
    ],
)
def test_a_time_may_be_seconds_milliseconds_or_iso(stamp: object) -> None:
    assert instant(stamp) == AT


@pytest.mark.parametrize("stamp", [0, -1, None, True, "", "x", 1e300, [], "9" * 400])
def test_what_is_no_time_is_none(stamp: object) -> None:
    assert instant(stamp) is None


def test_the_time_is_that_of_charging_even_if_others_are_newer() -> None:
    later = (AT + timedelta(minutes=3)).timestamp()

    found = read(
        signal("tractionbattery-stateofcharge", value=50, at=later),
        signal("charge-ischarging", value=True),
    )

    assert found.observed_at == AT


def test_without_charging_the_time_is_the_newest() -> None:
    later = (AT + timedelta(minutes=3)).timestamp()

    found = read(
        signal("tractionbattery-stateofcharge", value=50),
        signal("location-isathome", value=True, at=later),
    )

    assert found.observed_at == AT + timedelta(minutes=3)


def test_a_report_without_any_time_of_the_cars_own_is_none() -> None:
    assert report("v-1", [signal("charge-ischarging", value=True, at=None)]) is None


def test_a_signal_in_error_says_nothing_and_spoils_nothing() -> None:
    bad = signal("charge-wattage", value=7000)
    bad["status"] = {"value": "ERROR", "error": {"type": "PERMISSION"}}

    found = read(bad, signal("charge-ischarging", value=True))

    assert found.power_kw is None
    assert found.is_charging is True


@pytest.mark.parametrize(
    ("body", "power_kw"),
    [
        ({"value": 7200, "unit": "watts"}, 7.2),
        ({"value": 7200}, 7.2),
        ({"value": 7.2, "unit": "kW"}, 7.2),
        # better no power than a wrong one
        ({"value": 7.2, "unit": "horsepower"}, None),
        ({"value": "7200", "unit": "W"}, None),
    ],
)
def test_power_goes_by_its_unit(body: dict[str, object], power_kw: float) -> None:
    found = read(signal("charge-wattage", **body))

    assert found.power_kw == pytest.approx(power_kw)


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ({"activeLimit": 70, "values": [{"type": "GLOBAL", "limit": 90}]}, 70.0),
        ({"activeLimit": None, "values": [{"type": "global", "limit": 90}]}, 90.0),
        ({"values": [{"type": "LOCATION", "limit": 60}]}, None),
        ({"values": "none"}, None),
    ],
)
def test_the_limit_in_force_goes_first(body: dict[str, Any], limit: float) -> None:
    assert read(signal("charge-chargelimits", **body)).limit_percent == limit


@pytest.mark.parametrize(
    ("status", "is_charging"),
    [("CHARGING", True), ("NOT_CHARGING", False), ("FULLY_CHARGED", False), (9, None)],
)
def test_the_detailed_status_stands_in(
    status: object, is_charging: bool | None
) -> None:
    found = read(signal("charge-detailedchargingstatus", value=status))

    assert found.is_charging is is_charging


def test_a_car_that_charges_is_plugged_in() -> None:
    assert read(signal("charge-ischarging", value=True)).is_plugged_in is True
    assert read(signal("charge-ischarging", value=False)).is_plugged_in is None


signals = st.lists(
    st.one_of(
        json_values,
        st.fixed_dictionaries(
            {
                "code": st.sampled_from(
                    [
                        "charge-ischarging",
                        "charge-wattage",
                        "charge-chargelimits",
                        "tractionbattery-nominalcapacity",
                    ]
                ),
                "body": json_values,
                "meta": st.fixed_dictionaries({"oemUpdatedAt": json_values}),
            }
        ),
    )
)


@given(signals=st.one_of(signals, json_values))
def test_no_signals_raise(signals: object) -> None:
    found = report("v-1", signals)

    assert found is None or found.observed_at.tzinfo is not None
