"""Are the promises kept? The simulator's truth against our rows, by other means.

It shares no code with the engine: it reads what was written down and what the cars and
the provider saw, and counts every contradiction to design section 2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from dispatch.models import Alarm, Change, Command, GridEvent, Hold, Participation
from fleets.models import Enrolment, Reading
from gridbalance.demo.truth import Call, Truth

# Two processes read one clock with this much real time between: some simulated seconds
# at high speed.
CLOCK_SLACK_REAL_SECONDS = 0.75
# Stops of a car and hold: one that counts and three that it ignored.
MOST_ATTEMPTS_THAT_LANDED = 4


@dataclass(frozen=True, slots=True)
class Breach:
    """A promise that was broken: which, for what, and how it shows."""

    promise: int
    what: str

    def __str__(self) -> str:
        return f"promise {self.promise}: {self.what}"


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

    def calls_of(self, kind: str) -> dict[str, list[Call]]:
        """Return the calls of one kind in order, by car."""
        grouped: dict[str, list[Call]] = defaultdict(list)
        for call in self.calls:
            if call.kind == kind and call.vehicle is not None:
                grouped[call.vehicle].append(call)
        return grouped


def collect(truth: Truth, *, speed: float, program: str | None = None) -> Evidence:
    """Gather rows and truth, of one program (by its code) or of all.

    The simulator must see no further calls for these cars meanwhile.
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
        slack=timedelta(seconds=CLOCK_SLACK_REAL_SECONDS * max(speed, 1.0)),
    )


def breaches(evidence: Evidence) -> list[Breach]:
    """Return every broken promise."""
    return [
        Breach(promise, what) for promise, check in CHECKS for what in check(evidence)
    ]


def durable_before_wire(seen: Evidence) -> Iterator[str]:
    """Every command that arrived has a row, a hold from before it, and an attempt."""
    holds = seen.holds_of()
    commands = seen.commands_of()
    for kind, row_kind in (("stop", "stop"), ("start", "start")):
        for car, calls in seen.calls_of(kind).items():
            attempts = sum(c.attempt for c in commands[car] if c.kind == row_kind)
            if len(calls) > attempts:
                yield f"{len(calls)} {kind} calls to {car}, {attempts} written down"
            opened = [hold.opened_at for hold in holds[car]]
            for call in calls:
                if not any(at <= call.at + seen.slack for at in opened):
                    yield f"{kind} of {car} at {call.at} before any hold"


def given_back(seen: Evidence) -> Iterator[str]:
    """Every car that a stop of ours reached charges again, or its customer acted."""
    open_holds = {
        hold.vehicle.external_id for hold in seen.holds if hold.closed_at is None
    }
    alarmed = set(
        Alarm.objects.filter(key__endswith=":unresolved", cleared_at=None).values_list(
            "key", flat=True
        )
    )
    for hold in seen.holds:
        if hold.status == "unresolved" and f"hold:{hold.pk}:unresolved" not in alarmed:
            yield f"hold {hold.pk} is unresolved without an alarm"
    for car, calls in seen.calls_of("stop").items():
        if not any(call.acted_at for call in calls):
            continue
        true = seen.cars[car]
        if true["stopped_by"] == "api" and not true["charging"]:
            full = true["soc_percent"] >= true["limit_percent"] - 0.1
            if true["plugged_in"] and not full and car not in open_holds:
                yield f"{car} was stopped, does not charge, and is owed nothing"
    for car, holds in seen.holds_of().items():
        for before, after in pairwise(holds):
            if before.closed_at is None or before.closed_at > after.opened_at:
                yield f"{car} had two open holds: {before.pk}, {after.pk}"


def restorable_in_time(seen: Evidence) -> Iterator[str]:
    """Nobody was held past a latest start: the first start had left by then."""
    starts = seen.calls_of("start")
    for car, holds in seen.holds_of().items():
        for hold in holds:
            latest = hold.latest_start_at
            if latest is None:
                continue
            if latest <= hold.opened_at:
                yield f"hold {hold.pk} was taken after its latest start"
            if hold.restoring_at is None:
                if hold.held_at and hold.closed_at and hold.closed_at > latest:
                    yield f"hold {hold.pk} was kept past its latest start {latest}"
                continue
            first = next(
                (call.at for call in starts[car] if call.at >= hold.opened_at), None
            )
            if first is not None and first > latest + seen.slack:
                yield f"first start of {car} at {first}, latest was {latest}"


def accepted_is_not_confirmed(seen: Evidence) -> Iterator[str]:
    """Each confirmation has a reading that is newer than the end of its call."""
    for command in seen.commands:
        confirmed_at = command.confirmed_at
        if command.status != "confirmed" or confirmed_at is None:
            continue
        if command.answered_at is None or command.confirmed_at is None:
            yield f"command {command.pk} is confirmed without an answer"
            continue
        charging = command.kind == "start"
        readings = Reading.objects.filter(
            vehicle_id=command.vehicle_id,
            observed_at__gt=command.answered_at,
            received_at__lte=confirmed_at + seen.slack,
            is_charging=charging,
        )
        if not readings.exists():
            yield f"command {command.pk} is confirmed without a newer reading"


def no_stale_command(seen: Evidence) -> Iterator[str]:
    """No stop arrived after its deadline, its event's end, or the customer's word."""
    events = {event.pk: event for event in seen.events}
    holds = seen.holds_of()
    opted_out = {
        (one.vehicle.external_id, one.event_id): one.opted_out_at
        for one in seen.participations
        if one.opted_out_at is not None
    }
    for car, calls in seen.calls_of("stop").items():
        for call in calls:
            hold = _newest(holds[car], call.at + seen.slack)
            if hold is None:
                continue
            event = events[hold.event_id]
            over_at = min(
                at
                for at in (event.ends_at, event.restoring_at, event.cancelled_at)
                if at is not None
            )
            if call.at > over_at + seen.slack:
                yield f"stop of {car} at {call.at}, over since {over_at}"
            left_at = opted_out.get((car, event.pk))
            if left_at is not None and call.at > left_at + seen.slack:
                yield f"stop of {car} at {call.at}, opted out at {left_at}"
    yield from _too_many(seen)


def _too_many(seen: Evidence) -> Iterator[str]:
    """Say of which holds more stops or starts reached the car than are allowed."""
    for kind in ("stop", "start"):
        calls = seen.calls_of(kind)
        for car, holds in seen.holds_of().items():
            landed = [call for call in calls[car] if call.acted_at is not None]
            for hold, after in zip(holds, [*holds[1:], None], strict=True):
                until = after.opened_at if after else datetime.max.replace(
                    tzinfo=hold.opened_at.tzinfo
                )  # fmt: skip
                mine = [call for call in landed if hold.opened_at <= call.at < until]
                if len(mine) > MOST_ATTEMPTS_THAT_LANDED:
                    yield f"{len(mine)} {kind} calls reached {car} for hold {hold.pk}"


def customer_first(seen: Evidence) -> Iterator[str]:
    """Nobody is started whom we did not stop, and no limit is raised."""
    stops = seen.calls_of("stop")
    commands = seen.commands_of()
    for car, starts in seen.calls_of("start").items():
        for call in starts:
            arrived = any(stop.at <= call.at for stop in stops[car])
            # One that left and was never answered has to be taken for arrived.
            in_doubt = any(
                command.kind == "stop"
                and command.may_have_landed
                and command.sent_at is not None
                and command.sent_at <= call.at + seen.slack
                for command in commands[car]
            )
            if not (arrived or in_doubt):
                yield f"start of {car} at {call.at}, never stopped"
    for car, calls in seen.calls_of("set-limit").items():
        yield f"{len(calls)} limits set for {car} that nobody decided"


def provider_limits(seen: Evidence) -> Iterator[str]:
    """The simulator counted no call beyond its buckets."""
    for bucket, count in seen.summary["overdrawn"].items():
        if count:
            yield f"{count} calls beyond the {bucket} bucket"


def nothing_left_behind(seen: Evidence) -> Iterator[str]:
    """No command waits and no event owes anything once all is completed."""
    if any(event.is_running for event in seen.events):
        return
    for command in seen.commands:
        if command.status in {"queued", "sending", "unknown"}:
            yield f"command {command.pk} is left {command.status}"
    told = set(
        Change.objects.filter(subject="hold").values_list("subject_id", flat=True)
    )
    for hold in seen.holds:
        if hold.pk not in told:
            yield f"hold {hold.pk} has no history"


def everything_explained(seen: Evidence) -> Iterator[str]:
    """Every car and event has its reason."""
    for one in seen.participations:
        if not one.reason:
            yield f"participation {one.pk} has no reason"
    for hold in seen.holds:
        is_unexplained = (
            not hold.reason
            or (hold.status in {"restored", "released"} and not hold.close_reason)
            or (hold.status in {"restoring", "restored"} and not hold.restore_reason)
        )
        if is_unexplained:
            yield f"hold {hold.pk} does not say why"


Check = Callable[[Evidence], Iterable[str]]
CHECKS: tuple[tuple[int, Check], ...] = (
    (1, durable_before_wire),
    (2, given_back),
    (3, restorable_in_time),
    (4, accepted_is_not_confirmed),
    (5, no_stale_command),
    (6, customer_first),
    (7, provider_limits),
    (8, nothing_left_behind),
    (10, everything_explained),
)


def _newest(holds: list[Hold], at: datetime) -> Hold | None:
    """Return the hold that was open, or opened last, at a moment."""
    before = [hold for hold in holds if hold.opened_at <= at]
    return before[-1] if before else None
