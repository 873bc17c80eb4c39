"""Smartcar v3's JSON shapes: signals, executions, connections, webhooks, errors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from fleets.simulator.cars import Car, Report

Json = dict[str, Any]
DOCUMENTATION = "https://smartcar.com/docs/errors"
SUCCESS: Json = {"value": "SUCCESS"}
_encode = json.JSONEncoder(separators=(",", ":")).encode

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    429: "Too Many Requests",
    430: "Request Limit Exceeded",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    504: "Gateway Timeout",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as Smartcar tells it."""

    status: int
    type: str
    code: str | None
    detail: str
    resolution: str | None = None
    url: str | None = None  # where the owner must go
    retry_after_seconds: int | None = None

    @property
    def name(self) -> str:
        """Return TYPE, or TYPE:CODE where there is a code."""
        return f"{self.type}:{self.code}" if self.code else self.type


def _state(code: str, detail: str, resolution: str | None = None) -> Problem:
    return Problem(409, "VEHICLE_STATE", code, detail, resolution)


CHARGING_IN_PROGRESS = _state("CHARGING_IN_PROGRESS", "The vehicle charges already.")
NOT_CHARGING = _state("NOT_CHARGING", "The vehicle is not charging.")
FULLY_CHARGED = _state("FULLY_CHARGED", "The vehicle has reached its limit.")
NOT_CONNECTED = _state("CHARGING_PLUG_NOT_CONNECTED", "The vehicle is not plugged in.")
IN_MOTION = _state("IN_MOTION", "The vehicle is being driven.")
ASLEEP = _state("ASLEEP", "The vehicle is asleep.")
UNREACHABLE = _state("UNREACHABLE", "The vehicle has no mobile signal.")
LOW_BATTERY = _state("LOW_BATTERY", "The vehicle's battery is low.", "RETRY_LATER")
REMOTE_ACCESS_DISABLED = _state(
    "REMOTE_ACCESS_DISABLED", "The owner has turned remote access off."
)
UNAUTHORIZED = Problem(401, "UNAUTHORIZED", None, "The token is missing or expired.")
PERMISSION = Problem(
    403, "PERMISSION", None, "The owner has not granted this.", "REAUTHENTICATE"
)
NO_SUCH_PATH = Problem(404, "RESOURCE_NOT_FOUND", "PATH", "There is no such path.")
NO_SUCH_VEHICLE = Problem(
    404, "RESOURCE_NOT_FOUND", "PATH", "There is no such vehicle."
)
NO_SUCH_METHOD = Problem(
    405, "RESOURCE_NOT_FOUND", "PATH", "The path does not take this method."
)
USER_MISSING = Problem(400, "VALIDATION", None, "The header sc-user-id is required.")
BAD_PERCENT = Problem(
    400, "VALIDATION", None, "percent must be an integer from 50 to 100."
)
BAD_PAGE = Problem(400, "VALIDATION", None, "page must be 1 or more, size 1 to 100.")
NOT_CAPABLE = Problem(
    501, "COMPATIBILITY", "VEHICLE_NOT_CAPABLE", "The vehicle cannot do this."
)
MONTH_SPENT = Problem(
    430,
    "BILLING",
    "VEHICLE_REQUEST_LIMIT",
    "The vehicle's calls of this month are used up.",
    "CONTACT_SUPPORT",
)
INTERNAL = Problem(500, "SERVER", "INTERNAL", "Something broke.", "RETRY_LATER")
NO_RESPONSE = Problem(
    502, "UPSTREAM", "NO_RESPONSE", "The maker did not answer.", "RETRY_LATER"
)
KNOWN_ISSUE = Problem(
    502, "UPSTREAM", "KNOWN_ISSUE", "The maker's service is down.", "RETRY_LATER"
)
GATEWAY_TIMEOUT = Problem(
    504, "UPSTREAM", "NO_RESPONSE", "The maker took too long.", "RETRY_LATER"
)
RECONNECT = Problem(
    400,
    "CONNECTED_SERVICES_ACCOUNT",
    "AUTHENTICATION_FAILED",
    "The owner must sign in again.",
    "REAUTHENTICATE",
    url="https://connect.smartcar.com/oauth/reauthenticate?response_type=vehicle_id",
)


def vehicle_rate_limit(seconds: int) -> Problem:
    """Return the answer to a car that is called too often."""
    detail = "Too many calls for this vehicle."
    return Problem(429, "RATE_LIMIT", "VEHICLE", detail, "RETRY_LATER", None, seconds)


def application_rate_limit(seconds: int) -> Problem:
    """Return the answer to an application that calls too often."""
    detail = "Too many calls for this application."
    return Problem(
        429, "RATE_LIMIT", "SMARTCAR_API", detail, "RETRY_LATER", None, seconds
    )


def encode(body: Json) -> bytes:
    """Return a body's bytes."""
    return _encode(body).encode()


def problem(told: Problem) -> Json:
    """Return the body of an error."""
    resolution: Json = {"type": told.resolution}
    if told.url:
        resolution["url"] = told.url
    error = {
        "status": str(told.status),
        "type": told.type,
        "code": told.code,
        "title": TITLES[told.status],
        "detail": told.detail,
        "links": {"about": f"{DOCUMENTATION}#{told.type.lower()}"},
        "resolution": resolution,
        "suggestedUserMessage": told.detail,
    }
    return {"errors": [error]}


def iso(at: float) -> str:
    """Return an instant as ISO 8601 text with milliseconds."""
    seconds, milliseconds = divmod(round(at * 1e6) // 1000, 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=4)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def stamp(at: float, *, as_text: bool = False) -> int | str:
    """Return an instant as Smartcar stamps it: milliseconds, or at times ISO text."""
    return iso(at) if as_text else round(at * 1000)


def execution(
    *, number: str, command: str, percent: int | None, began: float, ended: float
) -> bytes:
    """Return the body of a command that was accepted.

    A text with holes: the encoder took longer than all else that a command costs.
    """
    parameters = "" if percent is None else f',"parameters":{{"percent":{percent}}}'
    return (
        f'{{"data":{{"id":"exec_{number}","type":"command-execution","attributes":'
        f'{{"commandType":"charge-{command}","status":{{"value":"SUCCESS"}},'
        f'"executionMode":"sync"{parameters}}},"meta":{{"executedAt":"{iso(began)}",'
        f'"completedAt":"{iso(ended)}","durationInSeconds":{round(ended - began)}}}}}}}'
    ).encode()


def vehicle(car: Car) -> Json:
    """Return a vehicle resource."""
    return {"id": car.id, "type": "vehicle", "attributes": _attributes(car)}


def connection(car: Car, *, since: float) -> Json:
    """Return a connection resource: one car that its owner shares."""
    return {
        "id": car.connection,
        "type": "connection",
        "attributes": {
            "permissions": list(car.permissions),
            "vehicle": _attributes(car),
        },
        "relationships": {
            "vehicle": {"data": {"id": car.id, "type": "vehicle"}},
            "user": {"data": {"id": car.user, "type": "user"}},
        },
        "meta": {"createdAt": iso(since), "updatedAt": iso(since)},
    }


def _attributes(car: Car) -> Json:
    return {
        "make": car.make,
        "model": car.model,
        "year": car.year,
        "mode": "live",
        "powertrainType": "BEV",
    }


def signals(car: Car, report: Report) -> list[Json]:
    """Return what a car reported, signal by signal, without its time stamps."""
    capacity = car.battery.capacity_kwh
    status = "NOT_CHARGING"
    if report.is_charging:
        status = "CHARGING"
    elif report.is_full:
        status = "FULLY_CHARGED"
    limit = {"type": "GLOBAL", "limit": report.limit_percent, "condition": None}
    active = report.limit_percent if report.is_plugged_in else None
    bodies: list[tuple[str, str, str, Json | None]] = [
        ("charge-ischarging", "IsCharging", "Charge", {"value": report.is_charging}),
        (
            "charge-ischargingcableconnected",
            "IsChargingCableConnected",
            "Charge",
            {"value": report.is_plugged_in},
        ),
        (
            "charge-detailedchargingstatus",
            "DetailedChargingStatus",
            "Charge",
            {"value": status},
        ),
        (
            "charge-chargelimits",
            "ChargeLimits",
            "Charge",
            {"values": [limit], "activeLimit": active, "unit": "percent"},
        ),
        (
            "charge-wattage",
            "Wattage",
            "Charge",
            # Cars tell this only while they are plugged in.
            {"value": round(report.power_kw * 1000), "unit": "watts"}
            if report.is_plugged_in
            else None,
        ),
        (
            "tractionbattery-stateofcharge",
            "StateOfCharge",
            "TractionBattery",
            {"value": round(report.soc_percent, 1), "unit": "percent"},
        ),
        (
            "tractionbattery-nominalcapacity",
            "NominalCapacity",
            "TractionBattery",
            {
                "capacity": round(capacity, 1),
                "source": "SMARTCAR",
                "availableCapacities": [],
                "unit": "kWh",
            },
        ),
        ("location-isathome", "IsAtHome", "Location", {"value": report.is_home}),
    ]
    return [_signal(code, name, group, body) for code, name, group, body in bodies]


def stamps(report: Report, *, retrieved_at: float, as_text: bool = False) -> Json:
    """Return when a report was fetched and when the car had told it."""
    return {
        "retrievedAt": stamp(retrieved_at, as_text=as_text),
        "oemUpdatedAt": stamp(report.at, as_text=as_text),
    }


def _signal(code: str, name: str, group: str, body: Json | None) -> Json:
    if body is None:
        error = {"type": NOT_CHARGING.type, "code": NOT_CHARGING.code}
        status: Json = {"value": "ERROR", "error": error}
        return {"code": code, "name": name, "group": group, "status": status}
    return {
        "code": code,
        "name": name,
        "group": group,
        "status": SUCCESS,
        "body": body,
    }


def resource(signal: Json, meta: Json) -> Json:
    """Return a signal in the shape of the REST answers."""
    return {
        "id": signal["code"],
        "type": "signal",
        "attributes": signal,
        "meta": meta,
    }


def page(items: list[Json], *, number: int, size: int, total: int, path: str) -> Json:
    """Return one page of a list."""
    last = max(1, -(-total // size))

    def link(wanted: int) -> str:
        return f"{path}?page[number]={wanted}&page[size]={size}"

    return {
        "data": items,
        "meta": {"page": number, "pageSize": size, "totalCount": total},
        "links": {
            "self": link(number),
            "first": link(1),
            "last": link(last),
            "prev": link(number - 1) if number > 1 else None,
            "next": link(number + 1) if number < last else None,
        },
    }


def webhook_event(
    car: Car,
    told: list[Json],
    *,
    event: str,
    triggers: list[str],
) -> Json:
    """Return a vehicle's state event, without what differs from try to try."""
    changed = [
        {"type": "SIGNAL_UPDATED", "signal": {"code": code}} for code in triggers
    ]
    return {
        "eventId": event,
        "eventType": "VEHICLE_STATE",
        "data": {
            "user": {"id": car.user},
            "vehicle": {
                "id": car.id,
                "make": car.make,
                "model": car.model,
                "year": car.year,
            },
            "signals": told,
        },
        "triggers": changed or [{"type": "FIRST_DELIVERY"}],
    }
