"""What an event would do if it began now: the same decision, with nothing written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from django.db.models import Q

from dispatch import limits, planner, room, shed, snapshot
from dispatch.models import Envelope, GridEvent
from dispatch.planner import Act, Floats
from dispatch.planner.cautions import SHED_COMMON_SHARE, SHED_Z
from dispatch.rehearsal import frontier
from dispatch.rehearsal.evening import NEXT_NOON, STEP_SECONDS
from dispatch.rehearsal.frontier import Point
from dispatch.snapshot.coming import coming_kw
from fleets.providers import throttle

# What is expected after so many minutes, and then by the hour.
LOOKS_MINUTES = (5, 15, 30)
# Restore caps to choose from, from the lowest that everybody's departure lets stand.
CAPS_SHOWN = 5


@dataclass(frozen=True)
class Expectation:
    """What those that are called would bring so long after the begin, in kW.

    Of the calls that have left by then, and of cars that would not be full yet.
    """

    minutes: int
    kw: float
    low_kw: float  # 90 % interval
    high_kw: float


@dataclass(frozen=True)
class Preview:
    """What would be called, what it would bring, and how fast."""

    cars: int  # that it is aimed at, and that consented
    called: int
    spared: tuple[tuple[str, int], ...]  # why, and how many; the most first
    expected_kw: float  # of those that are called, by their chance to respond
    low_kw: float  # 90 % interval
    high_kw: float
    called_kw: float
    calls: int
    takes: timedelta  # until the last call has left
    course: tuple[Expectation, ...]  # over the event
    restore: tuple[Point, ...]  # what each cap would cost; late cars per 1,000 called
    cautions: tuple[str, ...]


def preview(event: GridEvent, *, now: datetime) -> Preview:
    """Decide as if the event began now; write nothing, and call nobody."""
    seen = snapshot.take(event.program, [event], now=now)
    coming = seen.events[0]
    lasts = event.ends_at - max(event.starts_at, now)
    ends_at = (now + lasts).timestamp()
    begun = replace(
        coming,
        holding=True,
        ends_at=ends_at,
        back_by=coming.back_by - coming.ends_at + ends_at,
    )
    intents = planner.decide(
        seen.program, seen.cars, [begun], seen.provider, now=now.timestamp()
    )
    called = intents.to(Act.HOLD)
    spared = intents.to(Act.SPARE).by_reason()
    kw = seen.cars.power_kw[called.place]
    chance = seen.cars.response[called.place]
    expected, spread = _sum(kw, chance)
    calls = np.where(called.limit_percent > 0, limits.CALLS, 1)
    leaves_at = _leaves_after(event, calls, kw, now=now)
    return Preview(
        cars=int((begun.aimed & seen.cars.consented).sum()),
        called=len(called),
        spared=tuple(
            sorted(
                ((str(reason), len(places)) for reason, places in spared.items()),
                key=lambda one: (-one[1], one[0]),
            )
        ),
        expected_kw=expected,
        low_kw=max(expected - SHED_Z * spread, 0.0),
        high_kw=min(expected + SHED_Z * spread, float(kw.sum())),
        called_kw=float(kw.sum()),
        calls=int(calls.sum()),
        takes=timedelta(seconds=float(leaves_at.max(initial=0.0))),
        course=_course(
            kw,
            chance,
            leaves_at,
            seen.cars.charge_seconds[called.place] / 3600.0,
            lasts=lasts,
        ),
        restore=_frontier(event, seen, begun, called.place, now=now),
        cautions=tuple(
            str(one)
            for one in planner.cautions(
                seen.program, seen.cars, begun, intents, now=now.timestamp()
            )
        ),
    )


def _frontier(
    of: GridEvent,
    seen: snapshot.Snapshot,
    event: planner.Event,
    called: planner.Ints,
    *,
    now: datetime,
) -> tuple[Point, ...]:
    """Return what restore caps would cost, were these cars held until the event's end.

    Beside them charge those that are not called and, by the forecast, those to come.
    """
    cars, begins = seen.cars, now.timestamp()
    ends = max(int((event.ends_at - begins) // STEP_SECONDS), 1)
    if not len(called) or ends >= NEXT_NOON:
        return ()
    spared: planner.Bools = np.ones(cars.n, dtype=bool)
    spared[called] = False
    drawn_kw = np.where(spared & cars.charging, cars.power_kw, 0.0)
    ahead_kw = room.ahead_kw(drawn_kw, cars.charge_seconds)
    ahead_kw += coming_kw(of.program, ahead_kw, now=now)
    debts = frontier.debts_of(
        cars,
        called,
        kw=cars.power_kw,
        back_by=event.back_by,
        ahead_kw=ahead_kw,
        now=begins,
        ends=ends,
    )
    lowest = frontier.lowest_cap(debts).cap_kw
    highest = frontier.point(debts, float("inf")).peak_kw
    caps = np.linspace(lowest, max(highest, lowest), CAPS_SHOWN)
    if highest <= lowest * (1.0 + 2.0 * frontier.CAP_PRECISION):
        caps = np.array([highest])  # nothing to choose: they all could start at once
    return tuple(
        replace(one, late=one.late / len(debts.ready) * 1000.0)
        for one in frontier.frontier(debts, caps.tolist())
    )


def _course(
    kw: Floats,
    chance: Floats,
    leaves_at: Floats,
    hours_to_full: Floats,
    *,
    lasts: timedelta,
) -> tuple[Expectation, ...]:
    """Return what is expected over an event, of cars that are here now."""
    end = int(lasts.total_seconds() // 60)
    looks = [*(look for look in LOOKS_MINUTES if look < end), *range(60, end, 60), end]
    found = []
    for minutes in looks:
        called_kw = np.where(leaves_at <= minutes * 60.0, kw, 0.0)
        share = shed.would_draw_share(hours_to_full, np.full(len(kw), minutes / 60.0))
        mean, spread = _sum(called_kw, chance * share)
        # All may be wrong in the same direction about who would be full.
        full_kw = float((called_kw * chance).sum()) - mean
        spread = SHED_Z * float(np.hypot(spread, SHED_COMMON_SHARE * full_kw))
        high_kw = min(mean + spread, float(called_kw.sum()))
        found.append(Expectation(minutes, mean, max(mean - spread, 0.0), high_kw))
    return tuple(found)


def _sum(kw: Floats, chance: Floats) -> tuple[float, float]:
    """Return mean and standard deviation of what comes of independent cars (kW)."""
    variance = float((kw**2 * chance * (1.0 - chance)).sum())
    return float((kw * chance).sum()), variance**0.5


def _leaves_after(
    event: GridEvent, calls: planner.Ints, kw: Floats, *, now: datetime
) -> Floats:
    """Return when each call leaves, from now (s): by the provider, and the envelopes.

    What is kept for restores is not spent on holds.
    """
    bucket = throttle.glance(now).application
    at_once = max(bucket.tokens - throttle.reserve_calls(bucket), 0.0)
    wait = throttle.duration_of(0, now=now)
    beyond = np.maximum(np.cumsum(calls) - at_once, 0.0)
    by_calls = wait.total_seconds() + beyond / throttle.calls_per_minute() * 60.0
    bounds = Envelope.objects.filter(
        Q(program=event.program_id) | Q(program=None, feeder=None)
    ).values_list("max_kw_per_minute", flat=True)
    kw_per_minute = min(bounds, default=float("inf"))
    # The first minute's kW may leave at once.
    minutes = np.maximum(np.ceil(np.cumsum(kw) / kw_per_minute) - 1.0, 0.0)
    found: Floats = np.maximum(by_calls, minutes * 60.0)
    return found
