"""Programs keep what they promised about events, whoever writes or amends one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from dispatch import control, grid_events, policies
from dispatch.event_policy import Rule, Rules
from dispatch.event_rules import Invalid
from dispatch.lifecycle import EventKind, EventStatus, HoldStatus
from dispatch.models import DayOff, EventPolicy, GridEvent, Hold
from fleets.models import Program, Vehicle
from tests.dispatch.conftest import House
from tests.factories import HOUR, NOW, bound, plan

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]
DAY = timedelta(days=1)


@pytest.fixture
def promise(program: Program) -> Callable[..., EventPolicy]:
    """Return a function that gives the program rules for a kind."""

    def make(kind: EventKind = EventKind.ECONOMIC, **rules: Any) -> EventPolicy:
        return EventPolicy.objects.create(
            program=program, kind=kind, **policies.as_columns(Rules(**rules))
        )

    return make


def broken(error: pytest.ExceptionInfo[Invalid]) -> set[str]:
    return {finding.code for finding in error.value.findings}


def plan_on(program: Program, day: int, **values: Any) -> GridEvent:
    """Schedule two hours in the evening so many days from now."""
    starts_at = NOW + day * DAY
    return plan(
        program, **{"starts_at": starts_at, "ends_at": starts_at + 2 * HOUR, **values}
    )


def test_all_that_is_wrong_is_told_in_one_go(program: Program, promise: Make) -> None:
    promise(notice=21 * HOUR, min_participants=1, max_hours_per_year=5.0)
    DayOff.objects.create(sort="holiday", name="Today", first_on=NOW, last_on=NOW)

    with pytest.raises(Invalid) as error:
        plan(program, target_kw=-1.0, ends_at=NOW + 5 * HOUR)

    assert broken(error) == {
        "not_positive", "too_long", Rule.NOTICE, Rule.PARTICIPANTS, Rule.HOURS_PER_YEAR,
    }  # fmt: skip
    assert not GridEvent.objects.exists()


def test_a_kind_is_bound_by_its_own_policy_alone(
    program: Program, promise: Make
) -> None:
    promise(max_days_per_season=1)
    plan_on(program, 0)
    plan_on(program, 1, kind=EventKind.EMERGENCY)

    with pytest.raises(Invalid) as error:
        plan_on(program, 2)

    assert broken(error) == {Rule.DAYS_PER_SEASON}


def test_other_programs_days_do_not_count(
    program: Program, promise: Make, make_program: Make
) -> None:
    promise(max_days_per_season=1)
    plan_on(make_program(), 1)

    assert plan_on(program, 0).status == EventStatus.SCHEDULED


def test_what_was_called_off_before_it_began_does_not_count(
    program: Program, promise: Make
) -> None:
    promise(max_days_per_season=1)
    grid_events.cancel(plan_on(program, 1), actor="olga", now=NOW)

    assert plan_on(program, 2).status == EventStatus.SCHEDULED


def test_what_was_called_off_while_it_ran_counts(
    program: Program, promise: Make, set_clock: Make
) -> None:
    promise(max_days_per_season=1)
    event = plan_on(program, 0)
    grid_events.advance(NOW)
    grid_events.cancel(event, actor="olga", now=NOW + HOUR)
    grid_events.advance(NOW + HOUR)

    with pytest.raises(Invalid):
        plan_on(program, 1)


def test_what_waits_for_approval_has_its_day_already(
    program: Program, promise: Make
) -> None:
    promise(max_days_per_season=1)
    bound(program, max_kw=1.0)
    assert plan_on(program, 1, target_kw=2.0).status == EventStatus.PENDING

    with pytest.raises(Invalid):
        plan_on(program, 2)


@pytest.mark.parametrize(
    ("completed_after", "fits"),
    [
        # 2 h of holding and 2 of giving back leave 6 of 10 for 2 + 4.
        (4 * HOUR, True),
        # Half an hour more of giving back leaves too little.
        (4.5 * HOUR, False),
    ],
)
def test_giving_back_counts_for_as_long_as_it_took(
    program: Program,
    promise: Make,
    make_event: Make,
    completed_after: timedelta,
    fits: bool,
) -> None:
    promise(max_hours_per_year=10.0)
    make_event(
        program,
        status=EventStatus.COMPLETED,
        started_at=NOW,
        restoring_at=NOW + 2 * HOUR,
        completed_at=NOW + completed_after,
    )

    if fits:
        assert plan_on(program, 1).pk
    else:
        with pytest.raises(Invalid) as error:
            plan_on(program, 1)
        assert broken(error) == {Rule.HOURS_PER_YEAR}


def test_what_is_given_back_for_longer_than_reckoned_counts_up_to_now(
    program: Program, promise: Make, make_event: Make
) -> None:
    promise(max_hours_per_year=15.9)
    make_event(
        program,
        status=EventStatus.RESTORING,
        starts_at=NOW - 10 * HOUR,
        ends_at=NOW - 8 * HOUR,
        started_at=NOW - 10 * HOUR,
        restoring_at=NOW - 8 * HOUR,
    )

    with pytest.raises(Invalid):
        plan_on(program, 1)


def test_days_are_those_of_the_programs_own_zone(
    program: Program, promise: Make
) -> None:
    program.time_zone = "Asia/Tokyo"
    program.save()
    promise(in_blackouts=False)
    # 17 h on Monday in UTC is Tuesday in Tokyo.
    DayOff.objects.create(
        program=program,
        sort="blackout",
        name="Fair",
        first_on=date(2026, 1, 13),
        last_on=date(2026, 1, 13),
    )

    with pytest.raises(Invalid) as error:
        plan_on(program, 0)

    assert broken(error) == {Rule.BLACKOUT}


def test_an_amendment_passes_the_judge_as_well(program: Program, promise: Make) -> None:
    policy = promise(max_consecutive_days=1)
    plan_on(program, 2)
    event = plan_on(program, 0)
    starts_at = NOW + DAY

    with pytest.raises(Invalid) as error:
        grid_events.amend(
            event,
            {"starts_at": starts_at, "ends_at": starts_at + HOUR},
            actor="olga",
            now=NOW,
        )

    assert broken(error) == {Rule.CONSECUTIVE_DAYS}
    event.refresh_from_db()
    assert (event.version, event.starts_at) == (1, NOW)
    # It does not count beside itself.
    policy.max_days_per_season = 2
    policy.save()
    event = grid_events.amend(event, {"ends_at": NOW + HOUR}, actor="olga", now=NOW)
    grid_events.amend(event, {"ends_at": NOW + 3 * HOUR}, actor="olga", now=NOW)


def test_an_event_planned_before_its_policy_can_still_be_made_smaller(
    program: Program, promise: Make
) -> None:
    event = plan_on(program, 0, target_kw=50.0)
    promise(max_days_per_season=0, notice=48 * HOUR, min_participants=9)

    event = grid_events.amend(
        event, {"ends_at": NOW + HOUR, "target_kw": 20.0}, actor="olga", now=NOW
    )

    assert event.ends_at == NOW + HOUR


def test_an_aim_at_too_few_cars_is_refused_when_it_is_amended_too(
    program: Program, ada: Vehicle, chloe: Vehicle, promise: Make
) -> None:
    promise(min_participants=2)
    event = plan_on(program, 0)

    with pytest.raises(Invalid) as error:
        grid_events.amend(event, {"vehicles": [ada]}, actor="olga", now=NOW)

    assert broken(error) == {Rule.PARTICIPANTS}


def test_an_emergency_leaves_the_customer_the_opt_out(
    program: Program, ada: Vehicle, house: House, give_calls: Make
) -> None:
    policies.lay_down(program)
    give_calls(ada)
    event = plan(program, kind=EventKind.EMERGENCY)
    house.turn()
    assert [kind for kind, _ in house.send()] == ["stop"]

    grid_events.opt_out(ada, event=event, actor="ada", now=house.wait(minutes=1))
    house.turn()

    assert [kind for kind, _ in house.send()] == ["start"]
    assert Hold.objects.get().status == HoldStatus.RESTORING
    again = plan(program, kind=EventKind.EMERGENCY, now=house.now)
    grid_events.opt_out(ada, event=again, actor="ada", now=house.now)
    control.turn(now=house.wait(minutes=1))
    assert house.send() == []


def test_a_program_made_in_the_back_office_begins_with_the_usual_policies(
    client: Client, make_user: Make
) -> None:
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    url = reverse("admin:fleets_program_add")
    blank = client.get(url).context["adminform"].form
    filled = {
        name: blank.get_initial_for_field(field, name)
        for name, field in blank.fields.items()
    }

    client.post(url, {**filled, "code": "new", "name": "New"})

    made = Program.objects.get(code="new")
    assert {one.kind: one.notice_hours for one in made.event_policies.all()} == {
        "economic": 21.0, "emergency": 0.0, "test": 21.0,
    }  # fmt: skip


def test_a_policy_is_edited_in_the_back_office(
    client: Client, make_user: Make, promise: Make
) -> None:
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    policy = promise(notice=2 * HOUR)
    url = reverse("admin:dispatch_eventpolicy_change", args=[policy.pk])
    page = client.get(url)
    initial = page.context["adminform"].form.initial.items()
    values = {
        name: value
        for name, value in initial
        if value is not None and value is not False
    }

    response = client.post(url, {**values, "max_consecutive_days": "3"})

    assert response.status_code == 302
    policy.refresh_from_db()
    assert (policy.max_consecutive_days, policy.notice_hours) == (3, 2.0)
    fresh = client.get(reverse("admin:dispatch_eventpolicy_add") + "?kind=test")
    assert fresh.context["adminform"].form.initial["max_days_per_season"] == 4


def waiting_on(program: Program, day: int, **values: Any) -> GridEvent:
    """Return an event that is larger than its envelope, as Olga wrote it."""
    bound(program, max_kw=1.0)
    event = plan_on(program, day, target_kw=40.0, **values)
    assert event.status == EventStatus.PENDING
    return event


def test_what_waited_until_its_notice_is_too_short_is_not_approved(
    program: Program, promise: Make
) -> None:
    promise(notice=21 * HOUR)
    event = waiting_on(program, 1)

    with pytest.raises(Invalid) as error:
        grid_events.approve(event, actor="pia", now=NOW + 4 * HOUR)

    assert broken(error) == {Rule.NOTICE}
    assert "20 hours ahead" in str(error.value)
    event.refresh_from_db()
    assert (event.status, event.version) == (EventStatus.PENDING, 1)
    assert grid_events.approve(event, actor="pia", now=NOW + 3 * HOUR).status == (
        EventStatus.SCHEDULED
    )


def test_what_waited_while_the_policy_and_the_fleet_shrank_is_not_approved(
    program: Program, promise: Make, ada: Vehicle
) -> None:
    rules = promise(min_participants=1)
    event = waiting_on(program, 1)
    ada.enrolments.update(status="withdrawn", withdrawn_at=NOW)
    rules.max_hours_per_year = 1.0
    rules.save()

    with pytest.raises(Invalid) as error:
        grid_events.approve(event, actor="pia", now=NOW)

    assert broken(error) == {Rule.PARTICIPANTS, Rule.HOURS_PER_YEAR}


def test_an_event_does_not_stand_in_its_own_way_when_it_is_approved(
    program: Program, promise: Make
) -> None:
    promise(max_events_per_day=1, max_days_per_season=1)
    event = waiting_on(program, 1)

    grid_events.approve(event, actor="pia", now=NOW)

    event.refresh_from_db()
    assert event.status == EventStatus.SCHEDULED


def test_what_customers_know_already_grows_without_new_notice(
    program: Program, promise: Make
) -> None:
    promise(notice=21 * HOUR)
    event = plan_on(program, 1, target_kw=0.5)
    bound(program, max_kw=1.0)
    event = grid_events.amend(
        event, {"target_kw": 40.0}, actor="olga", now=NOW + 12 * HOUR
    )
    assert event.status == EventStatus.PENDING

    grid_events.approve(event, actor="pia", now=NOW + 13 * HOUR)

    event.refresh_from_db()
    assert event.status == EventStatus.SCHEDULED


def test_what_was_moved_while_it_waited_needs_its_notice_again(
    program: Program, promise: Make
) -> None:
    promise(notice=21 * HOUR)
    event = plan_on(program, 2, target_kw=0.5)
    bound(program, max_kw=1.0)
    sooner: grid_events.Changes = {
        "starts_at": NOW + DAY,
        "ends_at": NOW + DAY + HOUR,
        "target_kw": 40.0,
    }
    event = grid_events.amend(event, sooner, actor="olga", now=NOW + HOUR)

    with pytest.raises(Invalid) as error:
        grid_events.approve(event, actor="pia", now=NOW + 4 * HOUR)

    assert broken(error) == {Rule.NOTICE}
