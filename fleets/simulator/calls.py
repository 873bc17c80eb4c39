"""Every call that was received: the truth that others are checked against."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

CALLS_KEPT = 500_000  # a memory of some hundred MB at most; the counts go on


@dataclass(slots=True)
class Call:
    """One call; its answer is filled in when it is given."""

    sequence: int
    at: float  # simulated
    real_at: float
    kind: str  # start, stop, set-limit, signals, signal, vehicle, connections, token
    vehicle: str | None = None
    user: str | None = None
    percent: int | None = None
    status: int | None = None  # HTTP; none while it is unanswered
    code: str | None = None  # TYPE or TYPE:CODE of the error that was told
    acted: bool = False
    acted_at: float | None = None  # simulated


@dataclass(slots=True)
class CallLog:
    """The calls in the order of their coming."""

    calls: deque[Call] = field(default_factory=lambda: deque(maxlen=CALLS_KEPT))
    sequence: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    acted: Counter[str] = field(default_factory=Counter)

    def receive(
        self,
        kind: str,
        *,
        at: float,
        real_at: float,
        vehicle: str | None = None,
        user: str | None = None,
        percent: int | None = None,
    ) -> Call:
        """Note a call that has come."""
        self.sequence += 1
        self.kinds[kind] += 1
        call = Call(self.sequence, at, real_at, kind, vehicle, user, percent)
        self.calls.append(call)
        return call

    def answer(self, call: Call, *, status: int, code: str | None) -> None:
        """Note what it was answered."""
        call.status = status
        call.code = code
        self.answers[code or str(status)] += 1

    def act(self, call: Call, at: float) -> None:
        """Note that the car did what the call asked for."""
        call.acted = True
        call.acted_at = at
        self.acted[call.kind] += 1

    def since(self, sequence: int) -> Iterator[Call]:
        """Yield the calls after a sequence number."""
        missing = min(self.sequence - sequence, len(self.calls))
        for place in range(len(self.calls) - missing, len(self.calls)):
            yield self.calls[place]
