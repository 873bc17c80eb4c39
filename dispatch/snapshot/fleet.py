"""Columns to the planner's cars."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from dispatch import (
    area_hold_offs,
    planner,
    response,
    shed,
)
from dispatch.lifecycle import (
    CommandStatus,
    HoldStatus,
)
from dispatch.models import Envelope
from dispatch.planner import Debt
from dispatch.snapshot.rows import Columns
from fleets import charging, habits
from fleets.last_known import LARGEST_POWER_KW
from fleets.models import Program
from fleets.providers import makes


def cars(
    program: Program, columns: Columns, now: datetime, *, bounding: Sequence[int]
) -> planner.Cars:
    """Return the program's cars, and those that it still owes something.

    `bounding` are the feeders that bound restores, ascending.
    """

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
        zone=program.zone,
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
        feeder=_places(feeder_ids, bounding),
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


def drawn_kw(columns: Columns, cars: planner.Cars) -> planner.Floats:
    """Return what each car draws, or will from a restore on its way (n)."""
    charges = cars.consented & cars.charging & cars.owes(Debt.NONE)
    going_back = np.array(columns["going_back"], dtype=bool)
    return np.where(charges, cars.power_kw, np.where(going_back, cars.held_kw, 0.0))


def _places(feeder_ids: planner.Ints, bounding: Sequence[int]) -> planner.Ints:
    """Return where each car's feeder stands among these; -1: it does not (n)."""
    places = np.searchsorted(np.array(bounding, dtype=np.int64), feeder_ids)
    return np.where(np.isin(feeder_ids, bounding), places, -1)


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
