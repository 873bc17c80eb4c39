"""Everything there is to compare: our rows, and what the cars and the provider saw."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dispatch.models import Command, GridEvent, Hold, Participation
from fleets.models import Enrolment
from gridbalance.demo.truth import Call, Truth

# A call leaves up to a second after its last look (engine rule 1), and two processes
# read one clock with some time between: real seconds, minutes where time runs fast.
CLOCK_SLACK = timedelta(seconds=1.25)


@dataclass(frozen=True)
class Evidence:
    """Everything there is to compare."""

    events: list[GridEvent]
    holds: list[Hold]
    commands: list[Command]
    participations: list[Participation]
    calls: list[Call]
    cars: dict[str, dict[str, Any]]
    summary: dict[str, Any]
    overnight: set[str]  # whose customers ever consented to be managed overnight
    slack: timedelta

    def holds_of(self) -> dict[str, list[Hold]]:
        """Return each car's holds in order, by the provider's id."""
        grouped: dict[str, list[Hold]] = defaultdict(list)
        for hold in self.holds:
            grouped[hold.vehicle.external_id].append(hold)
        return grouped

    def commands_of(self) -> dict[str, list[Command]]:
        """Return each car's commands in order, by the provider's id."""
        grouped: dict[str, list[Command]] = defaultdict(list)
        for command in self.commands:
            grouped[command.vehicle.external_id].append(command)
        return grouped

    def takes(self) -> dict[str, list[Call]]:
        """Return what was to hold each car: stops, and limits of ours."""
        return self._limits_and("stop", lambda hold: hold.our_limit_percent)

    def gives(self) -> dict[str, list[Call]]:
        """Return what was to give each car back: starts, and limits of its own."""
        return self._limits_and("start", lambda hold: hold.limit_percent)

    def _limits_and(
        self, kind: str, percent_of: Callable[[Hold], float | None]
    ) -> dict[str, list[Call]]:
        found = self.calls_of(kind)
        holds = self.holds_of()
        for car, calls in self.calls_of("set-limit").items():
            for call in calls:
                # Clocks may differ by more than lies between two holds.
                wanted = [
                    percent_of(hold)
                    for hold in holds[car]
                    if hold.opened_at <= call.at + self.slack
                    and (hold.closed_at or call.at) >= call.at - self.slack
                ]
                if call.percent is not None and call.percent in wanted:
                    found[car].append(call)
            found[car].sort(key=lambda call: call.sequence)
        return found

    def calls_of(self, kind: str) -> dict[str, list[Call]]:
        """Return the calls of one kind in order, by car."""
        grouped: dict[str, list[Call]] = defaultdict(list)
        for call in self.calls:
            if call.kind == kind and call.vehicle is not None:
                grouped[call.vehicle].append(call)
        return grouped


def collect(
    truth: Truth,
    *,
    speed: float,
    program: str | None = None,
    more_slack: timedelta = timedelta(),
) -> Evidence:
    """Gather rows and truth, of one program (by its code) or of all.

    The simulator must see no further calls for these cars meanwhile. Where clocks
    differ, or processes stand still, moments are compared with more slack.
    """
    events = GridEvent.objects.order_by("id")
    holds = Hold.objects.select_related("vehicle", "event").order_by("id")
    commands = Command.objects.select_related("vehicle").order_by("id")
    participations = Participation.objects.select_related("vehicle", "event")
    cars = {car["id"]: car for car in truth.cars()}
    calls = list(truth.calls())
    if program is not None:
        events = events.filter(program__code=program)
        holds = holds.filter(event__program__code=program)
        commands = commands.filter(event__program__code=program)
        participations = participations.filter(event__program__code=program)
        enrolled = set(
            Enrolment.objects.filter(program__code=program).values_list(
                "vehicle__external_id", flat=True
            )
        )
        cars = {key: car for key, car in cars.items() if key in enrolled}
        calls = [call for call in calls if call.vehicle in enrolled]
    return Evidence(
        events=list(events),
        holds=list(holds),
        commands=list(commands),
        participations=list(participations.order_by("id")),
        calls=calls,
        cars=cars,
        summary=truth.get("summary"),
        overnight=set(
            Enrolment.objects.filter(overnight_consented_at__isnull=False).values_list(
                "vehicle__external_id", flat=True
            )
        ),
        slack=more_slack + CLOCK_SLACK * max(speed, 1.0),
    )
