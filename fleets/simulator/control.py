"""The control face under `/_sim/`: the truth about the cars, and ways to change it.

Instants are ISO 8601 text in UTC, simulated unless the name says `real`. Errors are
`{"error": "..."}` with 400 or 404. No token is needed: the server is for loopback.

    GET  clock      {"real", "simulated", "speed", "now"}: a line through (real,
                    simulated), and what the clock shows now
    PUT  clock      any of {"real", "simulated", "speed"}; answers as GET
    POST pause      speed 0; answers as GET clock
    GET  cars       ?page=1&size=100 (all without them; user=, charging=true|false)
                    {"total", "at", "cars": [CAR]}
    GET  cars/{id}  CAR = {"id", "user", "connection", "label", "make", "model",
                    "year", "region", "plugged_in", "charging", "soc_percent",
                    "limit_percent", "battery_kwh", "power_kw" (drawn now),
                    "rated_kw" (at this plug), "home", "plugged_in_at", "departs_at",
                    "driving", "timer_at_hour" (local, or null), "changed_at",
                    "stopped_by", "started_by" (api|self|customer or null),
                    "reported_at", "permissions", "remote_access",
                    "conditions": {fault: until}, "shadow": {"charging",
                    "soc_percent", "limit_percent"} (had nobody commanded it)}
    POST cars       {"cars": [{...}]} or one object; any of make, model, year, region,
                    user, id, label, battery_kwh, power_kw, soc_percent,
                    limit_percent, plugged_in, charging, home, departs_in_minutes,
                    permissions, remote_access; -> 201 {"cars": [CAR]}
                    Such a car charges when plugged in unless "charging" is false.
    PATCH cars/{id} any of plugged_in, charging (the customer's own start or stop),
                    soc_percent, limit_percent (the customer's own), home,
                    departs_in_minutes, drive_away: true, permissions, remote_access;
                    -> CAR
    GET  calls      ?since=SEQ&limit=10000 -> {"last": SEQ, "calls": [{"sequence",
                    "at", "real_at", "vehicle", "user", "kind" (start|stop|set-limit|
                    signals|signal|vehicle|connections|token|unknown), "percent",
                    "status" (null while unanswered), "code" ("TYPE:CODE" or null),
                    "acted", "acted_at"}]}
                    A late answer fills in status, code and acted afterwards.
    GET  summary    {"at", "speed", "vehicles", "plugged_in", "charging",
                    "charging_kw", "shadow_charging", "shadow_kw", "calls",
                    "unanswered", "kinds": {kind: n}, "acted": {kind: n},
                    "answers": {code or status: n}, "overdrawn": {"application",
                    "vehicle", "monthly"}, "application_left", "faults_drawn": {},
                    "webhooks": {"url", "verified", "waiting", "reported",
                    "delivered", "retried", "dropped", "lost", "doubled",
                    "reordered"}}
    GET  load       ?since=ISO -> {"minutes": [{"at", "kw", "shadow_kw"}]}: true
                    charging load each simulated minute, and what the same cars would
                    have drawn had nobody commanded them
    GET, POST webhooks   {"url"} -> {"url", "id", "verified"}; verified soon after,
                    then every car reports once (FIRST_DELIVERY)
    GET, PUT faults {"rates": {name: rate}, "calls", "kinds"} and "cars": {id: the
                    same}; PUT takes {name: rate, ..., "calls": N, "kinds": [...]}:
                    with calls, exactly the next N calls (of these kinds) are met;
                    {} clears, episodes too
    PUT  cars/{id}/faults   the same for one car; -> {"rates", "calls", "kinds"}
    GET, PUT limits {"application_bucket", "application_refill", "vehicle_bucket",
                    "vehicle_refill", "monthly_calls"}; PUT any of them; the buckets
                    are full again
    POST reset      forget calls, counts, faults and samples; the cars stay
    POST save       write the state file; {"saved": path} or 400
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime

from fleets.clock import Timeline, real_now
from fleets.simulator import car_forms, wire
from fleets.simulator.calls import Call, CallLog
from fleets.simulator.exchange import Reply, Request, told
from fleets.simulator.faults import Plan, plan_from
from fleets.simulator.limits import Overdrawn
from fleets.simulator.world import World

PREFIX = "/_sim/"
CALLS_AT_ONCE = 10_000
COUNTED = (
    "reported",
    "delivered",
    "retried",
    "dropped",
    "lost",
    "doubled",
    "reordered",
)


class Control:
    """Answers requests below `/_sim/`."""

    def __init__(self, world: World, *, save: Callable[[], str]) -> None:
        """Show and change this world; `save` writes it down and says where."""
        self.world = world
        self._save = save

    def answer(self, request: Request) -> Reply:
        """Answer one request; what is wrong with it is told in words."""
        name, _, rest = request.path.removeprefix(PREFIX).strip("/").partition("/")
        try:
            wanted = json.loads(request.body) if request.body else {}
            now = self.world.advance()
            if name == "cars":
                return self._cars(request, rest, wanted, now)
            handler = _HANDLERS.get((request.method, name))
            if handler is None or rest:
                return told({"error": "there is no such path"}, status=404)
            return told(handler(self, request, wanted))
        except (ValueError, TypeError, AttributeError) as error:
            return told({"error": str(error)}, status=400)

    def _cars(
        self, request: Request, rest: str, wanted: wire.Json, now: float
    ) -> Reply:
        world = self.world
        vehicle, _, last = rest.partition("/")
        if not vehicle and request.method == "GET":
            return told(self._list(request, now))
        if not vehicle and request.method == "POST":
            forms = wanted.get("cars", [wanted])
            added = [car_forms.add(world, form, now) for form in forms]
            cars = [car_forms.shown(world, car, now) for car in added]
            return told({"cars": cars}, status=201)
        car = world.fleet.by_id.get(vehicle)
        if car is None:
            return told({"error": "there is no such car"}, status=404)
        if last == "faults" and request.method == "PUT":
            plan = world.faults.cars[car.id] = plan_from(wanted)
            if not plan.rates:
                del world.faults.cars[car.id]
                world.faults.episodes.pop(car.id, None)
            return told(_plan(plan))
        if request.method == "PATCH" and not last:
            car_forms.change(world, car, wanted, now)
        return told(car_forms.shown(world, car, now))

    def _list(self, request: Request, now: float) -> wire.Json:
        wanted = request.parameters()
        cars = self.world.fleet.cars
        if "user" in wanted:
            cars = [car for car in cars if car.user == wanted["user"]]
        if "charging" in wanted:
            is_charging = wanted["charging"] == "true"
            cars = [car for car in cars if car.battery.is_charging == is_charging]
        total = len(cars)
        if "page" in wanted or "size" in wanted:
            size = max(1, int(wanted.get("size", 100)))
            first = (max(1, int(wanted.get("page", 1))) - 1) * size
            cars = cars[first : first + size]
        shown = [car_forms.shown(self.world, car, now) for car in cars]
        return {"total": total, "at": wire.iso(now), "cars": shown}

    def _clock(self, request: Request, wanted: wire.Json) -> wire.Json:
        if request.method == "PUT":
            real = _instant(wanted["real"]) if "real" in wanted else real_now()
            simulated = (
                _instant(wanted["simulated"])
                if "simulated" in wanted
                else self.world.timeline.at(real)
            )
            speed = float(wanted.get("speed", self.world.timeline.speed))
            if speed < 0:
                raise ValueError("the speed must not be negative")
            self.world.set_clock(Timeline(real=real, simulated=simulated, speed=speed))
        timeline = self.world.timeline
        return {
            "real": timeline.real.isoformat(),
            "simulated": timeline.simulated.isoformat(),
            "speed": timeline.speed,
            "now": wire.iso(self.world.advance()),
        }

    def _pause(self, request: Request, wanted: wire.Json) -> wire.Json:
        self.world.pause()
        return self._clock(request, {})

    def _calls(self, request: Request, wanted: wire.Json) -> wire.Json:
        parameters = request.parameters()
        calls: list[wire.Json] = []
        for call in self.world.calls.since(int(parameters.get("since", 0))):
            if len(calls) >= int(parameters.get("limit", CALLS_AT_ONCE)):
                break
            calls.append(_call(call))
        last = calls[-1]["sequence"] if calls else self.world.calls.sequence
        return {"last": last, "calls": calls}

    def _summary(self, request: Request, wanted: wire.Json) -> wire.Json:
        world = self.world
        fleet, calls, webhooks = world.fleet, world.calls, world.webhooks
        now = fleet.at
        actual_kw, shadow_kw = fleet.load_kw(now)
        return {
            "at": wire.iso(now),
            "speed": world.timeline.speed,
            "vehicles": len(fleet.cars),
            "plugged_in": sum(car.is_plugged_in for car in fleet.cars),
            "charging": len(fleet.charging),
            "charging_kw": round(actual_kw, 2),
            "shadow_charging": fleet.shadow_count(now),
            "shadow_kw": round(shadow_kw, 2),
            "calls": calls.sequence,
            "unanswered": calls.sequence - calls.answers.total(),
            "kinds": dict(calls.kinds),
            "acted": dict(calls.acted),
            "answers": dict(calls.answers),
            "overdrawn": asdict(world.limits.overdrawn),
            "application_left": round(world.limits.application_left(now), 2),
            "faults_drawn": world.faults.drawn,
            "webhooks": {
                "url": webhooks.url,
                "verified": webhooks.is_verified,
                "waiting": len(webhooks.waiting) + len(webhooks.on_the_wire),
                **{name: webhooks.counts[name] for name in COUNTED},
            },
        }

    def _load(self, request: Request, wanted: wire.Json) -> wire.Json:
        since_text = request.parameters().get("since")
        since = _instant(since_text).timestamp() if since_text else 0.0
        minutes = [
            {"at": wire.iso(at), "kw": round(kw, 3), "shadow_kw": round(shadow_kw, 3)}
            for at, kw, shadow_kw in self.world.fleet.samples
            if at >= since
        ]
        return {"minutes": minutes}

    def _webhooks(self, request: Request, wanted: wire.Json) -> wire.Json:
        webhooks = self.world.webhooks
        if request.method == "POST":
            url = str(wanted.get("url", ""))
            if url and not url.startswith(("http://", "https://")):
                raise ValueError("the url must begin with http:// or https://")
            self.world.register_webhook(url)
        return {
            "url": webhooks.url,
            "id": webhooks.id,
            "verified": webhooks.is_verified,
        }

    def _faults(self, request: Request, wanted: wire.Json) -> wire.Json:
        faults = self.world.faults
        if request.method == "PUT":
            faults.everywhere = plan_from(wanted)
            if not faults.everywhere.rates:
                faults.forget()
        cars = {vehicle: _plan(plan) for vehicle, plan in faults.cars.items()}
        return {**_plan(faults.everywhere), "cars": cars}

    def _limits(self, request: Request, wanted: wire.Json) -> wire.Json:
        limits = self.world.limits
        if request.method == "PUT":
            amounts = {name: float(amount) for name, amount in wanted.items()}
            if any(amount < 0 for amount in amounts.values()):
                raise ValueError("limits must not be negative")
            limits.set(replace(limits.settings, **amounts), self.world.fleet.at)
        return asdict(limits.settings)

    def _reset(self, request: Request, wanted: wire.Json) -> wire.Json:
        world = self.world
        world.calls = CallLog()
        world.faults.everywhere = Plan()
        world.faults.cars.clear()
        world.faults.forget()
        world.faults.drawn.clear()
        world.fleet.samples.clear()
        world.webhooks.counts.clear()
        world.limits.overdrawn = Overdrawn()
        world.limits.monthly.clear()
        world.limits.set(world.limits.settings, world.fleet.at)
        return {}

    def _write(self, request: Request, wanted: wire.Json) -> wire.Json:
        return {"saved": self._save()}


_Handler = Callable[[Control, Request, wire.Json], wire.Json]
_HANDLERS: dict[tuple[str, str], _Handler] = {
    ("GET", "clock"): Control._clock,
    ("PUT", "clock"): Control._clock,
    ("POST", "pause"): Control._pause,
    ("GET", "calls"): Control._calls,
    ("GET", "summary"): Control._summary,
    ("GET", "load"): Control._load,
    ("GET", "webhooks"): Control._webhooks,
    ("POST", "webhooks"): Control._webhooks,
    ("GET", "faults"): Control._faults,
    ("PUT", "faults"): Control._faults,
    ("GET", "limits"): Control._limits,
    ("PUT", "limits"): Control._limits,
    ("POST", "reset"): Control._reset,
    ("POST", "save"): Control._write,
}


def _call(call: Call) -> wire.Json:
    return {
        "sequence": call.sequence,
        "at": wire.iso(call.at),
        "real_at": wire.iso(call.real_at),
        "vehicle": call.vehicle,
        "user": call.user,
        "kind": call.kind,
        "percent": call.percent,
        "status": call.status,
        "code": call.code,
        "acted": call.acted,
        "acted_at": None if call.acted_at is None else wire.iso(call.acted_at),
    }


def _plan(plan: Plan) -> wire.Json:
    return {"rates": plan.rates, "calls": plan.calls, "kinds": list(plan.kinds)}


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text.replace(" ", "+"))  # a bare + in a query
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
