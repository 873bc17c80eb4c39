"""What was decided, by columns: a whole fleet is too many for an object a car."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache

import numpy as np

from dispatch.planner.shapes import (
    ACTS,
    REASONS,
    Act,
    Bools,
    Codes,
    Ints,
    Reason,
)


@dataclass(frozen=True, slots=True)
class Intent:
    """One car, one act, one reason."""

    act: Act
    place: int  # of the car in the arrays
    event_id: int  # 0: of no event in particular
    reason: Reason
    limit_percent: int | None = None  # hold it by this limit; None: by a stop


@dataclass(frozen=True, eq=False)
class Intents:
    """Any number of them, in the order in which they were decided."""

    act_code: Codes  # in ACTS
    place: Ints
    event_id: Ints
    reason_code: Codes  # in REASONS
    limit_percent: Ints  # 0: by a stop

    @classmethod
    def of(
        cls,
        act: Act,
        places: Ints,
        reasons: Reason | Codes,
        *,
        event_id: int = 0,
        limit_percent: Ints | int = 0,
    ) -> Intents:
        """Return one act for each of these cars."""
        n = len(places)
        codes = code(reasons) if isinstance(reasons, Reason) else reasons
        return cls(
            np.full(n, ACTS.index(act), dtype=np.int8),
            places,
            np.full(n, event_id, dtype=np.int64),
            np.broadcast_to(np.asarray(codes, dtype=np.int8), n),
            np.broadcast_to(np.asarray(limit_percent, dtype=np.int64), n),
        )

    @classmethod
    def none(cls) -> Intents:
        """Return that nothing is to be done."""
        return cls.of(Act.SPARE, np.zeros(0, dtype=np.int64), Reason.UNKNOWN)

    @classmethod
    def joined(cls, parts: Sequence[Intents]) -> Intents:
        """Return them all, one part after the other."""
        return cls(
            *(
                np.concatenate([getattr(part, column.name) for part in parts])
                for column in fields(cls)
            )
        )

    def __getitem__(self, some: Bools | Ints) -> Intents:
        return Intents(*(getattr(self, column.name)[some] for column in fields(self)))

    def to(self, act: Act) -> Intents:
        """Return those with this act."""
        return self[self.act_code == ACTS.index(act)]

    def counted(self) -> dict[Act, int]:
        """Return how many there are of each act."""
        counts = np.bincount(self.act_code, minlength=len(ACTS)).tolist()
        return {act: n for act, n in zip(ACTS, counts, strict=True) if n}

    def by_reason(self) -> dict[Reason, Ints]:
        """Return the places by the reason."""
        return {
            REASONS[one]: self.place[self.reason_code == one]
            for one in np.unique(self.reason_code)
        }

    def __len__(self) -> int:
        return len(self.place)

    def __iter__(self) -> Iterator[Intent]:
        columns = (getattr(self, column.name).tolist() for column in fields(self))
        for act, place, event_id, reason, percent in zip(*columns, strict=True):
            yield Intent(ACTS[act], place, event_id, REASONS[reason], percent or None)


@cache
def code(reason: Reason) -> int:
    """Return where a reason stands in REASONS."""
    return REASONS.index(reason)
