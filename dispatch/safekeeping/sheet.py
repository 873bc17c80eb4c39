"""The sheet: all that is owed, and all that is needed to give it back. Pure.

One line of JSON for the head, one for each car, one that counts them; compressed, then
sealed as a whole (Fernet: AES-128-CBC under HMAC-SHA256), so that a sheet is read whole
and unaltered, or not at all. Fields that a newer version added are ignored.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from fleets.clock import Timeline

# Grows when an older reader would misunderstand a newer sheet.
FORMAT = 1
MARK = b"gridbalance sheet 1\n"
# Of a program's and a feeder's own ramp among what bounds a car; all others are
# envelopes.
RAMP_OF = "program "
RAMP_OF_FEEDER = "ramp of feeder "


class Unreadable(Exception):
    """This is no sheet, or none that our keys open; the message says which."""


class Give(StrEnum):
    """What has to be done for a car."""

    START = "start"  # it was stopped: start it
    LIMIT = "limit"  # its limit was lowered: set it back, while it is still ours


@dataclass(frozen=True, slots=True)
class Calls:
    """The provider's limits, and what was left of them."""

    capacity: float
    refill_per_minute: float
    left: float
    blocked_until: datetime | None = None
    vehicle_capacity: float = 6.0
    vehicle_refill_per_minute: float = 0.5


@dataclass(frozen=True, slots=True)
class Head:
    """Whose sheet it is, of when, and the rules by which it is given back."""

    installation: str
    written_at: datetime
    written_real_at: datetime
    # The main system's sign of life: the end of the loop's last turn.
    heartbeat_real_at: datetime | None
    clock_real: datetime
    clock_simulated: datetime
    clock_speed: float
    calls: Calls
    # kW a minute, by the name of what they bound.
    ramps: dict[str, float] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def timeline(self) -> Timeline:
        """Return the clock that the sheet's times are told by.

        One that stood still goes on at its own pace: nobody would ever be due.
        """
        if not self.clock_speed:
            return Timeline(self.written_real_at, self.written_at, 1.0)
        return Timeline(self.clock_real, self.clock_simulated, self.clock_speed)

    @property
    def alive_at(self) -> datetime:
        """Return the main system's last sign of life (real)."""
        return self.heartbeat_real_at or self.written_real_at


@dataclass(frozen=True, slots=True)
class Owed:
    """One car: who it is to the provider, what it is owed, and what was tried."""

    hold_id: int
    vehicle_id: str
    user_id: str
    make: str
    program: str
    give: Give
    power_kw: float
    taken_from: datetime  # when its state before us was read
    freshness_seconds: float  # how old its make's data may be
    latest_start_at: datetime | None = None
    ramps: tuple[str, ...] = ()  # the names of those that bound it
    # Of a limit: what to set back, and what we had set.
    percent: int | None = None
    our_percent: int | None = None
    # The end of our last call that took, and until when one may land late.
    stop_answered_at: datetime | None = None
    owed_until: datetime | None = None
    # A start, or a limit set back, that the main system sent: accepted or unknown.
    given: str | None = None
    given_at: datetime | None = None
    # It may be without our doing what it is owed: ask the car before acting.
    look_first: bool = False
    # Calls to this car: at once, and this month.
    calls_left: float = 1.0
    month_calls_left: int = 1


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet, opened."""

    head: Head
    owed: tuple[Owed, ...]


def new_key() -> str:
    """Return a fresh key for sealing."""
    return Fernet.generate_key().decode()


def cipher(keys: Sequence[str]) -> MultiFernet:
    """Return what seals with the first key and opens with any.

    Raise ValueError when there is none, or one is no key.
    """
    return MultiFernet([Fernet(key) for key in keys])


def sealed(head: Head, owed: Iterable[Owed], *, keys: Sequence[str]) -> bytes:
    """Return a sheet as it is kept; `owed` is read once, and never held whole."""
    press = zlib.compressobj(level=6)
    parts = [press.compress(_line(asdict(head)))]
    count = 0
    for car in owed:
        parts.append(press.compress(_line(_short(car))))
        count += 1
    parts += [press.compress(_line({"cars": count})), press.flush()]
    return MARK + cipher(keys).encrypt(b"".join(parts))


def opened(data: bytes, *, keys: Sequence[str]) -> Sheet:
    """Return what a sealed sheet says; raise Unreadable."""
    if not data.startswith(MARK):
        raise Unreadable("This is no sheet of Gridbalance.")
    try:
        plain = zlib.decompress(cipher(keys).decrypt(data[len(MARK) :]))
    except InvalidToken:
        raise Unreadable(
            "None of SAFEKEEPING_KEYS opens this sheet, or it is not whole."
        ) from None
    return _parsed(line for line in plain.splitlines() if line)


def _parsed(lines: Iterator[bytes]) -> Sheet:
    try:
        head = _head(json.loads(next(lines)))
        owed: list[Owed] = []
        for line in lines:
            values = json.loads(line)
            if "cars" in values:
                if values["cars"] != len(owed):
                    raise Unreadable("The sheet is not whole.")
                return Sheet(head, tuple(owed))
            owed.append(_made(Owed, values))
    except (StopIteration, ValueError, TypeError, KeyError) as error:
        raise Unreadable(f"The sheet is garbled: {error}") from None
    raise Unreadable("The sheet is not whole.")


def _head(values: dict[str, Any]) -> Head:
    if values["format"] > FORMAT:
        raise Unreadable("A newer version of Gridbalance wrote this sheet.")
    values["calls"] = _made(Calls, values["calls"])
    head: Head = _made(Head, values)
    return head


def _made(kind: type[Any], values: dict[str, Any]) -> Any:
    """Return an object of its known fields, with times as times."""
    known: dict[str, Any] = {}
    for one in fields(kind):
        if one.name not in values:
            continue
        value = values[one.name]
        if "datetime" in str(one.type) and value is not None:
            value = datetime.fromisoformat(value)
        if one.name == "give":
            value = Give(value)
        if one.name == "ramps" and isinstance(value, list):
            value = tuple(value)
        known[one.name] = value
    return kind(**known)


def _short(car: Owed) -> dict[str, object]:
    """Return a car's fields without what is not known: 100,000 lines add up."""
    return {name: value for name, value in asdict(car).items() if value is not None}


def _line(values: dict[str, Any]) -> bytes:
    text = json.dumps(values, default=_told, separators=(",", ":"))
    return text.encode() + b"\n"


def _told(value: object) -> str:
    """Return what JSON has no form for."""
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a sheet")
