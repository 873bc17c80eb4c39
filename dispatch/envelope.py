"""How big a step may be before a second person must agree, and the one switch.

What an event could take off at worst is its `Step`:

- kW: its target, or without one the usual power of every car that it aims at;
- cars: those it aims at, or as many as the target needs at their mean power;
- kW per minute: what the provider's limits let us stop in the first minute. A target
  behind a slow provider is a slow step, however large it is.

What counts is the step together with those of other events of the program that may
take at the same time, at most all of its cars: an event cut into small ones is still a
large one. A step that is larger than the program's envelope waits for approval, and
so does one event too many at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Count, Model, Sum

from dispatch.event_rules import Shape, listed, shape_of
from dispatch.lifecycle import EventStatus
from dispatch.models import Envelope, GridEvent
from fleets.models import Program, Vehicle

LONGEST_WORDS = 200  # what `pending_reason` holds
# Each event that runs is judged for every car at every turn. More at once than anybody
# plans - a grid system's own loop, a token in wrong hands - would slow the turns down,
# and all that is given back with them.
MOST_AT_ONCE = 20


@dataclass(frozen=True)
class Step:
    """What an event could move at worst."""

    kw: float
    cars: int
    kw_per_minute: float

    def is_larger_than(self, other: Step) -> bool:
        """Return whether any of its sizes is above the other's."""
        return (
            self.kw > other.kw
            or self.cars > other.cars
            or self.kw_per_minute > other.kw_per_minute
        )


def step(program: Program, shape: Shape) -> Step:
    """Return how large an event of this shape could become."""
    target_kw = shape.target_kw
    aimed = Vehicle.objects.enrolled(program)
    if shape.feeders:
        aimed = aimed.filter(feeder__in=shape.feeders)
    if shape.vehicles:
        aimed = aimed.filter(pk__in=[vehicle.pk for vehicle in shape.vehicles])
    sums = aimed.aggregate(cars=Count("pk"), kw=Sum("usual_power_kw", default=0.0))
    aimed_cars, aimed_kw = int(sums["cars"]), float(sums["kw"])
    kw, cars = aimed_kw, aimed_cars
    if target_kw is not None:
        kw = target_kw
        if aimed_cars:
            cars = min(aimed_cars, math.ceil(target_kw * aimed_cars / aimed_kw))
    # The bucket's content and what flows in while the first minute lasts.
    calls = settings.PROVIDER_BUCKET_CALLS + settings.PROVIDER_REFILL_PER_MINUTE
    mean_kw = aimed_kw / aimed_cars if aimed_cars else 0.0
    return Step(kw=kw, cars=cars, kw_per_minute=min(kw, calls * mean_kw))


def excess(program: Program, shape: Shape, *, but: int | None = None) -> str:
    """Return in words what is too large with an event of this shape, or nothing.

    `but` is the event itself, when it is there already. Runs in the transaction that
    writes the event.
    """
    envelope = Envelope.objects.of(program)
    total, others = together(program, shape, but=but)
    parts = []
    if total.kw > envelope.max_kw:
        parts.append(f"{total.kw:,.0f} kW of {envelope.max_kw:,.0f} allowed")
    if total.cars > envelope.max_cars:
        parts.append(f"{total.cars:,} cars of {envelope.max_cars:,} allowed")
    if total.kw_per_minute > envelope.max_kw_per_minute:
        parts.append(
            f"{total.kw_per_minute:,.0f} kW in the first minute of "
            f"{envelope.max_kw_per_minute:,.0f} allowed"
        )
    if len(others) >= MOST_AT_ONCE:
        parts.append(f"{len(others) + 1:,} events at once of {MOST_AT_ONCE} allowed")
    if not parts:
        return ""
    along = f", together with event {listed(others)}," if others else ""
    return f"Larger than its envelope{along}: {'; '.join(parts)}."[:LONGEST_WORDS]


def together(
    program: Program, shape: Shape, *, but: int | None
) -> tuple[Step, list[int]]:
    """Return the step of all that may take while this event does, and the others."""
    own = step(program, shape)
    beside = GridEvent.objects.filter(
        program=program,
        status__in=(EventStatus.SCHEDULED, EventStatus.ACTIVE),
        starts_at__lt=shape.ends_at,
        ends_at__gt=shape.starts_at,
    ).order_by("id")
    others = [event for event in beside if event.pk != but]
    if not others:
        return own, []
    steps = [own, *(step(program, shape_of(event)) for event in others)]
    # A car is stopped once, however many events aim at it.
    most = step(program, Shape(shape.starts_at, shape.ends_at))
    total = Step(
        kw=max(own.kw, min(sum(one.kw for one in steps), most.kw)),
        cars=max(own.cars, min(sum(one.cars for one in steps), most.cars)),
        kw_per_minute=max(
            own.kw_per_minute,
            min(sum(one.kw_per_minute for one in steps), most.kw_per_minute),
        ),
    )
    return total, [event.pk for event in others]


def grows(program: Program, before: Shape, after: Shape) -> bool:
    """Return whether an amendment asks for more than was judged: size, hours or aim."""
    within = (
        before.starts_at <= after.starts_at
        and after.ends_at <= before.ends_at
        and _is_part(after.feeders, before.feeders)
        and _is_part(after.vehicles, before.vehicles)
    )
    return not within or step(program, after).is_larger_than(step(program, before))


def _is_part(after: Sequence[Model], before: Sequence[Model]) -> bool:
    """Return whether an aim lies within another; none at all is everywhere."""
    if not before:
        return True
    return bool(after) and {one.pk for one in after} <= {one.pk for one in before}
