"""The whole world in a file, so that an evening goes on where it was stopped."""

from __future__ import annotations

import heapq
import json
import os
from collections import deque
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from fleets.clock import Timeline, real_now
from fleets.simulator import wire
from fleets.simulator.calls import CALLS_KEPT, Call
from fleets.simulator.cars import Car, Report
from fleets.simulator.faults import Plan
from fleets.simulator.limits import Bucket, LimitSettings, Overdrawn
from fleets.simulator.lives import Session
from fleets.simulator.options import Options
from fleets.simulator.physics import Battery
from fleets.simulator.webhooks import Delivery
from fleets.simulator.world import World, build_world, instant

VERSION = 1
_CAR_FIELDS = [field.name for field in fields(Car)]
_CALL_FIELDS = [field.name for field in fields(Call)]
_BATTERY_FIELDS = [field.name for field in fields(Battery)]
_SESSION_FIELDS = [field.name for field in fields(Session)]


def save(world: World, path: Path) -> None:
    """Write the world down; a file is whole or the one before."""
    text = json.dumps(_written(world), separators=(",", ":"))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def load(options: Options, path: Path) -> World:
    """Return the world as it was written, going on from this real instant."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    if kept["version"] != VERSION:
        raise ValueError(f"{path} was written by another version")
    world = build_world(options, empty=True)
    _read(world, kept)
    return world


def _written(world: World) -> wire.Json:
    fleet, faults, limits, hooks = (
        world.fleet,
        world.faults,
        world.limits,
        world.webhooks,
    )
    calls = world.calls
    on_the_wire = [(fleet.at, n, asdict(d)) for n, d in hooks.on_the_wire.items()]
    return {
        "version": VERSION,
        "now": fleet.at,
        "speed": world.timeline.speed,
        "began_at": world.began_at,
        "draw": world.draw.getstate(),
        "number": world.number,
        "tokens": world.tokens,
        "cars": [_listed(car, _CAR_FIELDS) for car in fleet.cars],
        "heap": fleet.heap,
        "heap_number": fleet.number,
        "handmade": sorted(fleet.handmade),
        "samples": list(fleet.samples),
        "charging": sorted(fleet.charging),
        "shadow_charging": sorted(fleet.shadow_charging),
        "begins": [
            [index, _listed(session, _SESSION_FIELDS)]
            for index, session in fleet.begins.items()
        ],
        "calls": [_listed(call, _CALL_FIELDS) for call in calls.calls],
        "call_counts": [calls.sequence, calls.kinds, calls.answers, calls.acted],
        "faults": {
            "everywhere": asdict(faults.everywhere),
            "cars": {vehicle: asdict(plan) for vehicle, plan in faults.cars.items()},
            "episodes": faults.episodes,
            "outages": faults.outages,
            "windows": faults.windows,
            "drawn": faults.drawn,
        },
        "limits": {
            "settings": asdict(limits.settings),
            "overdrawn": asdict(limits.overdrawn),
            "application": asdict(limits.application),
            "vehicles": [[i, asdict(b)] for i, b in limits.vehicles.items()],
            "monthly": list(limits.monthly.items()),
            "month": limits.month,
        },
        "webhooks": {
            "url": hooks.url,
            "id": hooks.id,
            "is_verified": hooks.is_verified,
            "number": hooks.number,
            "counts": hooks.counts,
            "waiting": [(at, n, asdict(d)) for at, n, d in hooks.waiting] + on_the_wire,
        },
    }


def _listed(thing: object, names: list[str]) -> list[Any]:
    """Return a thing's values in order; batteries within likewise."""
    values = []
    for name in names:
        value = getattr(thing, name)
        if isinstance(value, Battery):
            value = [getattr(value, name) for name in _BATTERY_FIELDS]
        values.append(value)
    return values


def _read(world: World, kept: wire.Json) -> None:
    world.timeline = Timeline(
        real=real_now(), simulated=instant(kept["now"]), speed=kept["speed"]
    )
    # Whoever stopped the process may have paused it first: the flag wins then.
    if not kept["speed"]:
        world.timeline = Timeline(
            real=world.timeline.real,
            simulated=world.timeline.simulated,
            speed=world.options.speed,
        )
    world.began_at = kept["began_at"]
    version, numbers, rest = kept["draw"]
    world.draw.setstate((version, tuple(numbers), rest))
    world.number = kept["number"]
    world.tokens = kept["tokens"]
    _read_fleet(world, kept)
    calls = world.calls
    calls.calls = deque((Call(*call) for call in kept["calls"]), maxlen=CALLS_KEPT)
    calls.sequence, kinds, answers, acted = kept["call_counts"]
    calls.kinds.update(kinds)
    calls.answers.update(answers)
    calls.acted.update(acted)
    _read_faults(world, kept["faults"])
    _read_limits(world, kept["limits"])
    _read_webhooks(world, kept["webhooks"])


def _read_fleet(world: World, kept: wire.Json) -> None:
    fleet = world.fleet
    for values in kept["cars"]:
        given = dict(zip(_CAR_FIELDS, values, strict=True))
        given["battery"] = Battery(*given["battery"])
        given["shadow"] = Battery(*given["shadow"])
        given["permissions"] = tuple(given["permissions"])
        given["report"] = given["report"] and Report(*given["report"])
        fleet.add(Car(**given))
    fleet.heap = [(at, n, what, car, turn) for at, n, what, car, turn in kept["heap"]]
    fleet.number = kept["heap_number"]
    fleet.handmade = set(kept["handmade"])
    fleet.at = kept["now"]
    fleet.samples.clear()
    fleet.samples.extend((at, kw, shadow) for at, kw, shadow in kept["samples"])
    fleet.charging = set(kept["charging"])
    fleet.shadow_charging = set(kept["shadow_charging"])
    fleet.begins = {index: Session(*values) for index, values in kept["begins"]}


def _read_faults(world: World, kept: wire.Json) -> None:
    faults = world.faults
    faults.everywhere = _plan(kept["everywhere"])
    faults.cars = {vehicle: _plan(plan) for vehicle, plan in kept["cars"].items()}
    faults.episodes = {car: (name, at) for car, (name, at) in kept["episodes"].items()}
    faults.outages = {make: (a, b) for make, (a, b) in kept["outages"].items()}
    faults.windows = kept["windows"]
    faults.drawn = kept["drawn"]


def _plan(kept: wire.Json) -> Plan:
    return Plan(kept["rates"], kept["calls"], tuple(kept["kinds"]))


def _read_limits(world: World, kept: wire.Json) -> None:
    limits = world.limits
    limits.settings = LimitSettings(**kept["settings"])
    limits.overdrawn = Overdrawn(**kept["overdrawn"])
    limits.application = Bucket(**kept["application"])
    limits.vehicles = {index: Bucket(**bucket) for index, bucket in kept["vehicles"]}
    limits.monthly = dict(kept["monthly"])
    limits.month = kept["month"]


def _read_webhooks(world: World, kept: wire.Json) -> None:
    hooks = world.webhooks
    given = world.options.webhook_url
    hooks.url = given or kept["url"]
    hooks.id = kept["id"]
    hooks.is_verified = kept["is_verified"] and hooks.url == kept["url"]
    hooks.number = kept["number"]
    hooks.counts.update(kept["counts"])
    hooks.waiting = [
        (at, n, Delivery(**delivery)) for at, n, delivery in kept["waiting"]
    ]
    heapq.heapify(hooks.waiting)
