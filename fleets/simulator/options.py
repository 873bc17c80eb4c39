"""What the simulator can be told at its start."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from fleets.simulator.faults import NAMES, UnknownFault, rates_from_text

ORDINARY_VEHICLES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The settings of one run; see the flags of the same names."""

    host: str = "127.0.0.1"
    port: int = 8765
    vehicles: int | None = None
    seed: int = 1
    speed: float = 1.0
    start: datetime | None = None
    utc_offset: float = 0.0
    sessions: Path | None = None
    faults: str = ""
    episode_minutes: str = "10-20"
    freshness_scale: float = 1.0
    client_id: str = "gridbalance"
    client_secret: str = "gridbalance-secret"  # noqa: S105 - guards drawn cars alone
    management_token: str = "gridbalance-management-token"  # noqa: S105 - likewise
    webhook_url: str = ""
    application_bucket: float = 120
    application_refill: float = 2
    vehicle_bucket: float = 10
    vehicle_refill: float = 1
    monthly_calls: int = 500
    long_answer_after: float = 175.0
    state: Path | None = None

    @property
    def episode_span(self) -> tuple[float, float]:
        """Return the least and the most minutes that an episode lasts."""
        least, _, most = self.episode_minutes.partition("-")
        return float(least), float(most or least)


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the simulator's flags to a parser."""
    ordinary = Options()
    add = parser.add_argument
    add("--host", default=ordinary.host)
    add("--port", type=int, default=ordinary.port, help="0 takes a free one")
    add("--vehicles", type=int, help=f"{ORDINARY_VEHICLES}, or all of --sessions")
    add("--seed", type=int, default=ordinary.seed)
    add("--speed", type=float, default=ordinary.speed, help="simulated per real second")
    add("--start", type=_instant, help="ISO 8601; UTC if it says nothing else; now")
    add("--utc-offset", type=float, default=0.0, help="hours from UTC to local time")
    add("--sessions", type=Path, help="a CSV of recorded sessions to replay")
    add("--faults", type=_faults, default="", help=f"NAME=RATE,... of {_names()}")
    add("--episode-minutes", default=ordinary.episode_minutes, metavar="LEAST-MOST")
    add("--freshness-scale", type=float, default=1.0, help="of the makes' delays")
    for name in ("client_id", "client_secret", "management_token"):
        variable = f"SMARTCAR_{name.upper()}"
        standard = os.environ.get(variable) or getattr(ordinary, name)
        add(_flag(name), default=standard, help=f"or {variable}")
    add("--webhook-url", default="", help="where reports go, verified at the start")
    add("--application-bucket", type=float, default=ordinary.application_bucket)
    add("--application-refill", type=float, default=ordinary.application_refill)
    add("--vehicle-bucket", type=float, default=ordinary.vehicle_bucket)
    add("--vehicle-refill", type=float, default=ordinary.vehicle_refill)
    add("--monthly-calls", type=int, default=ordinary.monthly_calls)
    add(
        "--long-answer-after",
        type=float,
        default=ordinary.long_answer_after,
        help="real seconds after which a slow command answers 202",
    )
    add("--state", type=Path, help="a file to go on from, and to save to")


def read_options(argv: list[str]) -> Options:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser(prog="simulator", description=__doc__)
    add_to(parser)
    return from_namespace(vars(parser.parse_args(argv)))


def from_namespace(values: dict[str, object]) -> Options:
    """Return the options among parsed values; others are left alone."""
    known = {field.name for field in fields(Options)}
    wanted = {name: value for name, value in values.items() if name in known}
    return Options(**wanted)  # type: ignore[arg-type]  # the parser has converted them


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _names() -> str:
    return ", ".join(NAMES)


def _faults(text: str) -> str:
    try:
        rates_from_text(text)
    except UnknownFault as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not ISO 8601") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
