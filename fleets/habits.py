"""How long a car that stands at home usually stays, from how long it stayed: pure.

A quantile of few stays is noise. So each weekday's are mixed with the car's of all days
and with the program's, which count as much as a few stays would: its own outweigh them
as they grow in number, and nothing has to be switched over at some count.

A week is parted into blocks, because a car that stands there at six in the evening may
be on its way to training, and at midnight is not. The stays of a block are those of
which a part fell into it. When they ended is told in slots since the midnight before
the block, rounded down: a car is ready early rather than late.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from fleets import charging
from fleets.charging import Floats

Ints = NDArray[np.int64]

DAYS = 7  # Monday first
BLOCK_HOURS = 3
BLOCKS = 24 // BLOCK_HOURS  # a day
SLOT_SECONDS = 15 * 60
SLOTS_A_DAY = 24 * 3600 // SLOT_SECONDS
SLOTS = 2 * SLOTS_A_DAY  # who stays longer has time enough

# What the mixture's other parts count for, in stays of one weekday. Few, since eight
# weeks hold eight of them; together three weeks' worth.
WEIGHT_OF_CAR = 2.0
WEIGHT_OF_PROGRAM = 1.0
# How many stays outweigh the program's ready-by, where it knows its cars little.
WEIGHT_OF_DEFAULT = 20.0


def usual_departures(
    own: Floats, program: Floats, *, ready_by_slot: int, quantile: float
) -> Ints:
    """Return the slots before which so few leave (n, DAYS, BLOCKS).

    `own` counts each car's stays by block and last slot (n, DAYS, BLOCKS, SLOTS),
    `program` those of its cars (DAYS, BLOCKS, SLOTS).
    """
    prior = np.asarray(program, dtype=float).copy()
    prior[:, np.arange(BLOCKS), _defaults(ready_by_slot)] += WEIGHT_OF_DEFAULT
    prior *= WEIGHT_OF_PROGRAM / prior.sum(axis=-1, keepdims=True)
    of_car = own.sum(axis=1, keepdims=True)
    known = of_car.sum(axis=-1, keepdims=True)
    of_car = WEIGHT_OF_CAR * of_car / np.maximum(known, 1.0)

    left = np.cumsum(own + of_car + prior, axis=-1)
    few = quantile * left[..., -1:]
    # Sums of shares round: what falls short of the quantile by that has reached it.
    reached: Ints = np.argmax(left >= few * (1.0 - 1e-9), axis=-1).astype(np.int64)
    return reached


def arrival_shares(own: Floats, *, looked_slot: Ints, slots_since: Ints) -> Floats:
    """Return the share of each car's arrivals that fall between a look and now (n).

    `own` counts them by the slot of the day (n, SLOTS_A_DAY). They lean on those of all
    cars, and those on all hours alike.
    """
    of_all = own.sum(axis=0) + 1.0
    after = np.arange(SLOTS_A_DAY)[None, :] - looked_slot[:, None]
    is_between = after % SLOTS_A_DAY <= slots_since[:, None]
    of_all = WEIGHT_OF_PROGRAM * of_all / of_all.sum()
    weights = own + of_all
    shares: Floats = (weights * is_between).sum(axis=1) / weights.sum(axis=1)
    return shares


def blocks_at(local: datetime) -> tuple[int, int]:
    """Return which block of the week a moment of the wall clock is in, and the next."""
    block = local.weekday() * BLOCKS + local.hour // BLOCK_HOURS
    return block, (block + 1) % (DAYS * BLOCKS)


def next_departure(
    said_today: Floats,
    said_tomorrow: Floats,
    *,
    usual_seconds: float,
    slot: Floats,
    later_slot: Floats,
    plugged_in_at: Floats,
    zone: ZoneInfo,
    now: datetime,
) -> Floats:
    """Return when each car leaves, in seconds since 1970: said, learnt or usual (n).

    The customer's word for a day goes before what was learnt, and that before the
    program's `usual_seconds`. NaN is unsaid, and unknown; `slot` is of the block that
    now is in, `later_slot` of the next.
    """
    local = now.astimezone(zone)
    said = charging.next_departure(said_today, said_tomorrow, zone=zone, now=now)
    unlearnt = charging.next_departure(
        np.where(np.isnan(said_today), usual_seconds, said_today),
        np.where(np.isnan(said_tomorrow), usual_seconds, said_tomorrow),
        zone=zone,
        now=now,
    )
    today, tomorrow = local.date(), local.date() + timedelta(days=1)
    day_of_next = (local + timedelta(hours=BLOCK_HOURS)).date()
    leaves = charging.on_the_wall(slot * SLOT_SECONDS, today, zone=zone)
    later = charging.on_the_wall(later_slot * SLOT_SECONDS, day_of_next, zone=zone)
    # Who stands there since before that moment is about to leave, not gone until
    # tomorrow; who came after it has a stay that the next block knows.
    came_after = (leaves <= now.timestamp()) & (plugged_in_at >= leaves)
    learnt = np.where(came_after, later, leaves)
    midnight = float(charging.on_the_wall(0.0, tomorrow, zone=zone)[0])
    of_its_day = np.where(learnt < midnight, said_today, said_tomorrow)
    is_learnt = ~np.isnan(learnt) & np.isnan(of_its_day)
    return np.where(is_learnt, np.fmin(learnt, said), unlearnt)


def _defaults(ready_by_slot: int) -> Ints:
    """Return the slot of the program's next ready-by, for each block of a day."""
    begins = np.arange(BLOCKS) * (SLOTS_A_DAY // BLOCKS)
    slots: Ints = np.where(
        ready_by_slot >= begins, ready_by_slot, ready_by_slot + SLOTS_A_DAY
    )
    return slots
