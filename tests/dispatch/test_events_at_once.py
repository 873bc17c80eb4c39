"""People and time that act on events at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from dispatch import grid_events, policies, switch
from dispatch.event_policy import Rules
from dispatch.event_rules import Invalid, Stale
from dispatch.lifecycle import CommandStatus, EventKind, EventStatus
from dispatch.models import Change, EventPolicy, GridEvent
from fleets.models import Program
from tests.dispatch.together import at_once
from tests.factories import HOUR, NOW, plan

pytestmark = pytest.mark.django_db(transaction=True)

Make = Callable[..., Any]


def test_of_two_amendments_at_once_one_is_stale(make_event: Make) -> None:
    event = make_event()

    results = at_once(
        *(
            partial(
                grid_events.amend,
                GridEvent.objects.get(pk=event.pk),
                {"target_kw": kw},
                actor="olga",
                now=NOW,
            )
            for kw in (10.0, 20.0)
        )
    )

    assert results.count(Stale) == 1
    event.refresh_from_db()
    assert event.version == 2


@pytest.mark.parametrize("act", ["writing", "amending"])
def test_the_last_allowed_day_is_used_by_one_of_many_at_once(
    program: Program, make_event: Make, act: str
) -> None:
    days = [NOW + timedelta(days=day) for day in range(1, 7)]
    EventPolicy.objects.create(
        program=program,
        kind=EventKind.ECONOMIC,
        **policies.as_columns(Rules(max_days_per_season=2)),
    )
    # The first day is taken; amendments all come from there.
    made = [make_event(program, starts_at=NOW, ends_at=NOW + HOUR) for _ in days]

    results = at_once(
        *(
            partial(plan, program, starts_at=day, ends_at=day + HOUR)
            if act == "writing"
            else partial(
                grid_events.amend,
                event,
                {"starts_at": day, "ends_at": day + HOUR},
                actor="olga",
                now=NOW,
            )
            for day, event in zip(days, made, strict=True)
        )
    )

    assert results.count(Invalid) == len(days) - 1
    assert GridEvent.objects.filter(starts_at__gt=NOW).count() == 1


def test_time_that_passes_everywhere_at_once_moves_an_event_once(
    program: Program, make_event: Make, make_stop: Make
) -> None:
    for _ in range(3):
        make_event(program)
    command = make_stop(
        make_event(program, status=EventStatus.ACTIVE, ends_at=NOW + HOUR)
    )

    at_once(
        *(lambda: grid_events.advance(NOW + HOUR) for _ in range(3)),
        lambda: switch.stop_new_holds(program=None, actor="olga", now=NOW),
    )

    command.refresh_from_db()
    assert command.status == CommandStatus.SUPERSEDED
    changes = Change.objects.filter(subject="event")
    assert changes.filter(after="active").count() == 3
    assert changes.filter(after="restoring").count() == 1
