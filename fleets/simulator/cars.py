"""One car: what it is, what it does, and what it last told its maker."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple
from uuid import UUID

from fleets.simulator.lives import DAY_SECONDS, HOUR_SECONDS, SOCKETS_KW, Replayed
from fleets.simulator.makes import MAKES
from fleets.simulator.physics import Battery

TWO_CARS = 0.06  # share of owners with a second car
OWN_TIMER = 0.12  # share of cars that wait for a cheap hour
ALL_PERMISSIONS = (
    "read_vehicle_info",
    "read_charge",
    "control_charge",
    "read_battery",
    "read_location",
    "read_vin",
)


class Report(NamedTuple):
    """What a car told its maker, and when."""

    at: float
    is_plugged_in: bool
    is_charging: bool
    is_full: bool
    soc_percent: float
    limit_percent: int
    power_kw: float
    is_home: bool


@dataclass(slots=True, kw_only=True)
class Car:
    """A car; times are simulated seconds since the epoch."""

    index: int
    id: str
    user: str
    connection: str
    make: str
    model: str
    year: int
    region: str
    label: str = ""
    power_kw: float  # at home
    battery: Battery
    shadow: Battery  # the same car had nobody commanded it
    timer_hour: float | None = None  # local: the car begins by itself then
    permissions: tuple[str, ...] = ALL_PERMISSIONS
    has_remote_access: bool = True
    is_plugged_in: bool = False
    is_home: bool = False
    plugged_in_at: float | None = None
    departs_at: float | None = None
    drives_until: float = -math.inf
    ends_charging: str = ""  # why it does not charge: stop, limit, full, customer
    stopped_by: str | None = None  # api, self, customer
    started_by: str | None = None
    changed_at: float = 0.0
    report: Report | None = None
    triggers: list[str] = field(default_factory=list)  # signals yet to be reported
    visit: int = 0  # counts plug-ins and departures, so old plans are told apart
    turn: int = 0  # counts changes of the battery, likewise

    def told_at(self, at: float) -> Report:
        """Return what the car would tell now."""
        battery = self.battery
        return Report(
            at=at,
            is_plugged_in=self.is_plugged_in,
            is_charging=battery.is_charging,
            is_full=self.is_plugged_in and battery.is_full_at(at),
            soc_percent=battery.soc_percent_at(at),
            limit_percent=battery.limit_percent,
            power_kw=battery.power_kw_at(at),
            is_home=self.is_home,
        )

    def timer_at(self, at: float, utc_offset_hours: float) -> float | None:
        """Return when the car's own timer begins in this evening, if still to come."""
        if self.timer_hour is None:
            return None
        offset = utc_offset_hours * HOUR_SECONDS
        noon = ((at + offset - DAY_SECONDS / 2) // DAY_SECONDS + 0.5) * DAY_SECONDS
        timer_at = noon - offset + (self.timer_hour - 12) * HOUR_SECONDS
        return timer_at if timer_at > at else None


def draw_cars(
    draw: Random, *, count: int, at: float, replayed: tuple[Replayed, ...] = ()
) -> Iterator[Car]:
    """Yield cars in the mix of the market, or as the recorded sessions tell."""
    shares = [make.share for make in MAKES]
    makes = draw.choices(MAKES, weights=shares, k=count)
    user = ""
    for index, make in enumerate(makes):
        past = replayed[index] if index < len(replayed) else None
        if not user or past or draw.random() >= TWO_CARS:
            user = draw_id(draw)
        model, capacity_kwh = draw.choice(make.models)
        power_kw = draw.choices(SOCKETS_KW, weights=(25, 50, 25))[0]
        limit_percent = draw.choices((80, 90, 100), weights=(60, 15, 25))[0]
        timer_hour = draw.uniform(22, 25) if draw.random() < OWN_TIMER else None
        if past:
            capacity_kwh, power_kw = past.capacity_kwh, past.power_kw
            limit_percent, timer_hour = 100, None  # the record knows neither
        battery = Battery(
            capacity_kwh=capacity_kwh,
            power_kw=power_kw,
            energy_kwh=capacity_kwh * draw.uniform(0.3, 0.8),
            at=at,
            limit_percent=limit_percent,
        )
        yield Car(
            index=index,
            id=draw_id(draw),
            user=user,
            connection=draw_id(draw),
            make=make.name,
            model=model,
            year=draw.randint(2019, 2026),
            region=draw.choices(("US", "EUROPE"), weights=(70, 30))[0],
            label=past.label if past else "",
            power_kw=power_kw,
            battery=battery,
            shadow=battery,
            timer_hour=timer_hour,
            changed_at=at,
        )


def draw_id(draw: Random) -> str:
    """Return an identifier in the form that Smartcar gives its things."""
    return str(UUID(int=draw.getrandbits(128), version=4))
