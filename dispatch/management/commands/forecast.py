"""`manage.py forecast score`: how good the forecast would have been on recorded days.

It reads files and writes nothing. See docs/forecast.md.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dispatch import charging_sessions
from dispatch.charging_sessions import UnreadableSessions
from dispatch.forecast import recorded
from dispatch.forecast.recorded import Trial


class Command(BaseCommand):
    help = "Score the forecast on held-out days of recorded charging sessions."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the files and the days."""
        acts = parser.add_subparsers(dest="act", required=True)
        score = acts.add_parser("score", help="intervals and pinball loss")
        add = score.add_argument
        add("--sessions", type=Path, required=True, metavar="FILE")
        add(
            "--charging-power", type=Path, metavar="FILE",
            help="of the users; default: the least that explains their sessions",
        )  # fmt: skip
        add("--time-zone", default="Europe/Oslo", help="of the file's times")
        add(
            "--to", dest="until", type=date.fromisoformat, metavar="DATE",
            help="last held-out day; default: before half of the cars have left",
        )  # fmt: skip
        add("--days", type=int, default=60, help="that are held out")
        add("--json", action="store_true", help="the last line is one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Try it, and tell."""
        try:
            zone = ZoneInfo(options["time_zone"])
            sessions, left_out = charging_sessions.read(
                options["sessions"], options["charging_power"], zone=zone
            )
            record = recorded.in_quarters(sessions, zone=zone)
            until = options["until"] or record.last_full_day()
            days = max(1, options["days"])
            trials = {
                name: recorded.try_out(record, values, until=until, days=days)
                for name, values in (
                    ("load", record.load_kw),
                    ("plugged_in", record.plugged_in),
                )
            }
        except (
            UnreadableSessions,
            recorded.TooShort,
            ZoneInfoNotFoundError,
            ValueError,
        ) as error:
            raise CommandError(str(error)) from None
        self._tell(left_out, until, days, trials)
        if options["json"]:
            self.stdout.write(json.dumps(summary(left_out, until, days, trials)))

    def _tell(
        self, left_out: int, until: date, days: int, trials: dict[str, Trial]
    ) -> None:
        say = self.stdout.write
        say(
            f"{days} held-out days up to {until}; {left_out} sessions of the"
            " file left out"
        )
        for name, trial in trials.items():
            model = trial.model
            say(
                f"{name}: 90 % interval held {model.covered(model.within_90):.1%},"
                f" 50 % {model.covered(model.within_50):.1%};"
                f" pinball loss {model.pinball:.3f}, best persistence"
                f" {trial.best_persistence:.3f}"
            )


def summary(
    left_out: int, until: date, days: int, trials: dict[str, Trial]
) -> dict[str, Any]:
    """Return the figures by name; the load's stand at the top."""
    figures = {name: _figures(trial) for name, trial in trials.items()}
    return {
        "held_out_days": days,
        "until": until.isoformat(),
        "sessions_left_out": left_out,
        **figures.pop("load"),
        **figures,
    }


def _figures(trial: Trial) -> dict[str, Any]:
    model = trial.model
    return {
        "quarter_hours": model.quarters,
        "coverage_90": round(model.covered(model.within_90), 4),
        "coverage_50": round(model.covered(model.within_50), 4),
        "pinball": round(model.pinball, 4),
        "pinball_persistence": round(trial.best_persistence, 4),
        "persistence": {
            name: {
                "pinball": round(score.pinball, 4),
                "coverage_90": round(score.covered(score.within_90), 4),
            }
            for name, score in trial.persistence.items()
        },
    }
