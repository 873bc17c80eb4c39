"""All that the operator's page shows, read from the rows of one moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from math import isfinite
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Case, Value, When

from dispatch import area_hold_offs, restore_caps, results
from dispatch.lifecycle import RUNNING_EVENT, EnvelopeChangeStatus, EventStatus
from dispatch.live import cars, shapes, verdicts
from dispatch.live.chart import Sample, draw
from dispatch.live.commands import commands
from dispatch.live.words import clock_time, counted, kilowatts, sentence, span
from dispatch.models import (
    Alarm,
    Envelope,
    EnvelopeChange,
    GridEvent,
    LoopTurn,
    Sender,
)
from fleets import clock
from fleets.models import SystemClock

ALARMS_SHOWN = 3
COMING_SHOWN, COMING_SHOWN_BESIDE_RUNNING = 5, 2
MAKES_SHOWN = 3  # of those whose cars plugged in; REST has them all
# Points of a chart: finer than this the eye cannot see on it.
CHART_POINTS = 240
# The last of each slot; the ORM knows no `distinct on` an expression.
THINNED = """
select distinct on (event_id, date_bin(make_interval(secs => %(slot)s), at, %(origin)s))
    event_id, at, confirmed_kw, unconfirmed_kw, blind_kw, target_kw,
    shed_kw, shed_low_kw, shed_high_kw, cautions
from dispatch_loadsample
where event_id = any(%(events)s)
order by event_id, date_bin(make_interval(secs => %(slot)s), at, %(origin)s), at desc
"""
SENDERS_REMEMBERED = timedelta(days=1)
TICKS_MISSED = 3  # then the loop counts as standing still


def picture(now: datetime) -> shapes.Picture:
    """Return what is true now."""
    with _one_moment():
        return _picture(now)


def actions() -> shapes.Actions:
    """Return what an operator can do now."""
    events = list(GridEvent.objects.alive().select_related("program").in_order())
    running = [event for event in events if event.is_running]
    zone = _zone(running or events)
    return _actions(running, _envelopes(), zone, clock.now())


def _picture(now: datetime) -> shapes.Picture:
    events = list(
        GridEvent.objects.filter(
            status__in=(EventStatus.PENDING, EventStatus.SCHEDULED, *RUNNING_EVENT)
        )
        .select_related("program")
        .in_order()
    )
    running = [event for event in events if event.is_running]
    zone = _zone(running or events)
    ids = [event.pk for event in running]
    samples = _samples(running)
    left, caught = results.left(ids), results.caught(ids)
    broken = results.broken(ids)
    states = cars.states(ids)
    return shapes.Picture(
        now=now,
        freshness=_freshness(now, zone),
        running=tuple(
            _running(
                event,
                samples[event.pk],
                left[event.pk],
                broken[event.pk],
                caught[event.pk],
                restore_caps.in_force(
                    event.program,
                    [one for one in running if one.program_id == event.program_id],
                ),
                now=now,
                zone=zone,
            )
            for event in running
        ),
        coming=tuple(_coming(events, now, zone))[
            : COMING_SHOWN_BESIDE_RUNNING if running else COMING_SHOWN
        ],
        states=states,
        car_count=sum(state.number for state in states),
        commands=commands(ids, now=now, zone=zone),
        alarms=_alarms(now),
        cars=cars.table(ids, now=now, zone=zone),
        actions=_actions(
            running,
            _envelopes(),
            zone,
            now,
        ),
    )


@contextmanager
def _one_moment() -> Iterator[None]:
    """Let all queries see the same rows, so that no two numbers disagree."""
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("set transaction isolation level repeatable read read only")
        yield


def _zone(events: Sequence[GridEvent]) -> ZoneInfo:
    """Return the zone that the events share; otherwise the installation's."""
    names = {event.program.time_zone for event in events}
    return ZoneInfo(names.pop() if len(names) == 1 else settings.TIME_ZONE)


def _freshness(now: datetime, zone: ZoneInfo) -> shapes.Freshness:
    real = clock.real_now()
    bent = SystemClock.objects.values_list("speed", "paused").first()
    simulated = ""
    if bent is not None:
        speed, paused = bent
        simulated = f"simulated time, {'paused' if paused else f'{speed:g} x'}"
    dead_before = real - timedelta(seconds=settings.SENDER_DEAD_SECONDS)
    # The stand-in for dead senders has beaten in the infinite past: no datetime.
    senders = Sender.objects.filter(heartbeat_at__gt=real - SENDERS_REMEMBERED)
    beats = list(
        senders.order_by("-heartbeat_at").values_list("heartbeat_at", flat=True)
    )
    alive = sum(beat >= dead_before for beat in beats)
    tick, tick_tone = _tick(real)
    if alive:
        senders_are = f"{counted(alive, 'sender')} alive"
    elif beats:
        senders_are = f"no sender for {span(real - beats[0])}"
    else:
        senders_are = "no sender"
    local = now.astimezone(zone)
    return shapes.Freshness(
        time=f"{local:%H:%M:%S}",
        zone=f"{local:%Z}",
        simulated=simulated,
        tick=tick,
        tick_tone=tick_tone,
        senders=senders_are,
        senders_tone="" if alive else "critical",
    )


def _tick(real: datetime) -> tuple[str, shapes.Tone]:
    """Say when the control loop last ran, in real time."""
    turned_at = LoopTurn.objects.values_list("real_at", flat=True).first()
    if turned_at is None:
        return "control loop never ran", "critical"
    ago = real - turned_at
    late = ago > TICKS_MISSED * timedelta(seconds=settings.TICK_SECONDS)
    return f"control loop ran {span(ago)} ago", "critical" if late else ""


def _samples(events: Sequence[GridEvent]) -> dict[int, list[Sample]]:
    """Return each event's samples, thinned to what a chart can show."""
    samples: dict[int, list[Sample]] = {event.pk: [] for event in events}
    if not events:
        return samples
    longest = max(event.ends_at - event.starts_at for event in events)
    with connection.cursor() as cursor:
        cursor.execute(
            THINNED,
            {
                "events": [event.pk for event in events],
                "slot": longest.total_seconds() / CHART_POINTS,
                "origin": events[0].starts_at,
            },
        )
        for event_id, *values in cursor.fetchall():
            samples[event_id].append(Sample(*values))
    return samples


def _running(
    event: GridEvent,
    samples: Sequence[Sample],
    gone: results.Left,
    broken: results.Broken,
    caught: Sequence[results.Caught],
    cap: restore_caps.Cap,
    *,
    now: datetime,
    zone: ZoneInfo,
) -> shapes.Running:
    newest = samples[-1] if samples else None
    restoring = event.status == EventStatus.RESTORING
    left = event.ends_at - now
    passed = (now - event.starts_at) / (event.ends_at - event.starts_at) * 100
    confirmed, unconfirmed, blind = (
        (newest.confirmed_kw, newest.unconfirmed_kw, newest.blind_kw)
        if newest
        else (0.0, 0.0, 0.0)
    )
    full = max(event.target_kw or 0.0, confirmed + unconfirmed + blind, 0.001)
    tone, verdict = verdicts.verdict(event, newest, now)
    if restoring:
        began = event.restoring_at or event.ends_at
        left_words = f"giving back for {span(now - began)}"
    else:
        left_words = f"{span(left)} left" if left > timedelta() else "ending"
    return shapes.Running(
        id=event.pk,
        name=event.program.name,
        kind=event.kind,
        doing="restoring" if restoring else "holding",
        window=_window(event, zone, now),
        left=left_words,
        passed_percent=round(min(max(passed, 0.0), 100.0)),
        is_restoring=restoring,
        target="" if event.target_kw is None else kilowatts(event.target_kw),
        confirmed=kilowatts(confirmed) if newest else "",
        unconfirmed=kilowatts(unconfirmed) if newest else "",
        blind=kilowatts(blind) if newest else "",
        confirmed_percent=round(confirmed / full * 100),
        unconfirmed_percent=round(unconfirmed / full * 100),
        blind_percent=round(blind / full * 100),
        target_percent=(
            None if event.target_kw is None else round(event.target_kw / full * 100)
        ),
        tone=tone,
        verdict=verdict,
        chart=draw(
            samples,
            starts_at=event.starts_at,
            ends_at=event.ends_at,
            target_kw=event.target_kw,
            now=now,
            zone=zone,
        ),
        shed=verdicts.shed(newest)[0],
        shed_interval=verdicts.shed(newest)[1],
        cautions=tuple(map(sentence, newest.cautions)) if newest else (),
        cap=f"given back under {kilowatts(cap.kw)} kW: {cap.chosen}"
        if restoring and isfinite(cap.kw)
        else "",
        has_unconfirmed=unconfirmed > 0,
        has_blind=blind > 0,
        gone=verdicts.gone(gone),
        gone_tone="warning" if gone.late else "",
        broken=verdicts.broken(broken),
        caught=tuple(
            f"{sentence(one.make.lower())}: {counted(one.cars, 'plug-in')}, half judged"
            f" within {span(timedelta(seconds=one.half_within_seconds))}, all within"
            f" {span(timedelta(seconds=one.all_within_seconds))}"
            for one in caught[:MAKES_SHOWN]
        ),
    )


def _coming(
    events: Sequence[GridEvent], now: datetime, zone: ZoneInfo
) -> Iterator[shapes.Coming]:
    ahead = [event for event in events if not event.is_running]
    for event in sorted(ahead, key=lambda event: event.starts_at):
        wait = event.starts_at - now
        pending = event.status == EventStatus.PENDING
        yield shapes.Coming(
            id=event.pk,
            name=event.program.name,
            kind=event.kind,
            window=_window(event, zone, now),
            starts=f"in {span(wait)}" if wait > timedelta() else "due now",
            note=(
                f"waits for approval: {event.pending_reason or 'beyond its envelope'}"
                if pending
                else "scheduled"
            ),
            is_pending=pending,
        )


def _window(event: GridEvent, zone: ZoneInfo, now: datetime) -> str:
    begin = clock_time(event.starts_at, zone, seen_from=now)
    end = clock_time(event.ends_at, zone, seen_from=event.starts_at)
    return f"{begin} to {end} {event.ends_at.astimezone(zone):%Z}"


def _alarms(now: datetime) -> shapes.Alarms:
    critical = Alarm.Severity.CRITICAL
    rows = list(
        Alarm.objects.filter(cleared_at=None)
        .order_by(
            Case(When(severity=critical, then=Value(0)), default=Value(1)),
            "raised_at",
            "id",
        )
        .values_list("severity", "text", "raised_at")
    )
    lines = tuple(
        shapes.AlarmLine(
            text=sentence(text),
            tone="critical" if severity == critical else "warning",
            severity=sentence(severity),
            since=span(now - raised_at),
        )
        for severity, text, raised_at in rows[:ALARMS_SHOWN]
    )
    return shapes.Alarms(
        lines=lines,
        number=len(rows),
        critical=sum(severity == critical for severity, _, _ in rows),
        hidden=len(rows) - len(lines),
    )


def _envelopes() -> list[Envelope]:
    """Return the envelopes whose switch is set."""
    rows = Envelope.objects.exclude(holds_stopped_at=None)
    return list(
        rows.select_related("program", "feeder").order_by("program_id", "feeder_id")
    )


def _actions(
    running: Sequence[GridEvent],
    envelopes: Sequence[Envelope],
    zone: ZoneInfo,
    now: datetime,
) -> shapes.Actions:
    stopped = tuple(
        shapes.Stopped(
            program_id=envelope.program_id,
            feeder_id=envelope.feeder_id,
            what=str(envelope.program or envelope.feeder or "everything"),
            by=envelope.holds_stopped_by or "somebody",
            since=clock_time(envelope.holds_stopped_at, zone, seen_from=now),
        )
        for envelope in envelopes
        if envelope.holds_stopped_at is not None
    )
    can_end = tuple(
        (event.pk, event.program.name)
        for event in running
        if event.status == EventStatus.ACTIVE
    )
    areas = tuple(
        shapes.AreaOff(
            id=hold_off.pk,
            text=f"{sentence(hold_off.kind)} {area_hold_offs.where(hold_off)}, by "
            f"{hold_off.declared_by}",
        )
        for hold_off in area_hold_offs.lasting(now)
        .select_related("program")
        .prefetch_related("feeders")
        .order_by("id")
    )
    waiting = EnvelopeChange.objects.filter(status=EnvelopeChangeStatus.PROPOSED)
    proposals = waiting.count()
    return shapes.Actions(
        stopped=stopped,
        everything_is_stopped=any(
            one.program_id is None and one.feeder_id is None for one in stopped
        ),
        can_end=can_end,
        areas=areas,
        proposals=proposals,
        key=" ".join(
            [f"stopped:{one.program_id}:{one.feeder_id}" for one in stopped]
            + [f"end:{pk}" for pk, _ in can_end]
            + [f"area:{area.id}" for area in areas]
            + [f"proposals:{proposals}"]
        ),
    )
