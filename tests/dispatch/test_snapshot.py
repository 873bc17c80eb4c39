"""Rows to arrays: what the planner sees of one moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import pytest

from dispatch import snapshot
from dispatch.lifecycle import CommandStatus, EventStatus, HoldStatus
from dispatch.models import Command, Envelope, GridEvent, Hold, Participation
from dispatch.planner import Debt
from dispatch.room import AHEAD_SECONDS
from fleets import habits
from fleets.models import Bucket, Program, RestoreStyle, Vehicle, VehicleBucket
from tests.factories import HOUR, NOW
from tests.statements import statements

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]
MINUTE = timedelta(minutes=1)
LANDED = {"may_have_landed": True}
GIVES = {"is_restore": True}


def take(program: Program) -> snapshot.Snapshot:
    events = GridEvent.objects.filter(program=program).running().in_order()
    return snapshot.take(program, list(events), now=NOW)


@pytest.fixture
def event(program: Program, make_event: Make) -> GridEvent:
    running: GridEvent = make_event(program, status=EventStatus.ACTIVE)
    return running


def test_a_car_becomes_one_place_in_every_array(
    program: Program, ada: Vehicle, ben: Vehicle
) -> None:
    seen = take(program).cars

    assert seen.vehicle_id.tolist() == [ada.pk]
    assert seen.consented.tolist() == [True]
    assert seen.known.tolist() == [True]
    assert seen.plugged_in.tolist() == [True]
    assert seen.charging.tolist() == [True]
    assert seen.at_home.tolist() == [True]
    assert seen.away.tolist() == [False]
    assert seen.able.tolist() == [True]
    assert seen.soc_percent.tolist() == [50.0]
    assert seen.minimum_percent.tolist() == [30.0]
    assert seen.power_kw.tolist() == [7.0]
    assert seen.debt.tolist() == [Debt.NONE]
    assert seen.held_kw.tolist() == [0.0]
    assert seen.calls_left.tolist() == [490]


def test_a_program_without_cars_has_empty_arrays(program: Program) -> None:
    assert take(program).cars.vehicle_id.tolist() == []


@pytest.mark.parametrize(
    ("state", "array", "value"),
    [
        # nobody has heard of it yet
        ({"observed_at": None}, "known", False),
        ({"is_plugged_in": None}, "known", False),
        # it was charging and has been silent for too long
        ({"observed_at": NOW - 3 * HOUR - MINUTE}, "known", False),
        ({"observed_at": NOW - 3 * HOUR}, "known", True),
        # one that does not charge has no reason to speak
        (
            {"observed_at": NOW - 30 * HOUR, "is_charging": False}, "known", True,
        ),
        # away is known to be away; unknown is neither
        ({"is_home": False}, "away", True),
        ({"is_home": None}, "away", False),
        ({"is_home": None}, "at_home", False),
        # both directions are needed
        ({"can_stop": False}, "able", False),
        ({"can_start": False}, "able", False),
        # a maker that takes commands above 50 % alone
        ({"commands_from_soc_percent": 50.0}, "able", True),
        ({"commands_from_soc_percent": 50.5}, "able", False),
        # a car that does not say what it draws counts with what it usually draws
        ({"power_kw": None, "usual_power_kw": 11.0}, "power_kw", 11.0),
        ({"power_kw": 0.0, "usual_power_kw": 11.0}, "power_kw", 11.0),
    ],
)  # fmt: skip
def test_what_a_car_said_is_judged_once(
    program: Program, ada: Vehicle, state: dict[str, Any], array: str, value: object
) -> None:
    Vehicle.objects.update(**state)

    assert getattr(take(program).cars, array).tolist() == [value]


@pytest.mark.parametrize(
    ("told_at", "known"),
    [
        (NOW - MINUTE, True),
        # the newest reading did not mention it
        (NOW - 2 * MINUTE, False),
        (None, False),
    ],
)
def test_a_limit_is_known_if_the_newest_reading_told_it(
    program: Program, ada: Vehicle, told_at: datetime | None, known: bool
) -> None:
    Vehicle.objects.update(observed_at=NOW - MINUTE, limit_observed_at=told_at)

    (limit,) = take(program).cars.limit_percent.tolist()

    assert limit == 80.0 if known else np.isnan(limit)


def test_the_program_says_what_comes_first(program: Program) -> None:
    assert not take(program).program.limit_first

    program.tactic = "limit"

    assert take(program).program.limit_first


def test_a_lowered_limit_is_owed_two_calls_and_its_own_hours(
    program: Program, ada: Vehicle, event: GridEvent, make_stop: Make
) -> None:
    before = take(program).cars.latest_start.tolist()
    make_stop(event)
    Hold.objects.update(
        status="held", tactic="limit", limit_percent=80.0, our_limit_percent=60,
        latest_start_at=NOW + 30 * HOUR,
    )  # fmt: skip
    Vehicle.objects.update(limit_percent=60.0)

    seen = take(program)

    assert seen.cars.restore_calls.tolist() == [2]
    assert len(seen.provider.owed_latest_starts) == 2
    assert seen.cars.latest_start.tolist() == before


def test_a_limit_that_waits_for_its_car_counts_for_no_bound(
    program: Program, ada: Vehicle, event: GridEvent, make_stop: Make
) -> None:
    make_stop(event)
    Hold.objects.update(
        status="restoring", tactic="limit", limit_percent=80.0, our_limit_percent=60,
        restoring_at=NOW - HOUR,
    )  # fmt: skip
    here = take(program)
    Vehicle.objects.update(is_plugged_in=False, is_charging=False)
    away = take(program)

    assert (here.charging_kw, away.charging_kw) == (7.0, 0.0)
    assert [len(seen.provider.owed_latest_starts) for seen in (here, away)] == [2, 0]


def test_the_customers_minimum_goes_before_the_programs(
    program: Program, ada: Vehicle
) -> None:
    ada.enrolments.update(minimum_charge_percent=0.0)

    assert take(program).cars.minimum_percent.tolist() == [0.0]


@pytest.mark.parametrize(
    ("month", "left"),
    [
        # this month's calls count
        (NOW.date().replace(day=1), 500 - 10 - 40),
        # last month's do not
        (NOW.date().replace(month=1, day=1, year=2025), 500 - 10),
    ],
)
def test_calls_left_are_this_months_less_the_reserve(
    program: Program, ada: Vehicle, month: date, left: int
) -> None:
    VehicleBucket.objects.create(
        vehicle=ada, refilled_at=NOW, month=month, calls_this_month=40
    )

    assert take(program).cars.calls_left.tolist() == [left]


def test_the_latest_start_leaves_the_hours_it_needs(
    program: Program, ada: Vehicle
) -> None:
    # 30 % of 70 kWh at 7 kW are 3 h, and it is 17:00
    Vehicle.objects.update(battery_kwh=70.0)
    Program.objects.update(ready_by=time(23, 0))
    program.refresh_from_db()

    latest = take(program).cars.latest_start

    assert datetime.fromtimestamp(latest[0], UTC) == NOW + 3 * HOUR


WISH, LEARNT, USUAL = time(21, 0), time(22, 0), time(23, 0)
NO_WISH: list[time | None] = [None] * 7


def week(*, now: datetime | None = None, later: datetime | None = None) -> list[int]:
    """Return what was learnt: departures of today for this block and the next."""
    slots = [0] * (habits.DAYS * habits.BLOCKS)
    block, next_block = habits.blocks_at(NOW)
    for at, moment in ((block, now), (next_block, later)):
        if moment:
            slots[at] = (moment.hour * 60 + moment.minute) // 15
    return slots


AT_TEN = week(now=NOW.replace(hour=22))


@pytest.mark.parametrize(
    ("wish", "learnt", "departs"),
    [
        # what the customer says, what was learnt, what the program says
        ([WISH] * 7, AT_TEN, WISH),
        ([WISH] * 7, None, WISH),
        ([], AT_TEN, LEARNT),
        (NO_WISH, AT_TEN, LEARNT),
        ([], None, USUAL),
        # each day by itself: it is a Monday
        ([WISH, *NO_WISH[1:]], AT_TEN, WISH),
        ([None, *[WISH] * 6], AT_TEN, LEARNT),
    ],
)
def test_the_customers_word_goes_before_what_was_learnt_and_that_before_the_programs(
    program: Program,
    ada: Vehicle,
    wish: list[time | None],
    learnt: list[int] | None,
    departs: time,
) -> None:
    ada.enrolments.update(ready_by=wish, learnt_departures=learnt)
    Vehicle.objects.update(soc_percent=80.0)  # it has all it needs
    program.ready_by = USUAL

    latest = take(program).cars.latest_start

    assert datetime.fromtimestamp(latest[0], UTC) == datetime.combine(
        NOW.date(), departs, UTC
    )


@pytest.mark.parametrize(
    ("since", "departs"),
    [
        # it should have left an hour ago, and still stands there
        (NOW - 9 * HOUR, NOW - HOUR),
        # it has come since: the next block knows such stays
        (NOW - HOUR / 2, NOW + 4 * HOUR),
    ],
)
def test_a_car_that_is_overdue_by_what_was_learnt_is_about_to_leave(
    program: Program, ada: Vehicle, since: datetime, departs: datetime
) -> None:
    ada.enrolments.update(learnt_departures=week(now=NOW - HOUR, later=NOW + 4 * HOUR))
    Vehicle.objects.update(soc_percent=80.0, plugged_in_at=since)

    (latest,) = take(program).cars.latest_start.tolist()

    assert datetime.fromtimestamp(latest, UTC) == departs


@pytest.mark.parametrize("earlier", [timedelta(), HOUR, -HOUR])
def test_the_latest_start_is_the_earlier_of_promised_and_present(
    program: Program,
    ada: Vehicle,
    event: GridEvent,
    make_stop: Make,
    earlier: timedelta,
) -> None:
    present = datetime.fromtimestamp(take(program).cars.latest_start[0], UTC)
    make_stop(event)
    Hold.objects.update(latest_start_at=present - earlier)

    latest = take(program).cars.latest_start

    expected = present - max(earlier, timedelta())
    assert latest[0] == pytest.approx(expected.timestamp())


@pytest.mark.parametrize(
    ("hold", "command", "debt"),
    [
        # the stop waits: nothing was taken
        (HoldStatus.TAKING, {"status": "queued"}, Debt.UNTAKEN),
        # it waits to be repeated: the first may have landed
        (
            HoldStatus.TAKING, {"status": "queued", **LANDED},
            Debt.TAKEN,
        ),
        # on the wire
        (HoldStatus.TAKING, {"status": "sending"}, Debt.BUSY),
        # taken, or perhaps
        (HoldStatus.TAKING, {"status": "accepted", **LANDED}, Debt.TAKEN),
        (HoldStatus.TAKING, {"status": "unknown", **LANDED}, Debt.TAKEN),
        # nothing taken, and no stop will be sent any more
        (HoldStatus.TAKING, {"status": "expired"}, Debt.LAPSED),
        (HoldStatus.TAKING, {"status": "superseded"}, Debt.LAPSED),
        (HoldStatus.TAKING, {"status": "failed"}, Debt.LAPSED),
        # ... unless an earlier one may have landed
        (HoldStatus.TAKING, {"status": "expired", **LANDED}, Debt.TAKEN),
        (HoldStatus.HELD, {"status": "confirmed", **LANDED}, Debt.TAKEN),
        # being given back, or a person's
        (HoldStatus.RESTORING, {"status": "queued", **GIVES}, Debt.RESTORING),
        (HoldStatus.RESTORING, {"status": "sending", **GIVES}, Debt.RESTORING),
        (HoldStatus.UNRESOLVED, {"status": "failed", **GIVES}, Debt.RESTORING),
        # over
        (HoldStatus.RESTORED, {"status": "confirmed"}, Debt.NONE),
        (HoldStatus.RELEASED, {"status": "superseded"}, Debt.NONE),
    ],
)  # fmt: skip
def test_a_debt_says_how_far_a_hold_has_come(
    program: Program,
    event: GridEvent,
    make_stop: Make,
    hold: HoldStatus,
    command: dict[str, Any],
    debt: Debt,
) -> None:
    make_stop(event, **command)
    Hold.objects.update(status=hold)

    assert take(program).cars.debt.tolist() == [debt]


def test_the_newest_command_speaks_for_the_hold(
    program: Program, event: GridEvent, make_stop: Make
) -> None:
    stop = make_stop(event, status=CommandStatus.ACCEPTED, may_have_landed=True)
    Command.objects.create(
        vehicle=stop.vehicle, hold=stop.hold, event=event, event_version=1,
        kind="stop", is_restore=False, created_at=NOW, due_at=NOW, deadline_at=NOW,
    )  # fmt: skip

    assert take(program).cars.debt.tolist() == [Debt.UNTAKEN]


def test_a_customer_who_withdrew_is_still_owed(
    program: Program, ada: Vehicle, event: GridEvent, make_stop: Make
) -> None:
    make_stop(event)
    ada.enrolments.update(status="withdrawn", withdrawn_at=NOW)

    cars = take(program).cars

    assert cars.vehicle_id.tolist() == [ada.pk]
    assert cars.consented.tolist() == [False]
    assert cars.held_kw.tolist() == [7.0]


def test_what_another_program_owes_is_not_this_ones(
    program: Program, make_program: Make, make_event: Make, make_stop: Make
) -> None:
    make_stop(make_event(make_program(), status=EventStatus.ACTIVE))

    assert take(program).cars.debt.tolist() == [Debt.NONE]


def test_equal_cars_add_up(program: Program, make_enrolment: Make) -> None:
    for _ in range(3):
        make_enrolment(program)

    assert take(program).charging_kw == 21.0


def test_a_car_that_enrolled_twice_draws_once(
    program: Program, ada: Vehicle, make_program: Make, make_enrolment: Make
) -> None:
    make_enrolment(program, ada, status="withdrawn")
    make_enrolment(make_program(), ada, status="withdrawn")

    assert take(program).charging_kw == 7.0


@pytest.mark.parametrize(
    ("hold", "charging_kw", "last_minute_kw"),
    [
        # owed: whatever it was last seen to do, it is not counted
        ({"status": "held"}, 0.0, 0.0),
        # its start is on the way: it counts with what it drew
        ({"status": "restoring", "restoring_at": NOW - MINUTE}, 5.0, 0.0),
        ({"status": "restoring", "restoring_at": NOW - MINUTE / 2}, 5.0, 5.0),
        # back: it draws what it says, and its step was in the last minute
        ({"status": "restored", "restoring_at": NOW - MINUTE / 2}, 7.0, 5.0),
    ],
)
def test_restores_on_their_way_count_as_load(
    program: Program,
    event: GridEvent,
    make_stop: Make,
    hold: dict[str, Any],
    charging_kw: float,
    last_minute_kw: float,
) -> None:
    make_stop(event)
    Hold.objects.update(power_kw=5.0, **hold)

    found = take(program)

    assert found.charging_kw == charging_kw
    assert found.program.ahead_kw[0] == charging_kw
    assert found.program.restored_kw_last_minute == last_minute_kw


def test_no_cap_is_infinite(program: Program) -> None:
    assert take(program).program.restore_cap_kw == np.inf

    program.restore_cap_kw = 40.0
    assert take(program).program.restore_cap_kw == 40.0


@pytest.mark.parametrize(
    ("of_program", "restoring", "per_minute"),
    [
        # half of what the envelope lets go of cars of 7 kW
        (True, None, 2.0),
        (False, None, 2.0),
        (True, 14.0, 1.0),
        # the provider is slower
        (True, 700.0, 30.0),
    ],
)
def test_no_more_is_owed_than_the_envelope_lets_go_back(
    program: Program,
    ada: Vehicle,
    settings: Any,
    of_program: bool,
    restoring: float | None,
    per_minute: float,
) -> None:
    settings.PROVIDER_REFILL_PER_MINUTE = 60
    Envelope.objects.create(
        program=program if of_program else None, max_kw=9, max_cars=9,
        max_kw_per_minute=28.0, restoring_max_kw_per_minute=restoring,
    )  # fmt: skip

    assert take(program).provider.restores_per_minute == per_minute


def test_the_provider_gives_back_at_half_its_rate(
    program: Program, event: GridEvent, make_stop: Make
) -> None:
    Bucket.objects.create(
        name="application", capacity=120, refill_per_minute=2, refilled_at=NOW
    )
    make_stop(event)

    provider = take(program).provider

    assert provider.restores_per_minute == 1.0
    assert provider.reserve_calls == 24.0
    assert provider.owed_latest_starts.tolist() == [np.inf]


def test_an_event_brings_what_it_knows_of_each_car(
    program: Program, ada: Vehicle, chloe: Vehicle, event: GridEvent, make_stop: Make
) -> None:
    make_stop(event)
    Participation.objects.create(
        event=event, vehicle=chloe, status="spared", reason="opted out",
        judged_at=NOW - 10 * HOUR, opted_out_at=NOW,
    )  # fmt: skip

    (seen,) = take(program).events

    assert seen.event_id == event.pk
    assert seen.holding
    assert seen.standing.tolist() == ["claimed", "spared"]
    assert seen.reason.tolist() == ["target", "opted out"]
    assert seen.opted_out.tolist() == [False, True]
    # Ada was judged after her last reading, Chloé before hers
    assert seen.has_news.tolist() == [False, True]


@pytest.mark.parametrize(
    ("status", "holding"),
    [(EventStatus.ACTIVE, True), (EventStatus.RESTORING, False)],
)
def test_only_an_active_event_holds(
    program: Program, make_event: Make, status: EventStatus, holding: bool
) -> None:
    make_event(program, status=status)

    assert take(program).events[0].holding is holding


def test_feeders_and_single_cars_both_narrow_the_aim(
    program: Program, make_feeder: Make, make_event: Make, make_enrolment: Make
) -> None:
    north, south = make_feeder(), make_feeder()
    cars = [make_enrolment(program).vehicle for _ in range(3)]
    Vehicle.objects.filter(pk__in=[car.pk for car in cars[:2]]).update(feeder=north)
    Vehicle.objects.filter(pk=cars[2].pk).update(feeder=south)
    for aim in ({}, {"feeders": [north]}, {"feeders": [north], "vehicles": cars[1:]}):
        make_event(program, status=EventStatus.ACTIVE, **aim)

    aims = [event.aimed.tolist() for event in take(program).events]

    assert aims == [[True, True, True], [True, True, False], [False, True, False]]


@pytest.mark.parametrize(
    ("whose", "stopped"), [("this", True), ("everything", True), ("another", False)]
)
def test_the_switch_of_one_or_of_all_stops_holds(
    program: Program, event: GridEvent, make_program: Make, whose: str, stopped: bool
) -> None:
    of = {"this": program, "everything": None, "another": make_program()}[whose]
    Envelope.objects.create(
        program=of, max_kw=1, max_cars=1, max_kw_per_minute=1, holds_stopped_at=NOW
    )

    assert take(program).events[0].holds_stopped is stopped


def test_more_cars_cost_no_more_queries(
    program: Program, event: GridEvent, make_enrolment: Make
) -> None:
    def queries() -> int:
        with statements() as asked:
            take(program)
        return len(asked)

    make_enrolment(program)
    few = queries()
    for _ in range(5):
        make_enrolment(program)

    assert queries() == few


@pytest.mark.parametrize(
    ("style", "consent", "hours"),
    [
        (RestoreStyle.EVENT_ONLY, False, 3.0),
        # consent to more than the program does changes nothing
        (RestoreStyle.EVENT_ONLY, True, 3.0),
        # the program manages the night, but not of who did not agree to that
        (RestoreStyle.OVERNIGHT, False, 3.0),
        (RestoreStyle.OVERNIGHT, True, np.inf),
    ],
)
def test_what_was_taken_is_promised_back(
    program: Program,
    ada: Vehicle,
    event: GridEvent,
    style: RestoreStyle,
    consent: bool,
    hours: float,
) -> None:
    Program.objects.update(restore_style=style, restore_within_hours=3.0)
    program.refresh_from_db()
    if consent:
        ada.enrolments.update(
            overnight_consented_at=NOW, overnight_consent_wording="night-1"
        )

    (asked,) = take(program).events

    assert asked.back_by.tolist() == [event.ends_at.timestamp() + hours * 3600]


def test_load_ahead_ends_when_a_car_will_be_full(
    program: Program, ada: Vehicle
) -> None:
    seen = take(program)

    ahead_kw = seen.program.ahead_kw

    steps = int(np.ceil(seen.cars.charge_seconds[0] / AHEAD_SECONDS))
    assert 0 < steps < len(ahead_kw)
    assert ahead_kw[0] == 7.0
    assert 0.0 < ahead_kw[steps - 1] <= 7.0  # its last step in part
    assert ahead_kw[steps] == 0.0
