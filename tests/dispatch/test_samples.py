"""What an event looks like at a tick, in kW."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from dispatch import samples
from dispatch.lifecycle import EventStatus
from dispatch.models import GridEvent, Hold, LoadSample, Participation
from dispatch.planner import Caution, Shed
from fleets.models import Program
from tests.factories import HOUR, NOW

pytestmark = pytest.mark.django_db

Make = Callable[..., Any]


@pytest.fixture
def event(program: Program, make_event: Make) -> GridEvent:
    running: GridEvent = make_event(program, status=EventStatus.ACTIVE, target_kw=20.0)
    return running


def sample(events: Sequence[GridEvent], *caution: Caution) -> list[LoadSample]:
    """Write samples in which each event has shed 7 to 9 kW."""
    return samples.sample(
        events,
        charging_kw=30.0,
        shed=dict.fromkeys([one.pk for one in events], Shed(8.0, 7.0, 9.0)),
        cautions=dict.fromkeys([one.pk for one in events], caution),
        now=NOW,
    )


def shares(*events: GridEvent) -> list[tuple[float, float, float]]:
    """Return confirmed, unconfirmed and blind kW of each event."""
    return [
        (one.confirmed_kw, one.unconfirmed_kw, one.blind_kw) for one in sample(events)
    ]


def test_a_sample_is_written_for_each_event(
    event: GridEvent, program: Program, make_event: Make
) -> None:
    other = make_event(program, status=EventStatus.RESTORING)

    sample([event, other])

    first, second = LoadSample.objects.order_by("event_id")
    assert (first.event, first.at, first.charging_kw) == (event, NOW, 30.0)
    assert (first.target_kw, second.target_kw) == (20.0, None)


def test_a_second_tick_of_one_moment_adds_nothing(event: GridEvent) -> None:
    for _ in range(2):
        sample([event])

    assert LoadSample.objects.count() == 1


def test_an_event_that_holds_nothing_is_all_zero(event: GridEvent) -> None:
    assert shares(event) == [(0.0, 0.0, 0.0)]


@pytest.mark.parametrize(
    ("hold", "command", "expected"),
    [
        # a reading showed it
        ("held", {"status": "confirmed"}, (7.0, 0.0, 0.0)),
        # on its way
        ("taking", {"status": "queued"}, (0.0, 7.0, 0.0)),
        ("taking", {"status": "accepted"}, (0.0, 7.0, 0.0)),
        # nobody can say
        ("taking", {"status": "unknown"}, (0.0, 0.0, 7.0)),
        # accepted, and silent for longer than its first read was due
        ("taking", {"status": "accepted", "reads": 1}, (0.0, 0.0, 7.0)),
        # it was read before it was repeated: the repetition is on its way
        ("taking", {"status": "queued", "reads": 1}, (0.0, 7.0, 0.0)),
        # given back, or about to be
        ("restoring", {"status": "queued"}, (0.0, 0.0, 0.0)),
        ("restored", {"status": "confirmed"}, (0.0, 0.0, 0.0)),
    ],
)
def test_a_held_car_counts_with_what_it_drew(
    event: GridEvent,
    make_stop: Make,
    hold: str,
    command: dict[str, Any],
    expected: tuple[float, float, float],
) -> None:
    make_stop(event, **command)
    Hold.objects.update(status=hold)

    assert shares(event) == [expected]


@pytest.mark.parametrize("status", ["spared", "ended"])
def test_a_car_that_an_event_claims_no_more_is_not_counted(
    event: GridEvent, make_stop: Make, status: str
) -> None:
    make_stop(event)
    Participation.objects.update(status=status)

    assert shares(event) == [(0.0, 0.0, 0.0)]


def test_the_newest_command_decides(
    event: GridEvent, make_stop: Make, make_event: Make
) -> None:
    first = make_stop(event, status="superseded")
    first.pk, first.status = None, "unknown"
    first.save(force_insert=True)

    assert shares(event) == [(0.0, 0.0, 7.0)]


def test_a_car_that_two_events_claim_counts_in_both(
    event: GridEvent, program: Program, make_event: Make, make_stop: Make
) -> None:
    other = make_event(program, status=EventStatus.ACTIVE, starts_at=NOW - HOUR)
    command = make_stop(event)
    Participation.objects.create(
        event=other,
        vehicle=command.vehicle,
        hold=command.hold,
        status="claimed",
        reason="target",
        judged_at=NOW,
    )

    assert shares(event, other) == [(0.0, 7.0, 0.0), (0.0, 7.0, 0.0)]
