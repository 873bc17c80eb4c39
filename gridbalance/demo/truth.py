"""The simulator's control face: what really happened to the cars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pyreqwest.client import SyncClient, SyncClientBuilder

from fleets.clock import Timeline

Json = Any
SECONDS = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Call:
    """A call that the simulator received, and whether the car acted."""

    sequence: int
    at: datetime
    vehicle: str | None
    kind: str
    status: int | None
    code: str | None
    acted_at: datetime | None
    percent: int | None = None  # of a limit


@dataclass(frozen=True, slots=True)
class Load:
    """True charging load at one minute, and what it had been without us (kW)."""

    at: datetime
    kw: float
    shadow_kw: float


class Truth:
    """Ask and tell a running simulator."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://127.0.0.1:{port}"
        self._client: SyncClient = (
            SyncClientBuilder().timeout(SECONDS).error_for_status(True).build()
        )

    def get(self, path: str) -> Json:
        """Return what stands below `/_sim/`."""
        return self._client.get(f"{self.origin}/_sim/{path}").build().send().json()

    def tell(self, method: str, path: str, body: Json) -> Json:
        """Change what stands below `/_sim/`."""
        request = self._client.request(method, f"{self.origin}/_sim/{path}")
        return request.body_json(body).build().send().json()

    def follow(self, timeline: Timeline) -> None:
        """Set the simulator's clock."""
        self.tell(
            "PUT",
            "clock",
            {
                "real": timeline.real.isoformat(),
                "simulated": timeline.simulated.isoformat(),
                "speed": timeline.speed,
            },
        )

    def cars(self) -> list[Json]:
        """Return every car's true state."""
        return list(self.get("cars")["cars"])

    def calls(self) -> Iterator[Call]:
        """Yield every call that was received, in order."""
        since = 0
        while True:
            page = self.get(f"calls?since={since}")
            for call in page["calls"]:
                since = call["sequence"]
                yield Call(
                    sequence=call["sequence"],
                    at=datetime.fromisoformat(call["at"]),
                    vehicle=call["vehicle"],
                    kind=call["kind"],
                    status=call["status"],
                    code=call["code"],
                    acted_at=(
                        datetime.fromisoformat(call["acted_at"])
                        if call["acted_at"]
                        else None
                    ),
                    percent=call["percent"],
                )
            if not page["calls"] or since >= page["last"]:
                return

    def load(self) -> list[Load]:
        """Return the load of each simulated minute since the start."""
        return [
            Load(datetime.fromisoformat(row["at"]), row["kw"], row["shadow_kw"])
            for row in self.get("load")["minutes"]
        ]
