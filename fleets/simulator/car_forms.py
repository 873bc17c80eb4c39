"""Cars as the control face shows, takes in and changes them."""

from __future__ import annotations

import math

from fleets.simulator import makes, wire
from fleets.simulator.cars import ALL_PERMISSIONS, Car, draw_id
from fleets.simulator.lives import Session
from fleets.simulator.physics import Battery
from fleets.simulator.world import World

# What a hand-made car is where nothing is said.
ORDINARY: wire.Json = {
    "make": "TESLA",
    "model": "",
    "year": 2024,
    "region": "US",
    "battery_kwh": 75.0,
    "power_kw": 7.4,
    "soc_percent": 50.0,
    "limit_percent": 80,
    "plugged_in": False,
    "charging": True,
    "home": True,
    "departs_in_minutes": None,
    "permissions": ALL_PERMISSIONS,
    "remote_access": True,
    "user": "",
    "id": "",
    "label": "",
}
CHANGES = frozenset(
    {
        "plugged_in",
        "charging",
        "soc_percent",
        "limit_percent",
        "home",
        "departs_in_minutes",
        "drive_away",
        "permissions",
        "remote_access",
    }
)


def shown(world: World, car: Car, now: float) -> wire.Json:
    """Return the truth about a car."""
    battery, shadow = car.battery, car.shadow
    conditions = world.faults.of_car(car, now)
    return {
        "id": car.id,
        "user": car.user,
        "connection": car.connection,
        "label": car.label,
        "make": car.make,
        "model": car.model,
        "year": car.year,
        "region": car.region,
        "plugged_in": car.is_plugged_in,
        "charging": battery.is_charging,
        "soc_percent": round(battery.soc_percent_at(now), 3),
        "limit_percent": battery.limit_percent,
        "battery_kwh": round(battery.capacity_kwh, 3),
        "power_kw": round(battery.power_kw_at(now), 3),
        "rated_kw": round(battery.power_kw, 3),
        "home": car.is_home,
        "plugged_in_at": _iso(car.plugged_in_at),
        "departs_at": _iso(car.departs_at),
        "driving": now < car.drives_until,
        "timer_at_hour": car.timer_hour,
        "changed_at": _iso(car.changed_at),
        "stopped_by": car.stopped_by,
        "started_by": car.started_by,
        "reported_at": _iso(car.report.at if car.report else None),
        "permissions": list(car.permissions),
        "remote_access": car.has_remote_access,
        "conditions": {name: wire.iso(until) for name, until in conditions.items()},
        "shadow": {
            "charging": shadow.power_kw_at(now) > 0,
            "soc_percent": round(shadow.soc_percent_at(now), 3),
            "limit_percent": shadow.limit_percent,
        },
    }


def add(world: World, form: wire.Json, now: float) -> Car:
    """Take in a hand-made car; its life is what is done to it."""
    unknown = form.keys() - ORDINARY.keys()
    if unknown:
        raise ValueError(f"a car has no {', '.join(sorted(unknown))}")
    wanted = {**ORDINARY, **form}
    make = str(wanted["make"]).upper()
    known = makes.BY_NAME.get(make)
    model = wanted["model"] or (known.models[0][0] if known else "EV")
    capacity_kwh = _number(wanted, "battery_kwh", least=1, most=1000)
    soc_percent = _number(wanted, "soc_percent", least=0, most=100)
    power_kw = _number(wanted, "power_kw", least=0.1, most=1000)
    vehicle = str(wanted["id"] or draw_id(world.draw))
    if vehicle in world.fleet.by_id:
        raise ValueError("there is a car with this id already")
    battery = Battery(
        capacity_kwh=capacity_kwh,
        power_kw=power_kw,
        energy_kwh=capacity_kwh * soc_percent / 100,
        at=now,
        limit_percent=int(_number(wanted, "limit_percent", least=1, most=100)),
    )
    car = Car(
        index=len(world.fleet.cars),
        id=vehicle,
        user=str(wanted["user"] or draw_id(world.draw)),
        connection=draw_id(world.draw),
        make=make,
        model=str(model),
        year=int(wanted["year"]),
        region=str(wanted["region"]),
        label=str(wanted["label"]),
        power_kw=power_kw,
        battery=battery,
        shadow=battery,
        permissions=tuple(wanted["permissions"]),
        has_remote_access=bool(wanted["remote_access"]),
        is_home=bool(wanted["home"]),
        changed_at=now,
    )
    world.fleet.add(car, leads_life=False)
    if wanted["plugged_in"]:
        _plug_in(world, car, wanted, now)
        if not wanted["charging"]:
            world.fleet.rest(car, now)
    car.report = car.told_at(now)
    return car


def change(world: World, car: Car, wanted: wire.Json, now: float) -> None:
    """Change a car as its customer or the world would."""
    unknown = wanted.keys() - CHANGES
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))} cannot be changed")
    fleet = world.fleet
    if "permissions" in wanted:
        car.permissions = tuple(wanted["permissions"])
    if "remote_access" in wanted:
        car.has_remote_access = bool(wanted["remote_access"])
    if "limit_percent" in wanted:
        percent = int(_number(wanted, "limit_percent", least=1, most=100))
        fleet.set_limit(car, now, percent=percent, by="customer")
        fleet.limit_shadow(car, now, percent=percent)
    if wanted.get("drive_away"):
        fleet.plug_out(car, now)
    elif "plugged_in" in wanted and bool(wanted["plugged_in"]) != car.is_plugged_in:
        if wanted["plugged_in"]:
            soc_percent = car.battery.soc_percent_at(now)
            _plug_in(world, car, {"soc_percent": soc_percent, **wanted}, now)
        else:
            fleet.plug_out(car, now, drives=False)
    elif "soc_percent" in wanted:
        soc_percent = _number(wanted, "soc_percent", least=0, most=100)
        fleet.hold(car, now, soc_percent=soc_percent)
    if "home" in wanted:
        fleet.move(car, now, is_home=bool(wanted["home"]))
    if "departs_in_minutes" in wanted and car.is_plugged_in:
        fleet.depart_at(car, _departure(wanted, now))
    if "charging" in wanted and bool(wanted["charging"]) != car.battery.is_charging:
        if wanted["charging"]:
            fleet.start(car, now, by="customer")
        else:
            fleet.stop(car, now, by="customer")


def _plug_in(world: World, car: Car, wanted: wire.Json, now: float) -> None:
    departs_at = _departure(wanted, now)
    session = Session(
        plug_in=now,
        plug_out=math.inf if departs_at is None else departs_at,
        soc_percent=_number(wanted, "soc_percent", least=0, most=100),
        is_home=bool(wanted.get("home", True)),
    )
    world.fleet.plug_in(car, now, session=session)


def _departure(wanted: wire.Json, now: float) -> float | None:
    if wanted.get("departs_in_minutes") is None:
        return None
    return now + 60 * _number(wanted, "departs_in_minutes", least=0, most=1e6)


def _number(wanted: wire.Json, name: str, *, least: float, most: float) -> float:
    number = float(wanted[name])
    if not least <= number <= most:
        raise ValueError(f"{name} must be between {least:g} and {most:g}")
    return number


def _iso(at: float | None) -> str | None:
    return None if at is None else wire.iso(at)
