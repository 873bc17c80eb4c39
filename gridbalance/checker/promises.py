"""The promises of design section 2, each asked of the evidence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from dispatch.models import Alarm, Change, GridEvent, Hold
from fleets.models import Reading
from gridbalance.checker.evidence import Evidence

# Stops of a car and hold: one that counts and three that it ignored.
MOST_ATTEMPTS_THAT_LANDED = 4
# A car that joins those that wait after an event is stopped at once, or not at all.
QUEUED_LASTS = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Breach:
    """A promise that was broken: which, for what, and how it shows."""

    promise: int
    what: str

    def __str__(self) -> str:
        return f"promise {self.promise}: {self.what}"


def breaches(evidence: Evidence) -> list[Breach]:
    """Return every broken promise."""
    return [
        Breach(promise, what) for promise, check in CHECKS for what in check(evidence)
    ]


def durable_before_wire(seen: Evidence) -> Iterator[str]:
    """Every command that arrived has a row, a hold from before it, and an attempt."""
    holds = seen.holds_of()
    commands = seen.commands_of()
    kinds = (("stop", "stop"), ("start", "start"), ("set-limit", "set limit"))
    for kind, row_kind in kinds:
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
    yield from _limits_not_back(seen, open_holds)
    for car, calls in seen.takes().items():
        if not any(call.acted_at for call in calls):
            continue
        true = seen.cars[car]
        plugged_in_at = true.get("plugged_in_at")
        if plugged_in_at and datetime.fromisoformat(plugged_in_at) > calls[-1].at:
            continue  # whether it charges in a new plug-in is its own business
        if true["stopped_by"] == "api" and not true["charging"]:
            full = true["soc_percent"] >= true["limit_percent"] - 0.1
            if true["plugged_in"] and not full and car not in open_holds:
                yield f"{car} was stopped, does not charge, and is owed nothing"
    for car, holds in seen.holds_of().items():
        for before, after in pairwise(holds):
            # A turn's time stands still while a sender closes what it then takes again.
            latest = after.opened_at + seen.slack
            if before.closed_at is None or before.closed_at > latest:
                yield (
                    f"{car} had two open holds: {before.pk} until {before.closed_at},"
                    f" {after.pk} from {after.opened_at}"
                )


def _limits_not_back(seen: Evidence, open_holds: set[str]) -> Iterator[str]:
    """Say which cars have another limit than without us, and are owed none."""
    starts = seen.calls_of("start")
    for car, calls in seen.calls_of("set-limit").items():
        if car in open_holds or not any(call.acted_at for call in calls):
            continue
        if any(start.acted_at and start.at > calls[-1].at for start in starts[car]):
            continue  # some makes forget limits when they are started
        true = seen.cars[car]
        limit, own = true["limit_percent"], true["shadow"]["limit_percent"]
        if limit != own:
            yield f"{car} has a limit of {limit}, {own} without us, and is owed nothing"


def restorable_in_time(seen: Evidence) -> Iterator[str]:
    """Nobody was held past a latest start: the first return had left by then."""
    gives = seen.gives()
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
                (call.at for call in gives[car] if call.at >= hold.opened_at), None
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
        readings = Reading.objects.filter(
            vehicle_id=command.vehicle_id,
            observed_at__gt=command.answered_at,
            received_at__lte=confirmed_at + seen.slack,
        )
        if command.kind == "set limit":
            readings = readings.filter(limit_percent=command.percent)
        if command.kind != "set limit" or not command.is_restore:
            readings = readings.filter(is_charging=command.kind == "start")
        if not readings.exists():
            yield f"command {command.pk} is confirmed without a newer reading"


def no_stale_command(seen: Evidence) -> Iterator[str]:
    """Nothing that takes arrived after its event's end, or the customer's word."""
    events = {event.pk: event for event in seen.events}
    holds = seen.holds_of()
    opted_out = {
        (one.vehicle.external_id, one.event_id): one.opted_out_at
        for one in seen.participations
        if one.opted_out_at is not None
    }
    for car, calls in seen.takes().items():
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
            if _queues(hold, event) and car in seen.overnight:
                over_at = hold.opened_at + QUEUED_LASTS
            if call.at > over_at + seen.slack:
                yield f"{call.kind} of {car} at {call.at}, over since {over_at}"
            left_at = opted_out.get((car, event.pk))
            if left_at is not None and call.at > left_at + seen.slack:
                yield f"{call.kind} of {car} at {call.at}, opted out at {left_at}"
    yield from _too_many(seen)


def _queues(hold: Hold, event: GridEvent) -> bool:
    """Say whether a car was taken after its event, to wait for its turn."""
    over = event.cancelled_at is None and event.restoring_at is not None
    return over and hold.reason == "waits for its turn"


def _too_many(seen: Evidence) -> Iterator[str]:
    """Say for which holds more calls of a kind reached the car than are allowed."""
    limits_back = {
        car: [call for call in calls if call.kind == "set-limit"]
        for car, calls in seen.gives().items()
    }
    for kind, found in (
        ("take", seen.takes()),
        ("start", seen.calls_of("start")),
        ("set-limit", limits_back),
    ):
        calls = defaultdict(list, found)
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
    """Nobody is started whom we did not hold, and no limit is ours to choose."""
    takes = seen.takes()
    commands = seen.commands_of()
    for car, starts in seen.calls_of("start").items():
        for call in starts:
            arrived = any(take.at <= call.at for take in takes[car])
            # One that left and was never answered has to be taken for arrived.
            in_doubt = any(
                not command.is_restore
                and command.may_have_landed
                and command.sent_at is not None
                and command.sent_at <= call.at + seen.slack
                for command in commands[car]
            )
            if not (arrived or in_doubt):
                yield f"start of {car} at {call.at}, never stopped"
    gives = seen.gives()
    for car, calls in seen.calls_of("set-limit").items():
        for call in calls:
            if call not in takes[car] and call not in gives[car]:
                yield f"limit of {call.percent} for {car} that nobody decided"


def provider_limits(seen: Evidence) -> Iterator[str]:
    """The simulator counted no call beyond its buckets."""
    for bucket, count in seen.summary["overdrawn"].items():
        if count:
            yield f"{count} calls beyond the {bucket} bucket"


def nothing_left_behind(seen: Evidence) -> Iterator[str]:
    """No command waits and no event owes anything once all is completed.

    But for limits of cars that are away: those wait for the next plug-in.
    """
    if any(event.is_running for event in seen.events):
        return
    away = {
        hold.pk
        for hold in seen.holds
        if hold.closed_at is None
        and hold.our_limit_percent is not None
        and not seen.cars[hold.vehicle.external_id]["plugged_in"]
    }
    for command in seen.commands:
        if command.hold_id in away:
            continue
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
