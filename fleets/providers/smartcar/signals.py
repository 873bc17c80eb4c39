"""Signals, as `/signals` and webhooks carry them, to a `Report`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from fleets.providers.base import Report
from fleets.providers.smartcar.json_values import (
    flag,
    get,
    instant,
    items,
    number,
    text,
)

_IS_CHARGING = "charge-ischarging"
_STATUS = "charge-detailedchargingstatus"
_LIMITS = "charge-chargelimits"
_PLUGS = ("charge-ischargingcableconnected", "charge-ischargingcablelatched")
_CHARGING_BY_STATUS = {
    "CHARGING": True,
    "NOT_CHARGING": False,
    "FULLY_CHARGED": False,
}
_KW_PER_UNIT = {"w": 0.001, "watt": 0.001, "watts": 0.001}
_KW_PER_UNIT |= {"kw": 1.0, "kilowatt": 1.0, "kilowatts": 1.0}


def report(vehicle_id: str, signals: object) -> Report | None:
    """Return what a list of signals says; None without any time of the car's own.

    A signal that the car does not offer, or that is garbled, says nothing; the others
    count all the same. The time is that of `charge-ischarging`, which commands are
    judged by, else the newest of the others.
    """
    bodies: dict[str, object] = {}
    times: dict[str, datetime] = {}
    # Most messages carry one time, many times over.
    stamp: object = None
    moment: datetime | None = None
    for signal in items(signals):
        # A REST list wraps each signal in `attributes`, a webhook does not.
        inner = get(signal, "attributes") or signal
        code = text(get(inner, "code")).lower()
        if not code or text(get(inner, "status", "value")).upper() == "ERROR":
            continue
        bodies[code] = get(inner, "body")
        meta = get(signal, "meta") or get(inner, "meta")
        before, stamp = stamp, get(meta, "oemUpdatedAt")
        if stamp != before or type(stamp) is not type(before):
            moment = instant(stamp)
        if moment is not None:
            times[code] = moment
    observed_at = times.get(_IS_CHARGING) or max(times.values(), default=None)
    if observed_at is None:
        return None
    is_charging = _is_charging(bodies)
    limit_percent = _limit_percent(bodies.get(_LIMITS))
    return Report(
        vehicle_id=vehicle_id,
        observed_at=observed_at,
        is_plugged_in=_is_plugged_in(bodies, is_charging),
        is_charging=is_charging,
        soc_percent=_value(bodies, "tractionbattery-stateofcharge"),
        limit_percent=limit_percent,
        limit_observed_at=None if limit_percent is None else times.get(_LIMITS),
        power_kw=_power_kw(bodies.get("charge-wattage")),
        battery_kwh=_battery_kwh(bodies.get("tractionbattery-nominalcapacity")),
        is_home=flag(get(bodies.get("location-isathome"), "value")),
    )


def _value(bodies: Mapping[str, object], code: str) -> float | None:
    return number(get(bodies.get(code), "value"))


def _is_charging(bodies: Mapping[str, object]) -> bool | None:
    said = flag(get(bodies.get(_IS_CHARGING), "value"))
    if said is not None:
        return said
    status = text(get(bodies.get(_STATUS), "value")).upper()
    return _CHARGING_BY_STATUS.get(status)


def _is_plugged_in(
    bodies: Mapping[str, object], is_charging: bool | None
) -> bool | None:
    for code in _PLUGS:
        said = flag(get(bodies.get(code), "value"))
        if said is not None:
            return said
    return True if is_charging else None  # nothing charges without a cable


def _limit_percent(body: object) -> float | None:
    """Return the limit in force; without one, that which holds everywhere."""
    active = number(get(body, "activeLimit"))
    if active is not None:
        return active
    for entry in items(get(body, "values")):
        if text(get(entry, "type")).upper() == "GLOBAL":
            return number(get(entry, "limit"))
    return None


def _power_kw(body: object) -> float | None:
    value = number(get(body, "value"))
    unit = text(get(body, "unit")).strip().lower() or "w"
    factor = _KW_PER_UNIT.get(unit)
    return None if value is None or factor is None else value * factor


def _battery_kwh(body: object) -> float | None:
    capacity = get(body, "capacity")
    return number(get(capacity, "nominal") if isinstance(capacity, dict) else capacity)
