"""Stories of events that overlap, each amended and called off at random moments.

The evening of `test_lives_as_a_model`, with more events in it, that narrow their aim
and have targets. What holds there holds here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count
from hypothesis import strategies as st
from hypothesis.stateful import (
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dispatch import grid_events
from dispatch.lifecycle import EventStatus, HoldStatus
from dispatch.line import Line
from dispatch.models import Command, GridEvent, Hold, Participation
from dispatch.planner import Reason
from tests.dispatch.model_cars import Car
from tests.dispatch.test_lives_as_a_model import (
    CARS,
    TOLD,
    Evening,
    Make,
    make_scene,
    wire,
)
from tests.factories import HOUR, plan

__all__ = ["make_scene", "wire"]  # fixtures

MOST_EVENTS = 5
KW = 7.0
MINUTES = st.sampled_from([0, 5, 30])
TARGETS = st.sampled_from([None, KW, 2 * KW])
AIMS = st.lists(st.integers(0, CARS - 1), unique=True, max_size=CARS)
WHICH = st.integers(0, MOST_EVENTS - 1)


class Overlaps(Evening):
    """One program, some cars, several events at once."""

    def __init__(self) -> None:
        super().__init__()
        self.aims: dict[int, Sequence[int]] = {}  # empty: at all cars

    @precondition(lambda self: GridEvent.objects.count() < MOST_EVENTS)
    @rule(minutes=MINUTES, priority=st.integers(0, 2), target_kw=TARGETS, aim=AIMS)
    def another_event_is_posted(
        self, minutes: int, priority: int, target_kw: float | None, aim: list[int]
    ) -> None:
        aim = [place for place in aim if place not in self.withdrawn]
        starts_at = self.now + timedelta(minutes=minutes)
        event = plan(
            self.program,
            starts_at=starts_at,
            ends_at=starts_at + HOUR,
            priority=priority,
            target_kw=target_kw,
            vehicles=self._vehicles(aim),
            now=self.now,
        )
        self.ends_at[event.pk], self.aims[event.pk] = event.ends_at, aim

    @rule(which=WHICH, minutes=st.sampled_from([-30, 20, 90]))
    def olga_moves_an_end(self, which: int, minutes: int) -> None:
        for event in self._alive(which):
            ends_at = event.ends_at + timedelta(minutes=minutes)
            if ends_at > max(self.now, event.starts_at):
                self._amend(event, ends_at=ends_at)
                self.ends_at[event.pk] = ends_at

    @rule(which=WHICH, target_kw=TARGETS, priority=st.integers(0, 2))
    def olga_wants_another_size(
        self, which: int, target_kw: float | None, priority: int
    ) -> None:
        for event in self._alive(which):
            self._amend(event, target_kw=target_kw, priority=priority)

    @rule(which=WHICH, aim=AIMS)
    def olga_aims_elsewhere(self, which: int, aim: list[int]) -> None:
        aim = [place for place in aim if place not in self.withdrawn]
        for event in self._alive(which):
            self._amend(event, vehicles=self._vehicles(aim))
            self.aims[event.pk] = aim

    @rule(which=WHICH)
    def olga_cancels_one(self, which: int) -> None:
        for event in self._alive(which):
            grid_events.cancel(event, actor="olga", now=self.now)
            self.ends_at.pop(event.pk, None)

    @rule(which=WHICH)
    def olga_ends_one_early(self, which: int) -> None:
        for event in self._alive(which):
            if event.status == EventStatus.ACTIVE:
                grid_events.end_early(event, actor="olga", now=self.now)
                self.ends_at.pop(event.pk, None)

    # --- What always holds ---

    @invariant()
    def a_hold_has_one_stop_and_one_start(self) -> None:
        landed = Command.objects.filter(may_have_landed=True)
        twice = landed.values("hold", "is_restore").annotate(n=Count("pk"))
        assert not twice.filter(n__gt=1).exists(), self._story()

    @invariant()
    def what_is_held_again_says_nothing_of_going_back(self) -> None:
        held = Hold.objects.filter(status=HoldStatus.HELD)
        assert not held.exclude(restore_reason="", restoring_at=None).exists()

    @invariant()
    def a_start_leaves_for_no_event_that_is_over_while_another_claims_it(self) -> None:
        """Look at what a turn left behind, before anything is amended or sent."""
        wanted = Participation.objects.filter(
            status="claimed",
            event__status=EventStatus.ACTIVE,
            hold__status=HoldStatus.RESTORING,
            hold__restore_reason=Reason.EVENT_OVER,
            hold__commands__is_restore=True,
            hold__commands__status="queued",
            hold__commands__attempt=0,
            judged_at__gte=self.now,
        )
        assert not wanted.exists(), self._story()

    # --- Helpers ---

    def _alive(self, which: int) -> list[GridEvent]:
        """Return one of the events that are scheduled or active, if there is one."""
        events = GridEvent.objects.filter(
            status__in=[EventStatus.SCHEDULED, EventStatus.ACTIVE],
            ends_at__gt=self.now,
        ).order_by("id")
        return list(events[which : which + 1])

    def _amend(self, event: GridEvent, **changes: Any) -> None:
        wanted: Any = changes
        grid_events.amend(event, wanted, actor="olga", now=self.now)

    def _vehicles(self, aim: Sequence[int]) -> list[Any]:
        return [self.cars[place].vehicle for place in aim]

    def _may_stop(self, car: Car) -> bool:
        place = self.cars.index(car)
        return super()._may_stop(car) and any(
            self._aims_at(pk, place, ends_at) for pk, ends_at in self.ends_at.items()
        )

    def _aims_at(self, pk: int, place: int, ends_at: datetime) -> bool:
        aim = self.aims.get(pk, ())
        is_open = ends_at > self.now and (pk, place) not in self.left
        return is_open and (not aim or place in aim)


def test_every_story_of_overlaps_keeps_the_promises(
    db: None, make_scene: Make, wire: Line
) -> None:
    class Story(Overlaps):
        scene = staticmethod(make_scene)
        line = wire

    run_state_machine_as_test(Story, settings=TOLD)
