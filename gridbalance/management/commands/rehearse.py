"""`manage.py rehearse`: evenings under an event, before it is one.

The evenings are a simulated fleet's, or of recorded sessions. It decides by the planner
and writes nothing: no database, no processes. See dispatch/planner.md.
"""

from __future__ import annotations

import json
import math
import sys
from argparse import ArgumentTypeError
from dataclasses import asdict, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dispatch import charging_sessions
from dispatch.charging_sessions import UnreadableSessions
from dispatch.rehearsal import evening, season
from dispatch.rehearsal.figures import Figures
from dispatch.rehearsal.season import Catch
from dispatch.rehearsal.sessions import Sessions, winter_weekdays
from fleets.simulator.makes import MAKES
from gridbalance import simulated_sessions

DAY_MINUTES = 24 * 60
VEHICLES = 200  # about as many as the record has users


class Command(BaseCommand):
    """Say what an event and its restore would do to evenings of a fleet."""

    help = "Rehearse an event on a simulated fleet or a record; kW are per 1,000 cars."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--sessions", type=Path, metavar="FILE", help="default: a simulated fleet")
        add(
            "--charging-power", type=Path, metavar="FILE",
            help="of their users; default: the least that explains the sessions",
        )  # fmt: skip
        add("--vehicles", type=int, metavar="N", help=f"simulated; {VEHICLES}")
        add("--from", dest="since", type=date.fromisoformat, default="2019-10-01")
        add("--to", dest="until", type=date.fromisoformat, default="2020-01-31")
        add("--window", default="16:00-20:00", help="of the event, local time")
        add(
            "--departure", choices=["known", "ready-by", "learned"], default="known",
            help="what the planner goes by",
        )  # fmt: skip
        add("--departure-error-hours", type=_not_negative, default=0.0, metavar="H")
        add(
            "--arrivals", choices=["managed", "free"], default="free",
            help="cars that plug in after the event: they queue, or are left alone",
        )  # fmt: skip
        add(
            "--restore-within-hours", type=_positive, metavar="H",
            help="what was taken is charged again; default: by departure",
        )  # fmt: skip
        add(
            "--catch-minutes", default="5", metavar="M",
            help="until a plug-in is known; typical: drawn from the mix of makes",
        )  # fmt: skip
        add(
            "--target-kw",
            type=_positive,
            metavar="K",
            help="default: all that can be held",
        )
        add(
            "--cap-kw",
            type=_positive,
            metavar="C",
            help="default: found by the forecast",
        )
        add("--ramp-kw-per-minute", type=_positive, default=math.inf, metavar="R")
        add(
            "--times-power",
            type=_positive,
            default=1.0,
            metavar="X",
            help="cars' power",
        )
        add("--pooled-only", action="store_true", help="leave out the single days")
        add("--seed", type=int, default=1, help="of the fleet, of errors")
        add("--json", action="store_true", help="the last line is one JSON object")

    def handle(self, **options: Any) -> None:
        if options["since"] > options["until"]:
            raise CommandError(f"--from {options['since']} is after --to")
        try:
            evenings, whose = _evenings(options)
            found = season.rehearse(
                evenings.with_power(options["times_power"]),
                winter_weekdays(options["since"], options["until"]),
                _setting(options),
                single=not options["pooled_only"],
            )
        except (UnreadableSessions, season.NothingToRehearse) as error:
            raise CommandError(str(error)) from None
        self._tell(found, whose)
        if options["json"]:
            sys.stdout.write(json.dumps(_summary(found)) + "\n")

    def _tell(self, found: season.Season, whose: str) -> None:
        say = self.stdout.write
        say(
            f"{found.days} evenings, {found.cars} sessions of {found.enrolled_days}"
            f" car-evenings; {whose}"
        )
        say(f"{'per 1,000 cars':28}{'pooled':>10}{'p10':>10}{'p50':>10}{'p90':>10}")
        for field in fields(Figures):
            spread = found.spread.get(field.name, {})
            numbers = [getattr(found.pooled, field.name), *spread.values()]
            say(f"{field.name:28}" + "".join(f"{_short(one):>10}" for one in numbers))
        say(
            f"cap from the same days' truth: {_short(found.cap_from_truth_kw)} kW,"
            f" rebound {_short(found.truth.rebound_ratio)}"
        )
        say("frontier, by the forecast:")
        say(
            f"{'cap kW':>10}{'peak kW':>10}{'hours p50':>10}{'hours max':>10}"
            f"{'late':>10}"
        )
        for point in found.frontier:
            say("".join(f"{_short(one):>10}" for one in asdict(point).values()))


def _positive(text: str) -> float:
    number = _not_negative(text)
    if not number:
        raise ArgumentTypeError(f"{text} is not above 0")
    return number


def _not_negative(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.0 <= number < math.inf:
        raise ArgumentTypeError(f"{text} is no number from 0 on")
    return number


def _evenings(options: dict[str, Any]) -> tuple[Sessions, str]:
    """Return the evenings that the options ask for, and whose they are, in words."""
    if path := options["sessions"]:
        if options["vehicles"] is not None:
            raise CommandError("--vehicles is of a simulated fleet, not of --sessions")
        read, left_out = charging_sessions.read(path, options["charging_power"])
        return Sessions.of(read), f"{left_out} sessions of the file left out"
    if options["charging_power"]:
        raise CommandError("--charging-power goes with --sessions")
    vehicles = VEHICLES if options["vehicles"] is None else options["vehicles"]
    if vehicles < 1:
        raise CommandError("--vehicles: at least one")
    drawn = simulated_sessions.draw(
        vehicles,
        seed=options["seed"],
        since=options["since"],
        until=options["until"],
    )
    return drawn, f"{vehicles} simulated cars, seed {options['seed']}"


def _setting(options: dict[str, Any]) -> season.Setting:
    """Return the setting that the options ask for."""
    return season.Setting(
        window=_window(options["window"]),
        departure=options["departure"],
        departure_error_hours=options["departure_error_hours"],
        managed=options["arrivals"] == "managed",
        within_hours=options["restore_within_hours"],
        catches=_catches(options["catch_minutes"]),
        target_kw=options["target_kw"],
        cap_kw=options["cap_kw"],
        ramp_kw_per_minute=options["ramp_kw_per_minute"],
        seed=options["seed"],
    )


def _catches(text: str) -> list[Catch]:
    """Return how soon plug-ins are known, of one fleet or of the makes' shares."""
    if text == "typical":
        return [Catch(make.share, *make.fresh_after_minutes) for make in MAKES]
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1.0
    if not 0.0 <= minutes < DAY_MINUTES:
        raise CommandError(f"--catch-minutes {text}: neither minutes nor typical")
    return [Catch(1.0, minutes, minutes)]


def _window(text: str) -> tuple[int, int]:
    """Return the event's steps; it begins and ends in one evening."""
    try:
        begins, ends = (
            evening.step_of(datetime.strptime(part, "%H:%M").time())  # noqa: DTZ007
            for part in text.split("-")
        )
    except ValueError:
        raise CommandError(f"--window {text}: not like 16:00-20:00") from None
    if begins >= ends:
        raise CommandError(
            f"--window {text}: on a grid of 5 minutes it does not end after it begins,"
            " or it crosses noon"
        )
    return begins, ends


def _summary(found: season.Season) -> dict[str, Any]:
    """Return the pooled figures, and the rest beside them."""
    return {
        **asdict(found.pooled),
        "days": found.days,
        "cars": found.cars,
        "enrolled_days": found.enrolled_days,
        "cap_from_truth_kw": found.cap_from_truth_kw,
        "truth": asdict(found.truth),
        "single_days": found.spread,
        "frontier": [asdict(point) for point in found.frontier],
    }


def _short(number: float | None) -> str:
    if number is None:
        return "-"
    return f"{number:.3f}" if abs(number) < 10 else f"{number:,.0f}"
