"""Areas on hold-off: evacuation, storm, outage.

While one lasts, no car of the area is held by any event, and what is owed there goes
back. One person may declare it: it is the safe direction. An outage differs: nothing is
commanded until it is over, and what was held through it returns by the program's ramp
for picking up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import numpy as np
from django.db import connection, transaction
from django.db.models import Q, QuerySet

from dispatch import alarms, audit
from dispatch.event_rules import Finding, Invalid, WrongMoment
from dispatch.lifecycle import AreaKind
from dispatch.models import Alarm, AreaHoldOff
from dispatch.planner import Area, Floats, Ints, Texts
from fleets.models import Feeder, Program, Substation

# An ended outage matters while a hold from before its end may be open: longer than a
# restore is tried before a person is asked.
REMEMBERED = timedelta(days=2)
# Nobody can foresee an end that far away: a typing error in the date.
LONGEST = timedelta(days=60)


def declare(
    *,
    kind: AreaKind,
    program: Program | None,
    feeders: Sequence[Feeder],
    substations: Sequence[Substation],
    starts_at: datetime | None,
    ends_at: datetime | None,
    reason: str,
    actor: str,
    now: datetime,
) -> AreaHoldOff:
    """Keep an area free of holds from `starts_at` (None: now) on.

    No feeder and no substation is everywhere. A substation stands for the feeders that
    it has now. `ends_at` None lasts until somebody lifts it.
    """
    starts_at = max(starts_at or now, now)
    _check(feeders, substations, starts_at=starts_at, ends_at=ends_at, now=now)
    area = {
        *(feeder.pk for feeder in feeders),
        *Feeder.objects.filter(substation__in=substations).values_list("pk", flat=True),
    }
    with transaction.atomic():
        hold_off = AreaHoldOff.objects.create(
            kind=kind,
            program=program,
            is_everywhere=not (feeders or substations),
            reason=reason,
            starts_at=starts_at,
            ends_at=ends_at,
            declared_at=now,
            declared_by=actor,
        )
        hold_off.feeders.set(area)
        _show(hold_off, now=now)
        if ends_at is not None:
            _pace_restores(hold_off, now=now)
        audit.write(
            "declare area hold-off",
            subject=subject_of(hold_off),
            actor=actor,
            now=now,
            why=reason,
            kind=str(kind),
            program=program.code if program else None,
            substations=sorted(station.code for station in substations),
            feeders=sorted(feeder.code for feeder in feeders),
            starts_at=starts_at.isoformat(),
            ends_at=ends_at.isoformat() if ends_at else None,
        )
    return hold_off


def lift(
    hold_off: AreaHoldOff, *, actor: str, now: datetime, why: str = ""
) -> AreaHoldOff:
    """End it now; asked again it changes nothing."""
    with transaction.atomic():
        locked = AreaHoldOff.objects.select_for_update(no_key=True).get(pk=hold_off.pk)
        if locked.lifted_at is not None:
            return locked
        if locked.ends_at is not None and locked.ends_at <= now:
            raise WrongMoment("It has ended by itself.")
        locked.ends_at = max(now, locked.starts_at)
        locked.lifted_at, locked.lifted_by = now, actor
        locked.save(update_fields=["ends_at", "lifted_at", "lifted_by"])
        alarms.clear([alarm_key(locked)], now=now)
        _pace_restores(locked, now=now)
        audit.write(
            "lift area hold-off",
            subject=subject_of(locked),
            actor=actor,
            now=now,
            why=why,
        )
    return locked


def lasting(now: datetime) -> QuerySet[AreaHoldOff]:
    """Return those that last now or will."""
    return AreaHoldOff.objects.filter(Q(ends_at=None) | Q(ends_at__gt=now))


def watch(now: datetime) -> None:
    """Clear the alarms of those that ended by themselves."""
    ended = AreaHoldOff.objects.filter(ends_at__lte=now, ends_at__gt=now - REMEMBERED)
    alarms.clear([alarm_key(hold_off) for hold_off in ended], now=now)


def standing(
    program: Program, *, feeder_ids: Ints, opened_at: Floats, now: datetime
) -> Texts:
    """Return what hold-offs mean for each car (n).

    `opened_at` is the moment of its open hold, minus infinity without one.
    """
    hold_offs = AreaHoldOff.objects.filter(
        Q(program=None) | Q(program=program),
        Q(ends_at=None) | Q(ends_at__gt=now - REMEMBERED),
        starts_at__lte=now,
    ).prefetch_related("feeders")
    off = np.zeros(len(feeder_ids), dtype=bool)
    dark, picked_up = off.copy(), off.copy()
    for hold_off in hold_offs:
        inside = np.ones(len(feeder_ids), dtype=bool)
        if not hold_off.is_everywhere:
            inside = np.isin(
                feeder_ids, [feeder.pk for feeder in hold_off.feeders.all()]
            )
        outage = hold_off.kind == AreaKind.OUTAGE
        if hold_off.ends_at is None or hold_off.ends_at > now:
            off |= inside
            if outage:
                dark |= inside
        elif outage and hold_off.ends_at > hold_off.starts_at:
            held = np.isfinite(opened_at)
            picked_up |= inside & held & (opened_at < hold_off.ends_at.timestamp())
    areas: Texts = np.select(
        [dark, picked_up, off],
        [
            np.array(str(area), dtype="U8")
            for area in (Area.DARK, Area.PICK_UP, Area.OFF)
        ],
        default=np.array(str(Area.NONE), dtype="U8"),
    )
    return areas


def subject_of(hold_off: AreaHoldOff) -> str:
    """Return its name in the audit trail."""
    return f"area hold-off {hold_off.pk}"


def alarm_key(hold_off: AreaHoldOff) -> str:
    """Return the key of the alarm that tells of it."""
    return f"area:{hold_off.pk}"


def where(hold_off: AreaHoldOff) -> str:
    """Return its area in words."""
    feeders = sorted(feeder.code for feeder in hold_off.feeders.all())
    if hold_off.is_everywhere:
        place = "everywhere"
    else:
        more = f" and {len(feeders) - 5} more" if len(feeders) > 5 else ""
        place = f"on {', '.join(feeders[:5])}{more}" if feeders else "nowhere"
    return f"{place}, {hold_off.program}" if hold_off.program else place


def _check(
    feeders: Sequence[Feeder],
    substations: Sequence[Substation],
    *,
    starts_at: datetime,
    ends_at: datetime | None,
    now: datetime,
) -> None:
    findings = list(_findings(starts_at, ends_at, now))
    inside = Feeder.objects.filter(substation__in=substations)
    if substations and not feeders and not inside.exists():
        message = "These substations have no feeders, so this would stop nothing."
        findings.append(Finding("substations", "empty", message))
    if findings:
        raise Invalid(findings)


def _findings(
    starts_at: datetime, ends_at: datetime | None, now: datetime
) -> Iterable[Finding]:
    if ends_at is not None and ends_at <= starts_at:
        yield Finding(
            "ends_at", "ends_before_start", "It would end before it begins, or has."
        )
    if max(starts_at, ends_at or starts_at) > now + LONGEST:
        yield Finding(
            "ends_at", "too_far", f"That is more than {LONGEST.days} days ahead."
        )


def _show(hold_off: AreaHoldOff, *, now: datetime) -> None:
    until = f" until {hold_off.ends_at:%Y-%m-%d %H:%M %Z}" if hold_off.ends_at else ""
    alarms.raise_alarm(
        alarm_key(hold_off),
        f"{hold_off.kind} {where(hold_off)}{until}: no car is held there",
        now=now,
        severity=Alarm.Severity.WARNING,
    )


# One program's line each, least slack first; a row waits for the kW before it. Locked
# in id order first, as everybody locks commands.
PACE = """
with locked as (
    select c.id, c.hold_id from dispatch_command c
    where c.status = 'queued' and c.is_restore and exists (
        select from fleets_vehicle v
        where v.id = c.vehicle_id and (%(everywhere)s or v.feeder_id = any(%(feeders)s))
    )
    order by c.id
    for no key update
), paced as (
    select locked.id, sum(h.power_kw) over line - h.power_kw as before_kw,
        p.pick_up_ramp_kw_per_minute as ramp
    from locked
    join dispatch_hold h on h.id = locked.hold_id
    join dispatch_gridevent g on g.id = h.event_id
    join fleets_program p on p.id = g.program_id
    where %(program)s::bigint is null or p.id = %(program)s
    window line as (
        partition by p.id order by h.latest_start_at nulls last, locked.id
    )
)
update dispatch_command c
set due_at = greatest(
    c.due_at, %(from)s + make_interval(secs => 60.0 * paced.before_kw / paced.ramp)
)
from paced where c.id = paced.id
"""


def _pace_restores(hold_off: AreaHoldOff, *, now: datetime) -> None:
    """Let restores that an outage holds up leave by the ramp, not all at its end."""
    if hold_off.kind != AreaKind.OUTAGE:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            PACE,
            {
                "everywhere": hold_off.is_everywhere,
                "feeders": [feeder.pk for feeder in hold_off.feeders.all()],
                "program": hold_off.program_id,
                "from": max(hold_off.ends_at or now, now),
            },
        )
