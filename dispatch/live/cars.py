"""Cars by state with reasons, and the few that deserve a look."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import (
    Case,
    Count,
    Exists,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)

from dispatch.lifecycle import (
    OPEN_HOLD,
    CommandStatus,
    HoldStatus,
    ParticipationStatus,
)
from dispatch.live import shapes
from dispatch.live.words import clock_time, kilowatts, span
from dispatch.models import Command, Hold, Participation
from fleets.models import Vehicle
from fleets.providers import makes

TABLE_ROWS = 30
# Older than the slowest maker's habit: nothing is known of such a car.
SILENT_AFTER = timedelta(minutes=90)

WAITING = "chosen"
SPARED = str(ParticipationStatus.SPARED)
OTHER = "over"

# In the order of a car's way, what is wrong last but loudest.
STATES: dict[str, tuple[str, shapes.Tone]] = {
    WAITING: ("to be held, no stop sent yet", ""),
    HoldStatus.TAKING: ("stop, or a lower limit, on its way", ""),
    HoldStatus.HELD: ("a reading shows no charging", ""),
    HoldStatus.RESTORING: ("being given back", ""),
    HoldStatus.RESTORED: ("has back what was taken", ""),
    HoldStatus.RELEASED: ("nothing owed", ""),
    SPARED: ("left alone", ""),
    OTHER: ("no longer part of it", ""),
    HoldStatus.UNRESOLVED: ("could not be given back", "critical"),
}
# Always shown, so that the eye finds them at the same place.
STEADY = (
    HoldStatus.TAKING, HoldStatus.HELD, HoldStatus.RESTORING, HoldStatus.RESTORED,
    HoldStatus.RELEASED, SPARED, HoldStatus.UNRESOLVED,
)  # fmt: skip
REASONS_SHOWN = 6


def states(event_ids: Sequence[int]) -> tuple[shapes.State, ...]:
    """Count cars by state: each once, however many events claim it."""
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    if event_ids:
        parts = Participation.objects.filter(event__in=event_ids)
        if len(event_ids) > 1:
            # One participation a car: "claimed" comes before "ended" and "spared".
            first = parts.order_by(
                "vehicle_id", "status", "event__priority", "event_id"
            ).distinct("vehicle_id")
            parts = Participation.objects.filter(pk__in=first.values("pk"))
        rows = (
            parts.values_list(
                "status",
                "reason",
                "hold__status",
                "hold__restore_reason",
                "hold__close_reason",
            )
            .annotate(number=Count("pk"))
            .order_by()
        )
        for status, reason, hold, restored_why, closed_why, number in rows:
            state = _state_of(status, hold)
            why = _reason_of(state, reason, restored_why, closed_why)
            reasons[state][why] += number
    # Owed from events that are over.
    left = (
        _owed_elsewhere(event_ids)
        .values_list("status", "reason", "restore_reason", "close_reason")
        .annotate(number=Count("pk"))
        .order_by()
    )
    for hold, reason, restored_why, closed_why, number in left:
        reasons[hold][_reason_of(hold, reason, restored_why, closed_why)] += number
    return tuple(
        shapes.State(
            word=state,
            meaning=meaning,
            number=reasons[state].total(),
            tone=tone if reasons[state] else "",
            reasons=_counts(reasons[state]),
        )
        for state, (meaning, tone) in STATES.items()
        if state in STEADY or reasons[state]
    )


def _owed_elsewhere(event_ids: Sequence[int]) -> QuerySet[Hold]:
    in_view = Participation.objects.filter(
        vehicle=OuterRef("vehicle"), event__in=event_ids
    )
    return Hold.objects.open().exclude(Exists(in_view))


def _state_of(status: str, hold: str | None) -> str:
    """Return the state of a car; what it is owed outweighs what was decided."""
    if hold in OPEN_HOLD:
        return str(hold)
    if status == SPARED:
        return SPARED
    if hold is not None:
        return hold
    return WAITING if status == ParticipationStatus.CLAIMED else OTHER


def _reason_of(state: str, reason: str, restored_why: str, closed_why: str) -> str:
    """Return the reason that brought a car into its present state."""
    if state in (HoldStatus.RELEASED, HoldStatus.UNRESOLVED):
        return closed_why or restored_why or reason
    if state in (HoldStatus.RESTORING, HoldStatus.RESTORED):
        return restored_why or closed_why or reason
    return reason


def _counts(counter: Counter[str]) -> tuple[shapes.Count, ...]:
    """Return the commonest reasons; the rest is one line, so the parts still sum."""
    common = counter.most_common(REASONS_SHOWN)
    counts = [
        shapes.Count(text or "no reason given", number) for text, number in common
    ]
    rest = counter.total() - sum(count.number for count in counts)
    return tuple([*counts, shapes.Count("other reasons", rest)] if rest else counts)


def table(
    event_ids: Sequence[int], *, now: datetime, zone: ZoneInfo
) -> tuple[shapes.CarRow, ...]:
    """Return the cars that deserve a look, what is abnormal first."""
    holds = list(
        Hold.objects.open()
        .annotate(rank=_rank(now))
        .select_related("vehicle__feeder")
        .order_by("rank", "latest_start_at", "id")[:TABLE_ROWS]
    )
    newest: dict[int, Command] = {}
    if holds:
        commands = Command.objects.filter(hold__in=[hold.pk for hold in holds])
        newest = {command.hold_id: command for command in commands.order_by("id")}
    rows = [_row_of_hold(hold, newest, now=now, zone=zone) for hold in holds]
    room = TABLE_ROWS - len(rows)
    if room and event_ids:
        others = (
            Participation.objects.filter(event__in=event_ids)
            .exclude(hold__status__in=OPEN_HOLD)
            .exclude(vehicle__in=[hold.vehicle_id for hold in holds])
            .select_related("vehicle__feeder", "hold")
            .order_by("-judged_at", "id")[:room]
        )
        rows += [_row_of_other(other, now=now) for other in others]
    return tuple(rows)


def _rank(now: datetime) -> Case:
    """Sort: what is owed and overdue, what disobeys, what is silent, what moves."""
    return Case(
        When(status=HoldStatus.UNRESOLVED, then=Value(0)),
        When(latest_start_at__lt=now, then=Value(1)),
        When(status=HoldStatus.HELD, vehicle__is_charging=True, then=Value(2)),
        When(
            Q(vehicle__observed_at=None)
            | Q(vehicle__observed_at__lt=now - SILENT_AFTER),
            then=Value(3),
        ),
        When(status=HoldStatus.TAKING, then=Value(4)),
        When(status=HoldStatus.RESTORING, then=Value(5)),
        default=Value(6),
        output_field=IntegerField(),
    )


def _row_of_hold(
    hold: Hold, newest: Mapping[int, Command], *, now: datetime, zone: ZoneInfo
) -> shapes.CarRow:
    command = newest.get(hold.pk)
    tone, reason = _what_is_wrong(hold, command)
    latest = hold.latest_start_at
    late = latest is not None and latest < now
    return _row(
        hold.vehicle,
        now=now,
        state=hold.status,
        tone=tone,
        reason=f"{reason}{_by_what(hold)}",
        latest_start="" if latest is None else clock_time(latest, zone, seen_from=now),
        latest_start_tone="critical" if late else "",
        unresolved_hold=hold.pk if hold.status == HoldStatus.UNRESOLVED else None,
    )


def _by_what(hold: Hold) -> str:
    """Return by which limit a car is held, and what it waits for; "" by a stop."""
    if hold.our_limit_percent is None:
        return ""
    by = f"; limit {hold.our_limit_percent} % instead of {hold.limit_percent:g} %"
    waits = hold.status == HoldStatus.RESTORING and not hold.vehicle.is_plugged_in
    return f"{by}, waits for its plug-in" if waits else by


def _what_is_wrong(hold: Hold, command: Command | None) -> tuple[shapes.Tone, str]:
    """Return how bad it is, and the words that say what."""
    reason = _reason_of(
        hold.status, hold.reason, hold.restore_reason, hold.close_reason
    )
    code = f", {command.code}" if command is not None and command.code else ""
    if hold.status == HoldStatus.UNRESOLVED:
        return "critical", f"{reason}{code}"
    if hold.status == HoldStatus.HELD and hold.vehicle.is_charging:
        return "warning", "charges although held"
    if command is None:
        return "", reason
    if command.status in (CommandStatus.UNKNOWN, CommandStatus.FAILED):
        return "warning", f"{command.kind} {command.status}{code}"
    if command.status in (CommandStatus.QUEUED, CommandStatus.SENDING) and code:
        return "", f"{reason}; {command.kind} is tried again{code}"
    return "", reason


def _row_of_other(participation: Participation, *, now: datetime) -> shapes.CarRow:
    hold = participation.hold
    state = _state_of(participation.status, hold.status if hold else None)
    return _row(
        participation.vehicle,
        now=now,
        state=state,
        tone="",
        reason=_reason_of(
            state,
            participation.reason,
            hold.restore_reason if hold else "",
            hold.close_reason if hold else "",
        ),
        latest_start="",
        latest_start_tone="",
    )


# A reading is expected: without one, nobody knows whether the car obeyed.
AWAITED = (HoldStatus.TAKING, HoldStatus.RESTORING, HoldStatus.UNRESOLVED)


def _row(
    vehicle: Vehicle,
    *,
    now: datetime,
    state: str,
    tone: shapes.Tone,
    reason: str,
    latest_start: str,
    latest_start_tone: shapes.Tone,
    unresolved_hold: int | None = None,
) -> shapes.CarRow:
    seen = vehicle.observed_at
    silent = seen is None or now - seen > makes.freshness(vehicle.make)
    power, charge = vehicle.power_kw, vehicle.soc_percent
    return shapes.CarRow(
        name=str(vehicle),
        feeder=vehicle.feeder.code if vehicle.feeder else "",
        state=state,
        tone=tone,
        reason=reason,
        kw="" if power is None else kilowatts(power),
        charge="" if charge is None else f"{charge:.0f} %",
        latest_start=latest_start,
        latest_start_tone=latest_start_tone,
        age="never" if seen is None else span(now - seen),
        # A held car that does not charge has nothing to report: silence is no fault.
        age_tone="warning" if silent and state in AWAITED else "",
        unresolved_hold=unresolved_hold,
    )
