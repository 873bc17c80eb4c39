"""Operators, customers and grid systems that change their minds in the middle."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from django.db import connection

from dispatch import grid_events
from dispatch.lifecycle import CommandStatus, HoldStatus
from dispatch.models import Command, GridEvent
from fleets import clock, enrolment
from fleets.models import Enrolment
from tests.acceptance.evening import HELD, Evening
from tests.acceptance.stack import Stack
from tests.waiting import eventually

MakeEvening = Callable[..., Evening]


def test_the_same_signal_five_times_is_one_event(evening: MakeEvening) -> None:
    tonight = evening()
    starts_at = clock.now() + timedelta(minutes=3)

    def post(_: int) -> tuple[int, int]:
        status, body = tonight.post_event(key="the same", starts_at=starts_at)
        return status, body["id"]

    with ThreadPoolExecutor(4) as pool:
        answers = {*pool.map(post, range(4))}
    tonight.wait_until_held(*HELD)
    tonight.end_early()
    eventually(lambda: tonight.holds.filter(status=HoldStatus.RESTORING).exists())
    answers.add(post(5))

    assert answers == {(201, tonight.events.get().pk)}
    tonight.judge()
    assert tonight.holds.count() == len(HELD)


def test_a_cancel_by_two_at_once_wins_over_stops_in_flight(
    evening: MakeEvening, stack: Stack
) -> None:
    tonight = evening()
    tonight.slow_down("stop")
    event = tonight.call_event()

    tonight.wait_for_calls_on_the_wire("stop")
    with ThreadPoolExecutor(2) as pool:
        by_grid = pool.submit(cancel_over_rest, stack, event)
        by_olga = pool.submit(cancel_by_hand, event)
        assert by_grid.result() == 200
        by_olga.result()

    tonight.judge()
    assert len(tonight.calls("stop")) == len(HELD)


def test_a_cancel_while_holding_gives_back_and_again_changes_nothing(
    evening: MakeEvening, stack: Stack
) -> None:
    tonight = evening()
    tonight.slow_down("start")
    event = tonight.call_event()

    tonight.wait_until_held(*HELD)
    assert cancel_over_rest(stack, event) == 200
    tonight.wait_for_calls_on_the_wire("start")
    cancel_by_hand(event)

    tonight.judge()
    assert len(tonight.calls("start")) == len(HELD)


# A customer opts out while the claim of their car's stop commits: the claim has looked
# already, the send has not.
OPT_OUT_WITH_THE_CLAIM = """
create function opt_out_with_the_claim() returns trigger language plpgsql as $$
begin
    update dispatch_participation
    set opted_out_at = new.sent_at, status = 'ended', reason = 'opted out',
        ended_at = new.sent_at
    where event_id = new.event_id and vehicle_id = new.vehicle_id;
    return null;
end $$;
create trigger opt_out_with_the_claim after update on dispatch_command for each row
    when (new.status = 'sending' and not new.is_restore and new.vehicle_id = %s)
    execute function opt_out_with_the_claim();
"""
FORGET_IT = "drop function opt_out_with_the_claim() cascade"


def test_an_opt_out_between_claim_and_send_wins(evening: MakeEvening) -> None:
    tonight = evening()
    car = tonight.vehicle("tesla")
    with connection.cursor() as cursor:
        cursor.execute(OPT_OUT_WITH_THE_CLAIM % car.pk)

    try:
        tonight.call_event()
        tonight.wait_until_held(*(set(HELD) - {"tesla"}))
        tonight.end_early()
    finally:
        with connection.cursor() as cursor:
            cursor.execute(FORGET_IT)

    tonight.judge()
    assert Command.objects.get(vehicle=car).status == CommandStatus.SUPERSEDED
    sent_to = {call.vehicle for call in tonight.calls("stop")}
    assert sent_to == {tonight.ids[name] for name in HELD if name != "tesla"}


def test_customers_come_first_while_the_event_goes_on(evening: MakeEvening) -> None:
    tonight = evening()
    tonight.call_event()
    tonight.wait_until_held(*HELD)

    tonight.opt_out("tesla")
    consent = Enrolment.objects.get(vehicle=tonight.vehicle("volkswagen"))
    enrolment.withdraw(consent, now=clock.now())
    tonight.change("hyundai", charging=True)
    tonight.change("ford", drive_away=True)
    eventually(lambda: not tonight.holds.open().exists(), else_say=tonight.state)
    still_active = tonight.events.get().status
    tonight.end_early()

    tonight.judge()
    assert still_active == "active"
    assert {
        name: (hold.status, hold.restore_reason or hold.close_reason)
        for name in HELD
        for hold in [tonight.hold(name)]
    } == {
        "tesla": ("restored", "customer opted out"),
        "volkswagen": ("restored", "customer withdrew"),
        "hyundai": ("released", "restarted"),
        "ford": ("released", "drove off"),
    }


def test_customers_come_first_while_all_is_given_back(evening: MakeEvening) -> None:
    tonight = evening()
    tonight.slow_down("start")
    tonight.call_event()
    tonight.wait_until_held(*HELD)
    tonight.end_early()
    tonight.wait_for_calls_on_the_wire("start")

    tonight.opt_out("tesla")
    consent = Enrolment.objects.get(vehicle=tonight.vehicle("volkswagen"))
    enrolment.withdraw(consent, now=clock.now())
    tonight.change("ford", drive_away=True)

    tonight.judge()


def test_an_amended_event_ends_at_its_new_end(evening: MakeEvening) -> None:
    tonight = evening()
    event = tonight.call_event()
    tonight.wait_until_held("tesla")
    event.refresh_from_db()

    ends_at = clock.now() + timedelta(minutes=10)
    grid_events.amend(
        event,
        {"ends_at": ends_at, "target_kw": 7.4},
        actor="olga",
        now=clock.now(),
    )
    tonight.plug_in("late")

    tonight.judge()
    assert tonight.events.get().ends_at == ends_at
    assert all(call.at < ends_at for call in tonight.calls("stop"))
    assert tonight.reason("late") == "target met without it"


def cancel_over_rest(stack: Stack, event: GridEvent) -> int:
    """Cancel as the grid system; return the status of the answer."""
    status, _ = stack.grid.post(
        f"/api/v1/events/{event.pk}/cancel",
        {"reason": "acceptance"},
        key=f"cancel-{event.pk}",
    )
    return status


def cancel_by_hand(event: GridEvent) -> None:
    """Cancel as Olga, from whatever thread."""
    try:
        grid_events.cancel(event, actor="olga", now=clock.now())
    finally:
        connection.close()
