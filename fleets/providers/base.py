"""What Gridbalance asks of a vehicle provider, whoever it is.

Errors are one family, named by what the caller does next:

    ProviderError
    ├── TryLater          nothing happened; again after `wait_seconds`, by `scope`
    │   ├── Asleep        same, but a car that is left alone wakes by itself
    │   └── TokenStale    same at once, after `renew_token`; but only once
    ├── OutcomeUnknown    it may have happened: read the car first, then decide
    ├── NothingToDo       the car is already beyond it; `state` says how
    ├── Refused           this car will not do it now; asking again soon is useless
    │   ├── AccessRevoked the owner must sign in or consent again
    │   ├── QuotaSpent    this month's calls for the car are used up
    │   └── Unsupported   this car never can
    └── Rejected          our mistake (bad request, wrong path): never repeat
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class VehicleKey:
    """How the provider knows a car and its owner."""

    vehicle_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Connection:
    """A car that its owner has connected, with what was granted."""

    key: VehicleKey
    make: str  # upper case, as "TESLA"
    model: str
    year: int | None
    permissions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Report:
    """What a car said of itself. None: it said nothing about that.

    `observed_at` is the car's own time, never that of the message. A limit may carry a
    time of its own: a parked car's changes while nothing else does.
    """

    vehicle_id: str
    observed_at: datetime
    is_plugged_in: bool | None = None
    is_charging: bool | None = None
    soc_percent: float | None = None
    limit_percent: float | None = None
    limit_observed_at: datetime | None = None
    power_kw: float | None = None
    battery_kwh: float | None = None
    is_home: bool | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The provider took a command: accepted, which is not done."""

    request_id: str = ""


class Scope(StrEnum):
    """How far a refusal reaches."""

    VEHICLE = "vehicle"
    MAKE = "make"
    APPLICATION = "application"


class CarState(StrEnum):
    """Why there was nothing to do."""

    CHARGING = "charging"
    NOT_CHARGING = "not charging"
    FULL = "full"
    UNPLUGGED = "unplugged"
    DRIVING = "driving"


class ProviderError(Exception):
    """A call did not end in acceptance. `code` is the provider's, for people."""

    def __init__(self, code: str, *, request_id: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.request_id = request_id


class TryLater(ProviderError):
    """Nothing happened. Ask again after `wait_seconds` (simulated), or a backoff."""

    def __init__(
        self,
        code: str,
        *,
        request_id: str = "",
        wait_seconds: float | None = None,
        scope: Scope = Scope.VEHICLE,
    ) -> None:
        super().__init__(code, request_id=request_id)
        self.wait_seconds = wait_seconds
        self.scope = scope


class Asleep(TryLater):
    """The car sleeps or has no signal; waking it in a loop would drain it."""


class TokenStale(TryLater):
    """Our own token was refused, so every call would be: renew it, ask once more."""

    def __init__(self, code: str, *, request_id: str = "") -> None:
        super().__init__(code, request_id=request_id, scope=Scope.APPLICATION)


class OutcomeUnknown(ProviderError):
    """The maker, the line or the clock failed: it may or may not have happened."""


class NothingToDo(ProviderError):
    """The car's own state makes the command pointless."""

    def __init__(self, code: str, state: CarState, *, request_id: str = "") -> None:
        super().__init__(code, request_id=request_id)
        self.state = state


class Refused(ProviderError):
    """This car will not do it now."""


class AccessRevoked(Refused):
    """The owner's login, consent or key is gone."""


class QuotaSpent(Refused):
    """The car's calls for this month, or the plan's, are used up."""


class Unsupported(Refused):
    """This car cannot do it at all."""


class Rejected(ProviderError):
    """The request itself was wrong."""


class Provider(Protocol):
    """The contract of an adapter.

    The async methods never touch the database, so thousands may run at once; each costs
    one call but `connections`, which is free. They use a token that the adapter holds.
    Whoever owns the event loop calls `fresh_token` before each run of it, and after a
    `TokenStale` calls `renew_token` and repeats once what was refused. Both are sync,
    may use the database and the wire, and belong outside any transaction.
    """

    def fresh_token(self, now: datetime) -> str:
        """Hold a token with some life left, and return it; raise TryLater."""
        ...

    def renew_token(self, now: datetime) -> str:
        """Hold another token than the one refused, and return it; raise TryLater."""
        ...

    async def stop_charging(self, key: VehicleKey) -> Receipt:
        """Ask the car to stop charging; raise one of the family otherwise."""
        ...

    async def start_charging(self, key: VehicleKey) -> Receipt:
        """Ask the car to charge; raise one of the family otherwise."""
        ...

    async def set_charge_limit(self, key: VehicleKey, percent: int) -> Receipt:
        """Ask for a charge limit of 50 to 100 %; raise one of the family otherwise."""
        ...

    async def read(self, key: VehicleKey) -> Report:
        """Return what the car reports now; raise one of the family otherwise."""
        ...

    def connections(self) -> AsyncIterator[Connection]:
        """Yield every connected car, to the last page."""
        ...
