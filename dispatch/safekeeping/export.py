"""Rows to a sheet: one statement, read in pieces, never held whole."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from dispatch import outcomes
from dispatch.lifecycle import OPEN_HOLD, CommandStatus, HoldStatus
from dispatch.models import Envelope, LoopTurn
from dispatch.safekeeping.sheet import RAMP_OF, RAMP_OF_FEEDER, Calls, Give, Head, Owed
from fleets import clock
from fleets.models import Bucket, Feeder, Program
from fleets.providers import makes, throttle

ROWS_AT_ONCE = 2000
# Names of what bounds a restore's kW a minute.
EVERYTHING = "everything"

# Every open hold, with the newest command that took and the newest that gives.
OWED = """
select
    h.id, v.external_id, a.external_id, v.make, p.code, f.code, h.status,
    h.power_kw, h.state_observed_at, h.latest_start_at, h.owed_until,
    s.status, s.answered_at, r.status, r.sent_at, r.answered_at,
    least(%(vehicle_calls)s, b.tokens + %(vehicle_refill)s / 60.0
        * greatest(0, extract(epoch from %(now)s - b.refilled_at))),
    %(month_calls)s - case when b.month = %(month)s then b.calls_this_month else 0 end,
    -- A limit hold whose start is on its way has its limit back.
    case when h.our_limit_percent is not null and r.kind is distinct from 'start'
        then h.our_limit_percent end,
    h.limit_percent
from dispatch_hold h
join dispatch_gridevent g on g.id = h.event_id
join fleets_program p on p.id = g.program_id
join fleets_vehicle v on v.id = h.vehicle_id
join fleets_provideraccount a on a.id = v.account_id
left join fleets_feeder f on f.id = v.feeder_id
left join fleets_vehiclebucket b on b.vehicle_id = v.id
left join lateral (
    select (array_agg(status order by id desc))[1] as status,
        max(answered_at) as answered_at
    from dispatch_command where hold_id = h.id and not is_restore
) s on true
left join lateral (
    select kind, status, sent_at, answered_at from dispatch_command
    where hold_id = h.id and is_restore order by id desc limit 1
) r on true
where h.status = any(%(open)s)
order by h.latest_start_at nulls last, h.id
"""
# A stop that may leave, or land, after this was written.
UNDERWAY = (CommandStatus.QUEUED, CommandStatus.SENDING)


def head(*, now: datetime, real_now: datetime) -> Head:
    """Return whose sheet it is, of when, and the rules to give back by."""
    timeline = clock.timeline()
    return Head(
        installation=settings.SAFEKEEPING_INSTALLATION,
        written_at=now,
        written_real_at=real_now,
        heartbeat_real_at=LoopTurn.objects.values_list("real_at", flat=True).first(),
        clock_real=timeline.real,
        clock_simulated=timeline.simulated,
        clock_speed=timeline.speed,
        calls=_calls(),
        ramps=_ramps(),
    )


def owed(*, now: datetime) -> Iterator[Owed]:
    """Yield every car that is owed something, least slack first."""
    values: dict[str, Any] = {
        "open": [str(status) for status in OPEN_HOLD],
        "now": now,
        "month": throttle.month_of(now),
        "month_calls": settings.VEHICLE_CALLS_PER_MONTH,
        "vehicle_calls": settings.VEHICLE_BUCKET_CALLS,
        "vehicle_refill": settings.VEHICLE_REFILL_PER_MINUTE,
    }
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute(OWED, values)
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            for row in rows:
                yield _owed(row, now=now)


def _owed(row: tuple[Any, ...], *, now: datetime) -> Owed:
    freshness_seconds = makes.freshness(row[3]).total_seconds()
    status, stop, give = row[6], row[11], row[13]
    owed_until: datetime | None = row[10]
    if stop in UNDERWAY:
        late = now + outcomes.late_for(freshness_seconds)
        owed_until = max(owed_until or late, late)
    our_percent: int | None = row[18]
    given, given_at = _given(give, sent_at=row[14], answered_at=row[15], now=now)
    return Owed(
        hold_id=row[0],
        vehicle_id=row[1],
        user_id=row[2],
        make=row[3],
        program=row[4],
        give=Give.START if our_percent is None else Give.LIMIT,
        percent=None if our_percent is None else round(row[19]),
        our_percent=our_percent,
        power_kw=row[7],
        taken_from=row[8],
        freshness_seconds=freshness_seconds,
        latest_start_at=row[9],
        ramps=_bounds(program=row[4], feeder=row[5]),
        stop_answered_at=row[12],
        owed_until=owed_until,
        given=given,
        given_at=given_at,
        look_first=stop in UNDERWAY
        or give == CommandStatus.QUEUED
        or status == HoldStatus.UNRESOLVED,
        calls_left=float(row[16] or 0.0),
        month_calls_left=int(row[17]),
    )


def _given(
    status: str | None,
    *,
    sent_at: datetime | None,
    answered_at: datetime | None,
    now: datetime,
) -> tuple[str | None, datetime | None]:
    """Return what is known of a restore that the main system sent, and its time.

    One that is on the wire may land as late as the provider's longest answer.
    """
    if status == CommandStatus.SENDING:
        longest = timedelta(seconds=settings.LONGEST_ANSWER_SECONDS)
        return str(CommandStatus.UNKNOWN), (sent_at or now) + longest
    if status in (CommandStatus.ACCEPTED, CommandStatus.UNKNOWN):
        return status, answered_at or sent_at or now
    return None, None


def _bounds(*, program: str, feeder: str | None) -> tuple[str, ...]:
    names = [f"{RAMP_OF}{program}", f"envelope {program}", EVERYTHING]
    if feeder:
        names += [f"feeder {feeder}", f"{RAMP_OF_FEEDER}{feeder}"]
    return tuple(names)


def _ramps() -> dict[str, float]:
    """Return the kW a minute that restores may add, by what bounds them."""
    ramps = {
        f"{RAMP_OF}{code}": kw
        for code, kw in Program.objects.values_list(
            "code", "restore_ramp_kw_per_minute"
        )
    }
    bounding = Feeder.objects.exclude(restore_ramp_kw_per_minute=None)
    for code, kw in bounding.values_list("code", "restore_ramp_kw_per_minute"):
        ramps[f"{RAMP_OF_FEEDER}{code}"] = kw or 0.0
    for row in Envelope.objects.select_related("program", "feeder"):
        kw = row.restoring_max_kw_per_minute or row.max_kw_per_minute
        if row.program is not None:
            name = f"envelope {row.program.code}"
        elif row.feeder is not None:
            name = f"feeder {row.feeder.code}"
        else:
            name = EVERYTHING
        ramps[name] = kw
    return ramps


def _calls() -> Calls:
    bucket = Bucket.objects.filter(name=throttle.APPLICATION).first()
    return Calls(
        capacity=settings.PROVIDER_BUCKET_CALLS,
        refill_per_minute=settings.PROVIDER_REFILL_PER_MINUTE,
        left=bucket.tokens if bucket else 0.0,
        blocked_until=bucket.blocked_until if bucket else None,
        vehicle_capacity=settings.VEHICLE_BUCKET_CALLS,
        vehicle_refill_per_minute=settings.VEHICLE_REFILL_PER_MINUTE,
    )
