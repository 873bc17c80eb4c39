"""The face of Smartcar v3: token, connections, vehicles, signals and commands."""

from __future__ import annotations

import hmac
import json
import math
import secrets
from urllib.parse import parse_qsl

from fleets.clock import real_now
from fleets.simulator import makes, wire
from fleets.simulator.calls import Call
from fleets.simulator.cars import Car
from fleets.simulator.exchange import (
    Answer,
    Later,
    Never,
    Reply,
    Request,
    refused,
    told,
)
from fleets.simulator.faults import COMMANDS
from fleets.simulator.world import World

TOKEN_SECONDS = 3600
PAGE_SIZE = 10
PAGE_SIZE_MOST = 100
LOW_BATTERY_PERCENT = 4
PERCENTS = range(50, 101)
SLOW_SECONDS = (0.5, 5.0)
BEYOND_BOUND_SHARE = 0.25  # of slow commands become 202
BEYOND_BOUND = (1.02, 1.15)  # times the bound
RATE_LIMITED_SECONDS = (60, 180)  # two minutes were observed


class Smartcar:
    """Answers requests as Smartcar v3 does."""

    def __init__(self, world: World) -> None:
        """Answer for this world."""
        self.world = world

    def answer(self, request: Request) -> Answer:
        """Answer one request."""
        now = self.world.advance()
        path = request.path
        if path == "/oauth2/token":
            return self._token(request, now)
        if not path.startswith("/v3/"):
            return refused(wire.NO_SUCH_PATH)
        authorization = request.headers.get(b"authorization", b"")
        token = authorization[7:].decode("latin-1")
        is_known = self.world.tokens.get(token, -math.inf) > now
        if path.startswith("/v3/vehicles/"):
            return self._vehicle(request, now, is_known=is_known)
        call = self._receive("connections", request, now)
        if not is_known:
            return self._refuse(call, wire.UNAUTHORIZED)
        if path == "/v3/connections" and request.method == "GET":
            return self._connections(request, call)
        return self._refuse(call, wire.NO_SUCH_PATH)

    # Token and connections: free of charge

    def _token(self, request: Request, now: float) -> Reply:
        call = self._receive("token", request, now)
        try:
            if "json" in request.header(b"content-type"):
                wanted = json.loads(request.body)
            else:
                wanted = dict(parse_qsl(request.body.decode()))
            grant = wanted["grant_type"]
            client_id = str(wanted["client_id"])
            client_secret = str(wanted["client_secret"])
        except (ValueError, KeyError, TypeError):
            grant = client_id = client_secret = ""
        if grant != "client_credentials" or not client_id or not client_secret:
            return self._refuse_token(call, 400, "invalid_request")
        options = self.world.options
        if not _same(client_id, options.client_id) or not _same(
            client_secret, options.client_secret
        ):
            return self._refuse_token(call, 401, "invalid_client")
        token = secrets.token_urlsafe(32)
        tokens = self.world.tokens
        for old in [old for old, ends in tokens.items() if ends <= now]:
            del tokens[old]
        tokens[token] = now + TOKEN_SECONDS
        self.world.calls.answer(call, status=200, code=None)
        return told(
            {
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": TOKEN_SECONDS,
            }
        )

    def _refuse_token(self, call: Call, status: int, error: str) -> Reply:
        self.world.calls.answer(call, status=status, code=error)
        return told({"error": error, "error_description": error}, status=status)

    def _connections(self, request: Request, call: Call) -> Reply:
        wanted = request.parameters()
        try:
            number = int(wanted.get("page[number]", 1))
            size = int(wanted.get("page[size]", PAGE_SIZE))
        except ValueError:
            number = size = 0
        if number < 1 or not 1 <= size <= PAGE_SIZE_MOST:
            return self._refuse(call, wire.BAD_PAGE)
        user = request.header(b"sc-user-id") or wanted.get("filter[userId]")
        vehicle = wanted.get("filter[vehicleId]")
        cars = self.world.fleet.cars
        if vehicle:
            car = self.world.fleet.by_id.get(vehicle)
            cars = [car] if car else []
        if user:
            cars = [car for car in cars if car.user == user]
        if wanted.get("filter[vehicle.mode]", "live") != "live":
            cars = []
        first = (number - 1) * size
        since = self.world.began_at
        page = wire.page(
            [wire.connection(car, since=since) for car in cars[first : first + size]],
            number=number,
            size=size,
            total=len(cars),
            path="/v3/connections",
        )
        self.world.calls.answer(call, status=200, code=None)
        return told(page)

    # Vehicles: every call is counted

    def _vehicle(self, request: Request, now: float, *, is_known: bool) -> Answer:
        _, _, _, vehicle, *rest = request.path.split("/")
        kind = _kind(request.method, rest)
        percent, is_valid = _percent(request) if kind == "set-limit" else (None, True)
        car = self.world.fleet.by_id.get(vehicle)
        call = self._receive(kind or "unknown", request, now, vehicle, percent)
        if not is_known:
            return self._refuse(call, wire.UNAUTHORIZED)
        limits = self.world.limits
        wait_seconds = limits.take_application(now)
        if wait_seconds:
            seconds = _whole(wait_seconds)
            return self._refuse(call, wire.application_rate_limit(seconds))
        if kind is None:
            return self._refuse(call, wire.NO_SUCH_PATH)
        if car is None:
            return self._refuse(call, wire.NO_SUCH_VEHICLE)
        if call.user is None and kind != "vehicle":
            return self._refuse(call, wire.USER_MISSING)
        if call.user is not None and call.user != car.user:
            return self._refuse(call, wire.PERMISSION)
        if not is_valid:
            return self._refuse(call, wire.BAD_PERCENT)
        if not limits.take_monthly(car.index, now):
            return self._refuse(call, wire.MONTH_SPENT)
        wait_seconds = limits.take_vehicle(car.index, now)
        if wait_seconds:
            return self._refuse(call, wire.vehicle_rate_limit(_whole(wait_seconds)))
        faults = self.world.faults.of_call(car, kind, now)
        if "hang" in faults:
            return Never()
        if "slow" in faults:
            return self._slowly(call, car, faults, rest)
        return self._perform(call, car, now, faults, rest)

    def _slowly(
        self, call: Call, car: Car, faults: frozenset[str], rest: list[str]
    ) -> Later:
        """Answer after seconds; whatever happens, happens only then."""
        draw = self.world.draw
        bound = self.world.options.long_answer_after
        seconds = min(draw.uniform(*SLOW_SECONDS), bound * 0.9)
        if call.kind in COMMANDS and draw.random() < BEYOND_BOUND_SHARE:
            seconds = bound * draw.uniform(*BEYOND_BOUND)

        def find_out(is_accepted: bool) -> Reply:
            reply = self._perform(call, car, self.world.advance(), faults, rest)
            if is_accepted:
                call.status = 202
            return reply

        return Later(seconds, bound, find_out)

    def _perform(
        self,
        call: Call,
        car: Car,
        now: float,
        faults: frozenset[str],
        rest: list[str],
    ) -> Reply:
        problem = self._mishap(call.kind, faults) if faults else None
        if problem is None and call.kind in COMMANDS:
            problem = self._command(call, car, now, faults)
        if problem is not None:
            return self._refuse(call, problem)
        if call.kind in COMMANDS:
            self.world.number += 1
            body = wire.execution(
                number=f"{self.world.number:024x}",
                command=call.kind,
                percent=call.percent,
                began=call.at,
                ended=now,
            )
            self.world.calls.answer(call, status=200, code=None)
            return Reply(200, body)
        return self._read(call, car, now, rest)

    def _mishap(self, kind: str, faults: frozenset[str]) -> wire.Problem | None:
        """Return what goes wrong before the car is even asked."""
        if "server-error" in faults:
            return wire.INTERNAL
        if "rate-limited" in faults:
            return wire.vehicle_rate_limit(
                self.world.draw.randint(*RATE_LIMITED_SECONDS)
            )
        if "quota-spent" in faults:
            return wire.MONTH_SPENT
        if "reconnect-needed" in faults:
            return wire.RECONNECT
        if "maker-outage" in faults:
            return wire.KNOWN_ISSUE
        if kind in COMMANDS and "asleep" in faults:
            return wire.ASLEEP
        if kind in COMMANDS and "unreachable" in faults:
            return wire.UNREACHABLE
        return None

    def _command(
        self, call: Call, car: Car, now: float, faults: frozenset[str]
    ) -> wire.Problem | None:
        """Let the car obey, and return the problem that is told, if any."""
        problem = command_problem(car, call.kind, now)
        if problem is not None or "accepts-but-ignores" in faults:
            return problem
        fleet = self.world.fleet
        if call.kind == "stop" and "late-stop" in faults:
            fleet.stop_late(car, now)
            return wire.GATEWAY_TIMEOUT
        if call.kind == "stop":
            fleet.stop(car, now, by="api")
            if "restarts-by-itself" in faults:
                fleet.restart_soon(car, now)
        elif call.kind == "start":
            fleet.start(car, now, by="api")
        elif call.percent is not None:
            fleet.set_limit(car, now, percent=call.percent, by="api")
        self.world.calls.act(call, now)
        if "acts-but-times-out" in faults:
            return self.world.draw.choice((wire.NO_RESPONSE, wire.GATEWAY_TIMEOUT))
        return None

    def _read(self, call: Call, car: Car, now: float, rest: list[str]) -> Reply:
        if call.kind == "vehicle":
            self.world.calls.answer(call, status=200, code=None)
            return told({"data": wire.vehicle(car)})
        # A car that cannot be reached shows what it told last.
        is_silent = self.world.faults.silent_until(car, now) > now
        report = car.report if is_silent and car.report else car.told_at(now)
        meta = wire.stamps(report, retrieved_at=now)
        signals = [wire.resource(signal, meta) for signal in wire.signals(car, report)]
        if call.kind == "signal":
            found = [signal for signal in signals if signal["id"] == rest[1]]
            if not found:
                return self._refuse(call, wire.NO_SUCH_PATH)
            self.world.calls.answer(call, status=200, code=None)
            return told({"data": found[0]})
        body = wire.page(
            signals,
            number=1,
            size=len(signals),
            total=len(signals),
            path=f"/v3/vehicles/{car.id}/signals",
        )
        body["included"] = {"vehicle": wire.vehicle(car)}
        self.world.calls.answer(call, status=200, code=None)
        return told(body)

    def _receive(
        self,
        kind: str,
        request: Request,
        now: float,
        vehicle: str | None = None,
        percent: int | None = None,
    ) -> Call:
        return self.world.calls.receive(
            kind,
            at=now,
            real_at=real_now().timestamp(),
            vehicle=vehicle,
            user=request.header(b"sc-user-id") or None,
            percent=percent,
        )

    def _refuse(self, call: Call, problem: wire.Problem) -> Reply:
        self.world.calls.answer(call, status=problem.status, code=problem.name)
        return refused(problem)


def command_problem(car: Car, kind: str, now: float) -> wire.Problem | None:
    """Return why a car would not obey a command now, or nothing."""
    soc_percent = car.battery.soc_percent_at(now)
    if not makes.can(car.make, region=car.region, kind=kind, soc_percent=soc_percent):
        return wire.NOT_CAPABLE
    if "control_charge" not in car.permissions:
        return wire.PERMISSION
    if not car.has_remote_access:
        return wire.REMOTE_ACCESS_DISABLED
    if now < car.drives_until:
        return wire.IN_MOTION
    if kind == "set-limit":
        needs_plug = car.make in makes.LIMIT_NEEDS_PLUG
        return wire.NOT_CONNECTED if needs_plug and not car.is_plugged_in else None
    if not car.is_plugged_in:
        return wire.NOT_CONNECTED
    is_charging = car.battery.is_charging
    if kind == "start":
        if is_charging:
            return wire.CHARGING_IN_PROGRESS
        return wire.FULLY_CHARGED if car.battery.is_full_at(now) else None
    if is_charging:
        is_low = soc_percent < LOW_BATTERY_PERCENT
        return wire.LOW_BATTERY if is_low else None
    return wire.FULLY_CHARGED if car.battery.is_full_at(now) else wire.NOT_CHARGING


def _kind(method: str, rest: list[str]) -> str | None:
    """Return what a path below a vehicle asks for."""
    if method == "GET":
        if not rest:
            return "vehicle"
        if rest[0] == "signals" and len(rest) <= 2:
            return "signals" if len(rest) == 1 else "signal"
    if method == "POST" and rest[:2] == ["commands", "charge"] and len(rest) == 3:
        return rest[2] if rest[2] in COMMANDS else None
    return None


def _percent(request: Request) -> tuple[int | None, bool]:
    """Return the limit that is wanted, and whether it is one."""
    try:
        percent = json.loads(request.body)["data"]["attributes"]["percent"]
    except (ValueError, KeyError, TypeError):
        return None, False
    if isinstance(percent, bool) or not isinstance(percent, int):
        return None, False
    return percent, percent in PERCENTS


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


def _whole(seconds: float) -> int:
    """Return seconds for a header; a bucket that never refills says a day."""
    return 86_400 if seconds == math.inf else max(1, math.ceil(seconds))
