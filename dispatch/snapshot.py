"""Observe: rows to the planner's arrays, all of one moment.

Seven queries a program, whatever the number of cars; three more an event, and one if
it is aimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from django.conf import settings
from django.db import connection
from django.db.models import FloatField, Func, Q

from dispatch import (
    area_hold_offs,
    event_rules,
    holds,
    limits,
    planner,
    response,
    room,
    shed,
)
from dispatch.lifecycle import (
    OPEN_HOLD,
    CommandStatus,
    EventStatus,
    HoldStatus,
)
from dispatch.models import Envelope, GridEvent, Hold, Participation
from dispatch.planner import Debt
from fleets import charging, habits, last_known
from fleets.last_known import LARGEST_POWER_KW
from fleets.models import Bucket, Program, RestoreStyle, Tactic, Vehicle
from fleets.providers import makes, throttle

UNKNOWN_LIMIT_PERCENT = 100.0
# Over which hours in events are shared out among customers.
RECENT = timedelta(days=7)


@dataclass(frozen=True)
class Snapshot:
    """What `planner.decide` needs for one program at one moment."""

    program: planner.Program
    cars: planner.Cars
    charging_kw: float  # drawn by its cars, with restores on their way
    events: list[planner.Event]
    provider: planner.Provider


# One row a car of the program, and one a car that it still owes something: a customer
# who withdrew, a car that was sold. The newest command of the open hold comes along.
CARS = """
select
    v.id as vehicle_id,
    e.id is not null as consented,
    coalesce(
        v.observed_at is not null
        and v.is_plugged_in is not null
        and (not coalesce(v.is_charging, false) or v.observed_at >= %(known_since)s),
        false
    ) as known,
    coalesce(v.is_plugged_in, false) as plugged_in,
    coalesce(v.is_charging, false) as charging,
    coalesce(v.is_home, false) as at_home,
    not coalesce(v.is_home, true) as away,
    v.can_stop and v.can_start
        and coalesce(v.soc_percent, 0) >= v.commands_from_soc_percent as able,
    v.can_set_limit,
    -- Told by the newest reading: an older one may have been overtaken.
    case when v.limit_observed_at >= v.observed_at then v.limit_percent
        else 'NaN' end as told_limit_percent,
    coalesce(v.soc_percent, 0) as soc_percent,
    coalesce(e.minimum_charge_percent, %(minimum_percent)s) as minimum_percent,
    v.power_kw as told_power_kw,
    -- Of a car that a limit of ours holds, its own.
    coalesce(
        case when h.our_limit_percent is not null then h.limit_percent end,
        v.limit_percent, %(unknown_limit)s
    ) as limit_percent,
    v.battery_kwh,
    v.usual_power_kw,
    -- By the wall clock: what the customer said, and what was learnt.
    coalesce(extract(epoch from e.ready_by[%(today)s])::float8, 'NaN') as ready_today,
    coalesce(extract(epoch from e.ready_by[%(tomorrow)s])::float8, 'NaN')
        as ready_tomorrow,
    coalesce(e.learnt_departures[%(block)s]::float8, 'NaN') as leaves_slot,
    coalesce(e.learnt_departures[%(next_block)s]::float8, 'NaN') as leaves_later_slot,
    coalesce(extract(epoch from v.plugged_in_at)::float8, '-infinity')
        as plugged_in_at,
    %(overnight)s and e.overnight_consented_at is not null as overnight,
    %(month_calls)s - %(month_reserve)s - case
        when b.month = %(month)s then b.calls_this_month else 0 end as calls_left,
    coalesce(h.status, '') as hold,
    -- seen stopped, and given back for nobody's sake
    coalesce(
        h.held_at is not null and h.restore_reason = any(%(not_needed)s)
        and not (h.tactic = 'limit' and c.kind = 'start'),  -- that has its limit back
        false
    ) as may_stay,
    coalesce(h.held_at is not null, false) as shown,
    coalesce(extract(epoch from %(now)s - h.opened_at)::float8, 0) / 3600
        as hours_held,
    coalesce(h.soc_percent, v.soc_percent, 0) as soc_before_percent,
    v.make,
    coalesce(r.obeyed, 0) as obeyed,
    coalesce(r.missed, 0) as missed,
    -- its stop was sent, and nobody knows what came of it; what was ignored is counted
    coalesce(
        h.status = 'taking' and not c.is_restore and (
            c.status = 'unknown' or c.status = 'queued' and c.attempt > c.ineffective
        ),
        false
    ) as missing,
    coalesce(
        case when h.status = 'taking' and c.status in ('accepted', 'unknown')
            then extract(epoch from %(now)s - c.answered_at) end::float8, 0
    ) as waited_seconds,
    coalesce(recent.hours, 0) as recent_hours,
    coalesce(h.power_kw, 0) as held_kw,
    -- Its start is on the way; a limit that waits for the next plug-in draws nothing.
    coalesce(
        h.status = 'restoring'
        and not (h.tactic = 'limit' and v.is_plugged_in is false),
        false
    ) as going_back,
    case when h.our_limit_percent is null then 1 else %(limit_calls)s end
        as restore_calls,
    -- what was promised when it was taken; a later look may only make it earlier
    coalesce(extract(epoch from h.latest_start_at)::float8, 'infinity')
        as promised_start,
    coalesce(c.status, '') as command,
    coalesce(c.may_have_landed, false) as may_have_landed,
    coalesce(c.is_restore, false) as is_restore,
    coalesce(extract(epoch from v.observed_at)::float8, '-infinity') as observed_at,
    coalesce(v.feeder_id, 0) as feeder_id,
    coalesce(extract(epoch from h.opened_at)::float8, '-infinity') as opened_at,
    %(most_holds)s - coalesce(today.holds, 0) as holds_left
from fleets_vehicle v
left join fleets_enrolment e
    on e.vehicle_id = v.id and e.program_id = %(program)s and e.status = 'active'
left join fleets_vehiclebucket b on b.vehicle_id = v.id
left join dispatch_hold h
    on h.vehicle_id = v.id and h.status = any(%(open_hold)s)
    and exists (
        select from dispatch_gridevent g
        where g.id = h.event_id and g.program_id = %(program)s
    )
left join lateral (
    select status, kind, may_have_landed, is_restore, attempt, ineffective,
        answered_at
    from dispatch_command where hold_id = h.id order by id desc limit 1
) c on true
left join dispatch_response r on r.vehicle_id = v.id
-- Hours in holds of this week, of all cars of the customer.
left join fleets_provideraccount a on a.id = v.account_id
left join (
    select o.customer_id, sum(extract(epoch from
        coalesce(d.restoring_at, d.closed_at, %(now)s) - d.opened_at
    ))::float8 / 3600 as hours
    from dispatch_hold d
    join fleets_vehicle w on w.id = d.vehicle_id
    join fleets_provideraccount o on o.id = w.account_id
    where d.opened_at >= %(week_ago)s
    group by o.customer_id
) recent on recent.customer_id = a.customer_id
-- Holds of this day, of all programs, whose stop may have reached the car.
left join (
    select d.vehicle_id, count(*) as holds from dispatch_hold d
    where d.opened_at >= %(midnight)s and exists (
        select from dispatch_command k
        where k.hold_id = d.id and not k.is_restore and k.may_have_landed
    )
    group by d.vehicle_id
) today on today.vehicle_id = v.id
where e.id is not null or h.id is not null
order by v.id
"""

# A fleet of moments as numbers: as datetimes they took most of a quiet turn.
EPOCH = Func(
    "judged_at",
    template="extract(epoch from %(expressions)s)::float8",
    output_field=FloatField(),
)

Columns = dict[str, list[Any]]


def take(program: Program, events: Sequence[GridEvent], *, now: datetime) -> Snapshot:
    """Return one program's arrays; `events` in the order of `in_order()`."""
    columns = _columns(program, now)
    cars = _cars(program, columns, now)
    observed_at = np.array(columns["observed_at"], dtype=float)
    drawn_kw = _drawn_kw(columns, cars)
    promised = program.restore_within_hours * 3600.0
    within = np.where(columns["overnight"], np.inf, promised)
    return Snapshot(
        program=replace(
            _program(program, room.ahead_kw(drawn_kw, cars.charge_seconds), now),
            newest_reading_at=float(observed_at.max(initial=-np.inf)),
        ),
        cars=cars,
        charging_kw=float(drawn_kw.sum()),
        events=[_event(program, event, cars, observed_at, within) for event in events],
        provider=_provider(program, columns["usual_power_kw"]),
    )


def _provider(program: Program, usual_kw: Sequence[float]) -> planner.Provider:
    """Return what can be given back, at half of the present rate."""
    bucket = Bucket.objects.filter(name=throttle.APPLICATION).first()
    # One that waits for its plug-in needs no call by any moment.
    owed = (
        Hold.objects.open()
        .exclude(holds.AWAY)
        .values_list("latest_start_at", "our_limit_percent")
    )
    rate = throttle.calls_per_minute()
    if usual_kw:
        # Whatever the provider could take, no more leaves than the envelopes let.
        rate = min(rate, _restoring_kw_per_minute(program) / float(np.mean(usual_kw)))
    return planner.Provider(
        reserve_calls=throttle.reserve_calls(bucket) if bucket else 0.0,
        restores_per_minute=rate / 2.0,
        owed_latest_starts=np.array(
            [
                moment.timestamp() if moment else np.inf
                for moment, ours in owed
                for _ in range(1 if ours is None else limits.CALLS)
            ],
            dtype=float,
        ),
    )


def _restoring_kw_per_minute(program: Program) -> float:
    """Return the most kW a minute that may be given back, of the program or at all."""
    bounds = Envelope.objects.filter(
        Q(program=program) | Q(program=None, feeder=None)
    ).values_list("restoring_max_kw_per_minute", "max_kw_per_minute")
    return min((back or hold for back, hold in bounds), default=float("inf"))


def _columns(program: Program, now: datetime) -> Columns:
    """Return the rows of `CARS` as lists by name."""
    local = now.astimezone(ZoneInfo(program.time_zone))
    block, next_block = habits.blocks_at(local)
    with connection.cursor() as cursor:
        cursor.execute(
            CARS,
            {
                "program": program.pk,
                # PostgreSQL counts from 1.
                "today": local.weekday() + 1,
                "tomorrow": (local.weekday() + 1) % habits.DAYS + 1,
                "block": block + 1,
                "next_block": next_block + 1,
                "minimum_percent": program.minimum_charge_percent,
                "unknown_limit": UNKNOWN_LIMIT_PERCENT,
                "limit_calls": limits.CALLS,
                "known_since": now - last_known.CHARGING_IS_KNOWN_FOR,
                "month": throttle.month_of(now),
                "month_calls": settings.VEHICLE_CALLS_PER_MONTH,
                "month_reserve": settings.RESTORE_RESERVE_CALLS_PER_MONTH,
                "open_hold": [str(status) for status in OPEN_HOLD],
                "not_needed": [planner.Reason.EVENT_OVER, planner.Reason.ENOUGH],
                "now": now,
                "week_ago": now - RECENT,
                "overnight": program.restore_style == RestoreStyle.OVERNIGHT,
                "most_holds": program.max_holds_per_day,
                "midnight": _midnight(program, now),
            },
        )
        names = [column.name for column in cursor.description]
        rows = cursor.fetchall()
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def _midnight(program: Program, now: datetime) -> datetime:
    """Return when the day of the program's time zone began."""
    local = now.astimezone(ZoneInfo(program.time_zone))
    return local.replace(hour=0, minute=0, second=0, microsecond=0)


def _cars(program: Program, columns: Columns, now: datetime) -> planner.Cars:
    def floats(name: str) -> planner.Floats:
        return np.array(columns[name], dtype=float)

    def bools(name: str) -> planner.Bools:
        return np.array(columns[name], dtype=bool)

    hours = charging.hours_needed(
        floats("soc_percent"),
        floats("limit_percent"),
        floats("battery_kwh"),
        floats("usual_power_kw"),
    )
    departure = habits.next_departure(
        floats("ready_today"),
        floats("ready_tomorrow"),
        usual_seconds=charging.seconds_of(program.ready_by),
        slot=floats("leaves_slot"),
        later_slot=floats("leaves_later_slot"),
        plugged_in_at=floats("plugged_in_at"),
        zone=ZoneInfo(program.time_zone),
        now=now,
    )
    latest_start = departure - hours * 3600.0
    usual_kw = floats("usual_power_kw")
    told_kw = floats("told_power_kw")
    is_possible = (told_kw > 0) & (told_kw <= LARGEST_POWER_KW)
    power_kw = np.where(is_possible, told_kw, usual_kw)
    held_kw = floats("held_kw")
    hours_to_full = charging.energy_needed_kwh(
        floats("soc_before_percent"), floats("limit_percent"), floats("battery_kwh")
    ) / np.where(held_kw > 0, held_kw, power_kw)
    names, make = np.unique(np.array(columns["make"], dtype=str), return_inverse=True)
    freshness = [makes.freshness(name).total_seconds() for name in names.tolist()]
    chances = response.chances(
        make, floats("obeyed"), floats("missed"), bools("missing")
    )
    feeder_ids = np.array(columns["feeder_id"], dtype=np.int64)
    return planner.Cars(
        vehicle_id=np.array(columns["vehicle_id"], dtype=np.int64),
        consented=bools("consented"),
        known=bools("known"),
        plugged_in=bools("plugged_in"),
        charging=bools("charging"),
        at_home=bools("at_home"),
        away=bools("away"),
        able=bools("able"),
        can_set_limit=bools("can_set_limit"),
        limit_percent=floats("told_limit_percent"),
        soc_percent=floats("soc_percent"),
        minimum_percent=floats("minimum_percent"),
        power_kw=power_kw,
        power_is_told=is_possible,
        latest_start=np.minimum(latest_start, floats("promised_start")),
        calls_left=np.array(columns["calls_left"], dtype=np.int64),
        debt=_debt(columns),
        area=area_hold_offs.standing(
            program, feeder_ids=feeder_ids, opened_at=floats("opened_at"), now=now
        ),
        feeder_stopped=np.isin(feeder_ids, _stopped_feeders()),
        holds_left=np.array(columns["holds_left"], dtype=np.int64),
        held_kw=held_kw,
        charge_seconds=hours * 3600.0,
        restore_calls=np.array(columns["restore_calls"], dtype=np.int64),
        make=make.astype(np.int64),
        response=response.unseen(
            chances, floats("waited_seconds") / np.array(freshness, dtype=float)[make]
        ),
        shown=bools("shown"),
        would_draw_share=shed.would_draw_share(hours_to_full, floats("hours_held")),
        recent_hours=floats("recent_hours"),
    )


def _stopped_feeders() -> list[int]:
    """Return the feeders whose switch is set."""
    stopped = Envelope.objects.filter(
        feeder__isnull=False, holds_stopped_at__isnull=False
    )
    return [pk for pk in stopped.values_list("feeder_id", flat=True) if pk is not None]


def _debt(columns: Columns) -> planner.Texts:
    """Return how far each open hold has come (n)."""
    hold = np.array(columns["hold"], dtype=str)
    command = np.array(columns["command"], dtype=str)
    landed = np.array(columns["may_have_landed"], dtype=bool)
    is_restore = np.array(columns["is_restore"], dtype=bool)
    queued = command == str(CommandStatus.QUEUED)
    may_stay = np.array(columns["may_stay"], dtype=bool)
    given = np.isin(hold, [str(HoldStatus.RESTORING), str(HoldStatus.UNRESOLVED)])
    untaken = (hold == str(HoldStatus.TAKING)) & ~landed & ~is_restore
    choices = [
        (hold == "", Debt.NONE),
        (given & may_stay & queued & is_restore & ~landed, Debt.RETURNING),
        (given, Debt.RESTORING),
        (command == str(CommandStatus.SENDING), Debt.BUSY),
        (untaken & queued, Debt.UNTAKEN),
        (untaken, Debt.LAPSED),
    ]
    debts: planner.Texts = np.select(
        [test for test, _ in choices],
        [np.array(str(debt), dtype="U12") for _, debt in choices],
        default=np.array(str(Debt.TAKEN), dtype="U12"),
    )
    return debts


def _drawn_kw(columns: Columns, cars: planner.Cars) -> planner.Floats:
    """Return what each car draws, or will from a restore on its way (n)."""
    charges = cars.consented & cars.charging & cars.owes(Debt.NONE)
    going_back = np.array(columns["going_back"], dtype=bool)
    return np.where(charges, cars.power_kw, np.where(going_back, cars.held_kw, 0.0))


def _program(
    program: Program, ahead_kw: planner.Floats, now: datetime
) -> planner.Program:
    """Return the rules, and what is going on."""
    a_minute_ago = now - timedelta(minutes=1)
    restored = Hold.objects.filter(
        event__program=program, restoring_at__gt=a_minute_ago
    ).values_list("power_kw", "restore_reason")
    cap = program.restore_cap_kw
    return planner.Program(
        limit_first=program.tactic == Tactic.LIMIT,
        restore_cap_kw=float("inf") if cap is None else cap,
        restore_ramp_kw_per_minute=program.restore_ramp_kw_per_minute,
        ahead_kw=ahead_kw,
        restored_kw_last_minute=float(sum(kw for kw, _ in restored)),
        pick_up_ramp_kw_per_minute=program.pick_up_ramp_kw_per_minute,
        picked_up_kw_last_minute=float(
            sum(kw for kw, why in restored if why == planner.Reason.PICK_UP)
        ),
        tracking=planner.Tracking(
            confidence=program.target_confidence_percent / 100.0,
            maker_outage=program.maker_outage_percent / 100.0,
            dead_band=program.dead_band_percent / 100.0,
            let_go_above=program.let_go_above_percent / 100.0,
            slack_weight=program.slack_weight,
            kw_weight=program.kw_weight,
            rotation_weight=program.rotation_weight,
        ),
    )


def _event(
    program: Program,
    event: GridEvent,
    cars: planner.Cars,
    observed_at: planner.Floats,
    within_seconds: planner.Floats,
) -> planner.Event:
    n = len(cars.vehicle_id)
    standing = np.full(n, "", dtype="U12")
    reason = np.full(n, "", dtype="U40")
    judged_at = np.full(n, np.inf)
    opted_out = np.zeros(n, dtype=bool)
    rows = Participation.objects.filter(event=event).values_list(
        "vehicle_id", "status", "reason", EPOCH, "opted_out_at"
    )
    places = {int(pk): place for place, pk in enumerate(cars.vehicle_id)}
    for vehicle_id, status, why, judged, opted in rows:
        place = places.get(vehicle_id)
        if place is not None:
            standing[place], reason[place] = status, why
            judged_at[place] = judged
            opted_out[place] = opted is not None
    stopped = Envelope.objects.filter(
        Q(program=event.program_id) | Q(program=None, feeder=None),
        holds_stopped_at__isnull=False,
    )
    return planner.Event(
        event_id=event.pk,
        holding=event.status == EventStatus.ACTIVE,
        holds_stopped=stopped.exists(),
        ends_at=event.ends_at.timestamp(),
        target_kw=event.target_kw,
        aimed=_aimed(event, cars),
        opted_out=opted_out,
        standing=standing,
        reason=reason,
        has_news=observed_at > judged_at,
        clocks_change=_clocks_change(event, ZoneInfo(program.time_zone)),
        back_by=event.ends_at.timestamp() + within_seconds,
    )


def _clocks_change(event: GridEvent, zone: ZoneInfo) -> bool:
    """Say whether the clocks change within the event."""
    before, after = (
        moment.astimezone(zone).utcoffset()
        for moment in (event.starts_at, event.ends_at)
    )
    return before != after


def _aimed(event: GridEvent, cars: planner.Cars) -> planner.Bools:
    """Say which cars the event is aimed at, by what stands on record now."""
    aims = event_rules.aims_of(event)
    aimed: planner.Bools = np.ones(len(cars.vehicle_id), dtype=bool)
    if vehicles := aims.pop("vehicles", None):
        aimed &= np.isin(cars.vehicle_id, vehicles)
    if aims:
        inside = event_rules.aimed_at(Vehicle.objects.all(), **aims)
        aimed &= np.isin(cars.vehicle_id, list(inside.values_list("pk", flat=True)))
    return aimed
