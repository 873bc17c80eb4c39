"""What a giving came to, for people and for machines. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from dispatch.safekeeping.journal import SETTLED, Progress
from dispatch.safekeeping.sheet import Sheet

OPEN = "still to be given"
# A terminal is no place for more; the JSON has all of them.
SHOWN = 50


@dataclass(frozen=True, slots=True)
class StillOwed:
    """A car that has not got back what it is owed, as far as anybody knows."""

    hold: int
    vehicle: str
    end: str
    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a giving came to."""

    installation: str
    written_at: datetime  # the sheet
    began_at: datetime
    ended_at: datetime
    cars: int
    ends: dict[str, int]
    calls: int
    recalled: bool  # the main system came back and goes on
    still_owed: tuple[StillOwed, ...]

    @property
    def is_complete(self) -> bool:
        """Say whether nothing is owed any more."""
        return not self.still_owed

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        told = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
        }
        return {**told, "complete": self.is_complete}

    def lines(self) -> Iterator[str]:
        """Return it in words."""
        minutes = (self.ended_at - self.began_at).total_seconds() / 60
        yield (
            f"{self.installation}: {self.cars} cars owed at "
            f"{self.written_at:%Y-%m-%d %H:%M:%S} UTC; {self.calls} calls in "
            f"{minutes:.0f} min"
        )
        for end, count in sorted(self.ends.items()):
            yield f"  {count:>7,} {end}"
        for one in self.still_owed[:SHOWN]:
            yield f"  hold {one.hold}, vehicle {one.vehicle}: {one.end}, {one.reason}"
        if len(self.still_owed) > SHOWN:
            yield f"  and {len(self.still_owed) - SHOWN} more: see --json"
        if self.recalled:
            yield "The main system is back and goes on from here."


def of(
    sheet: Sheet,
    progress: Mapping[int, Progress],
    *,
    began_at: datetime,
    ended_at: datetime,
    calls: int,
    recalled: bool,
) -> Found:
    """Return what came of every car of a sheet."""
    cars = [(car, progress[car.hold_id]) for car in sheet.owed]
    return Found(
        installation=sheet.head.installation,
        written_at=sheet.head.written_at,
        began_at=began_at,
        ended_at=ended_at,
        cars=len(cars),
        ends=dict(Counter(str(one.end or OPEN) for _, one in cars)),
        calls=calls,
        recalled=recalled,
        still_owed=tuple(
            StillOwed(car.hold_id, car.vehicle_id, str(one.end or OPEN), one.reason)
            for car, one in cars
            if one.end not in SETTLED
        ),
    )
