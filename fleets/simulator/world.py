"""Everything that is simulated, in one: the cars, the provider and their time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from fleets.clock import Timeline, real_now
from fleets.simulator.calls import CallLog
from fleets.simulator.cars import Car, Report, draw_cars
from fleets.simulator.faults import Faults, Plan, rates_from_text
from fleets.simulator.fleet import Fleet
from fleets.simulator.limits import Limits, LimitSettings
from fleets.simulator.lives import Evenings, Life, Replay, read_sessions
from fleets.simulator.options import ORDINARY_VEHICLES, Options
from fleets.simulator.webhooks import Webhooks


@dataclass(slots=True, kw_only=True)
class World:
    """The whole simulation; it only moves when `advance` is called."""

    options: Options
    timeline: Timeline
    began_at: float  # simulated
    fleet: Fleet
    faults: Faults
    limits: Limits
    webhooks: Webhooks
    draw: Random
    calls: CallLog = field(default_factory=CallLog)
    tokens: dict[str, float] = field(default_factory=dict)  # token -> ends, simulated
    number: int = 0  # of executions

    def __post_init__(self) -> None:
        """Let reports become webhooks."""
        self.fleet.on_report = self._report
        self.fleet.silent_until = self.faults.silent_until

    def advance(self) -> float:
        """Let everything happen that is due, and return the simulated time."""
        now = self.timeline.at(real_now()).timestamp()
        self.fleet.advance(now)
        return now

    def real_seconds(self, simulated_seconds: float) -> float:
        """Return how long a simulated span takes."""
        return self.timeline.real_seconds(timedelta(seconds=simulated_seconds))

    def set_clock(self, timeline: Timeline) -> None:
        """Follow another timeline, once all that is due by this one has happened."""
        self.advance()
        self.timeline = timeline

    def pause(self) -> None:
        """Stand still."""
        real = real_now()
        self.set_clock(Timeline(real=real, simulated=self.timeline.at(real), speed=0.0))

    def register_webhook(self, url: str) -> None:
        """Send reports there, beginning with a first one of every car."""
        self.webhooks.register(url)

    def deliver_first(self) -> None:
        """Let every car report itself once: the webhook has just been verified."""
        now = self.advance()
        for car in self.fleet.cars:
            self.fleet.report_soon(car, now)

    def _report(self, car: Car, report: Report, triggers: list[str]) -> None:
        if self.webhooks.url:
            faults = self.faults.of_webhook(car)
            self.webhooks.send(car, report, triggers, faults=faults)


def build_life(options: Options) -> Life:
    """Return the life that the cars lead."""
    if options.sessions:
        cars = read_sessions(options.sessions, vehicles=options.vehicles)
        return Replay(cars, options.utc_offset)
    return Evenings(options.seed, options.utc_offset)


def build_world(options: Options, *, empty: bool = False) -> World:
    """Return a new world; an empty one is filled from a saved state."""
    real = real_now()
    start = options.start or real
    at = start.timestamp()
    life = build_life(options)
    replayed = life.cars if isinstance(life, Replay) else ()
    count = ORDINARY_VEHICLES if options.vehicles is None else options.vehicles
    if replayed:
        count = len(replayed)
    cars = draw_cars(
        stream(options.seed, "cars"),
        count=0 if empty else count,
        at=at,
        replayed=replayed,
    )
    draw = stream(options.seed, "happenings")
    fleet = Fleet(
        cars=cars,
        life=life,
        draw=draw,
        at=at,
        utc_offset_hours=options.utc_offset,
        freshness_scale=options.freshness_scale,
    )
    limits = LimitSettings(
        application_bucket=options.application_bucket,
        application_refill=options.application_refill,
        vehicle_bucket=options.vehicle_bucket,
        vehicle_refill=options.vehicle_refill,
        monthly_calls=options.monthly_calls,
    )
    world = World(
        options=options,
        timeline=Timeline(
            real=real, simulated=start.astimezone(UTC), speed=options.speed
        ),
        began_at=at,
        fleet=fleet,
        faults=Faults(
            draw=draw,
            episode_minutes=options.episode_span,
            everywhere=Plan(rates_from_text(options.faults)),
        ),
        limits=Limits(limits, at),
        webhooks=Webhooks(draw=draw, management_token=options.management_token),
        draw=draw,
    )
    if options.webhook_url:
        world.register_webhook(options.webhook_url)
    return world


def instant(at: float) -> datetime:
    """Return simulated seconds as an instant."""
    return datetime.fromtimestamp(at, UTC)


def stream(seed: int, name: str) -> Random:
    """Return one of the streams of chance that the seed gives."""
    return Random(f"{seed}/{name}")  # noqa: S311 - a simulation
