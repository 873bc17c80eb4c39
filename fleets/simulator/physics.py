"""Battery arithmetic: what a battery holds at any instant, in closed form.

A battery is described by one instant and the way it goes on from there, so a fleet
costs nothing while nothing happens. Charging is flat to the knee and then falls
linearly with the energy held, which makes the energy an exponential of time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

KNEE = 0.9  # alternating current charges at full power nearly to the end
LEFT_AT_FULL = 0.3  # share of the power that is left at 100 %
STEP_PERCENT = 5  # a car reports its charge when it has crossed such a step
SECONDS_PER_HOUR = 3600.0
TINY_KWH = 1e-6  # below this a battery counts as having arrived


@dataclass(frozen=True, slots=True)
class Battery:
    """A battery at one instant, charging or not from there on."""

    capacity_kwh: float
    power_kw: float  # the lesser of the car's and the socket's
    energy_kwh: float
    at: float  # seconds since the epoch, simulated
    limit_percent: int = 100
    is_charging: bool = False

    @property
    def target_kwh(self) -> float:
        """Return the energy at which charging ends by itself."""
        return self.capacity_kwh * self.limit_percent / 100

    def energy_at(self, at: float) -> float:
        """Return the energy held at an instant not before the known one."""
        if not self.is_charging or at <= self.at:
            return self.energy_kwh
        hours = (at - self.at) / SECONDS_PER_HOUR
        knee_kwh = self.capacity_kwh * KNEE
        flat_hours = max(0.0, (knee_kwh - self.energy_kwh) / self.power_kw)
        if hours <= flat_hours:
            energy = self.energy_kwh + self.power_kw * hours
        else:
            fall = self._fall_per_kwh
            start_kwh = max(self.energy_kwh, knee_kwh)
            share = 1 - fall * (start_kwh - knee_kwh)
            share *= math.exp(-fall * self.power_kw * (hours - flat_hours))
            energy = knee_kwh + (1 - share) / fall
        return min(energy, max(self.target_kwh, self.energy_kwh))

    def soc_percent_at(self, at: float) -> float:
        """Return the state of charge at an instant."""
        return 100 * self.energy_at(at) / self.capacity_kwh

    def power_kw_at(self, at: float) -> float:
        """Return the power drawn at an instant: zero once the limit is reached."""
        if not self.is_charging:
            return 0.0
        energy = self.energy_at(at)
        if energy >= self.target_kwh - TINY_KWH:
            return 0.0
        above_knee = energy - self.capacity_kwh * KNEE
        if above_knee <= 0:
            return self.power_kw
        return self.power_kw * (1 - self._fall_per_kwh * above_knee)

    def is_full_at(self, at: float) -> bool:
        """Return whether the charge has reached the limit."""
        return self.energy_at(at) >= self.target_kwh - TINY_KWH

    def hours_to(self, energy_kwh: float) -> float:
        """Return how long it charges until it holds this energy."""
        knee_kwh = self.capacity_kwh * KNEE
        flat_end = min(energy_kwh, knee_kwh)
        hours = max(0.0, (flat_end - self.energy_kwh) / self.power_kw)
        if energy_kwh > knee_kwh:
            fall = self._fall_per_kwh
            before = 1 - fall * (max(self.energy_kwh, knee_kwh) - knee_kwh)
            after = 1 - fall * (energy_kwh - knee_kwh)
            if after < before:
                hours += math.log(before / after) / (fall * self.power_kw)
        return hours

    def full_at(self) -> float:
        """Return when charging ends by itself; never, if it does not charge."""
        if not self.is_charging:
            return math.inf
        return self.at + SECONDS_PER_HOUR * self.hours_to(self.target_kwh)

    def next_step_at(self) -> float:
        """Return when the next reportable step of charge is reached, or the end."""
        if not self.is_charging:
            return math.inf
        soc_percent = 100 * self.energy_kwh / self.capacity_kwh
        steps = math.floor(soc_percent / STEP_PERCENT + 1e-6) + 1
        step_kwh = self.capacity_kwh * steps * STEP_PERCENT / 100
        target_kwh = min(step_kwh, self.target_kwh)
        return self.at + SECONDS_PER_HOUR * self.hours_to(target_kwh)

    def started(self, at: float) -> Battery:
        """Return the battery with charging begun; a full one does not begin."""
        energy = self.energy_at(at)
        is_charging = energy < self.target_kwh - TINY_KWH
        return replace(self, energy_kwh=energy, at=at, is_charging=is_charging)

    def stopped(self, at: float) -> Battery:
        """Return the battery with charging ended."""
        return replace(self, energy_kwh=self.energy_at(at), at=at, is_charging=False)

    def known(self, at: float) -> Battery:
        """Return the same battery told from a later instant."""
        return replace(self, energy_kwh=self.energy_at(at), at=at)

    def limited(self, at: float, *, percent: int) -> Battery:
        """Return the battery with another limit, which may end its charging."""
        limited = replace(self.known(at), limit_percent=percent)
        if limited.is_charging and limited.is_full_at(at):
            return limited.stopped(at)
        return limited

    def holding(self, at: float, *, soc_percent: float) -> Battery:
        """Return the battery at another charge, not charging."""
        energy = self.capacity_kwh * soc_percent / 100
        return replace(self, energy_kwh=energy, at=at, is_charging=False)

    def arrived(self, at: float, *, soc_percent: float, power_kw: float) -> Battery:
        """Return the battery after a drive, at a plug of this power."""
        return replace(self.holding(at, soc_percent=soc_percent), power_kw=power_kw)

    @property
    def _fall_per_kwh(self) -> float:
        return (1 - LEFT_AT_FULL) / (self.capacity_kwh * (1 - KNEE))
