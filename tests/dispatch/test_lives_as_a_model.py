"""Stories of an evening that nobody thought of, against a simple model of each car.

Hypothesis invents what happens next: time passes, a turn is taken, commands go out to a
provider in some mood, cars report or keep silent, customers act, Olga acts, a sender
dies. After every step the rules of lives hold; when the world calms down, everything
owed is given back.

`GRIDBALANCE_STORIES=1000` tries as many stories, and makes one that fails short.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models import F
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dispatch import claims, control, fanout, grid_events, outcomes, switch
from dispatch.event_rules import WrongMoment
from dispatch.lifecycle import CommandKind, EventStatus
from dispatch.line import Line
from dispatch.models import Command, GridEvent, Hold, Participation
from fleets import clock, enrolment, telemetry
from fleets.models import (
    Bucket,
    Enrolment,
    Program,
    SystemClock,
    Tactic,
    Vehicle,
)
from tests.dispatch.model_cars import (
    MOODS,
    OURS,
    SOC_PERCENT,
    Car,
    ModelProvider,
)
from tests.factories import HOUR, NOW, plan

Make = Callable[..., Any]

WISH = os.environ.get("GRIDBALANCE_STORIES", "")
STORIES = int(WISH or 10)
# Making a failing story short takes minutes: only who asked for stories waits for that.
PHASES = tuple(Phase) if WISH else (Phase.explicit, Phase.reuse, Phase.generate)
TOLD = settings(
    max_examples=STORIES,
    stateful_step_count=30,
    print_blob=True,
    derandomize=not WISH,  # the same stories for everybody, unless asked
    phases=PHASES,
    suppress_health_check=list(HealthCheck),
)
CARS = 3
PLACES = st.integers(0, CARS - 1)
# Turns, sends and reports until everything must be given back: a late stop is waited
# for, refused cars are asked again after ten minutes, what was ignored after sixteen.
CALM_ROUNDS = 24


@pytest.fixture
def make_scene(
    make_program: Make, make_enrolment: Make, give_calls: Make
) -> Callable[[str], tuple[Program, list[Enrolment]]]:
    """Return a maker of a program with its cars, that charge at home."""

    def make(tactic: str) -> tuple[Program, list[Enrolment]]:
        program = make_program(
            tactic=tactic, restore_ramp_kw_per_minute=1000.0, max_event_hours=24.0
        )
        Bucket.objects.create(
            name="application",
            capacity=1000,
            refill_per_minute=100,
            tokens=1000,
            refilled_at=NOW,
        )
        consents = [make_enrolment(program) for _ in range(CARS)]
        for consent in consents:
            give_calls(consent.vehicle)
        Vehicle.objects.update(
            soc_percent=SOC_PERCENT, limit_observed_at=F("observed_at")
        )
        return program, consents

    return make


@pytest.fixture
def wire() -> Iterator[Line]:
    line = Line(ModelProvider({}, NOW, lambda car: True))
    yield line
    line.close()
    clock.follow(clock.REAL_TIME)


def test_every_story_keeps_the_promises(db: None, make_scene: Make, wire: Line) -> None:
    class Story(Evening):
        scene = staticmethod(make_scene)
        line = wire

    run_state_machine_as_test(Story, settings=TOLD)


class Evening(RuleBasedStateMachine):
    """One program, some cars, up to two events at once."""

    scene: Callable[[str], tuple[Program, list[Enrolment]]]
    line: Line

    def __init__(self) -> None:
        super().__init__()
        self.rows = transaction.atomic()
        self.rows.__enter__()
        self.now = NOW
        self._set_clock()
        self.cars: list[Car] = []
        self.left: set[tuple[int, int]] = set()  # event, car
        self.withdrawn: set[int] = set()
        self.ends_at: dict[int, datetime] = {}  # of events that were not cancelled
        self.stopped = False
        self.first_states: dict[int, tuple[object, ...]] = {}

    # --- What may happen --

    @initialize(tactic=st.sampled_from(Tactic.values))
    def an_event_begins(self, tactic: str) -> None:
        self.program, self.consents = self.scene(tactic)
        self.cars = [Car(consent.vehicle) for consent in self.consents]
        self.cars[0].goes_on = False
        self.cars[1].needs_plug = True
        self.provider = ModelProvider(
            {car.vehicle.external_id: car for car in self.cars}, NOW, self._may_stop
        )
        self.line.provider = self.provider
        self._schedule()

    @precondition(lambda self: GridEvent.objects.count() < 2)
    @rule(minutes=st.sampled_from([0, 20]))
    def a_second_event_is_posted(self, minutes: int) -> None:
        self._schedule(priority=1, wait=timedelta(minutes=minutes))

    @rule(minutes=st.sampled_from([1, 5, 12, 20]))
    def time_passes(self, minutes: int) -> None:
        self._wait(minutes=minutes)

    @rule()
    def a_turn_is_taken(self) -> None:
        control.turn(now=self.now)

    @rule(mood=st.sampled_from(MOODS))
    def commands_are_sent(self, mood: str) -> None:
        self.provider.mood = mood
        fanout.run(self.line)

    @rule(mood=st.sampled_from(MOODS))
    def the_engine_works(self, mood: str) -> None:
        control.turn(now=self.now)
        self.commands_are_sent(mood)
        self._wait(seconds=20)
        for car in self.cars:
            self._report(car)
        control.turn(now=self.now)

    @rule(reached=st.booleans())
    def a_sender_dies_with_commands_on_the_wire(self, reached: bool) -> None:
        sender = fanout._enlist()
        jobs = claims.claim(sender, claims.due(self.now), room=5, now=self.now)
        for job in jobs:
            car = self.provider.cars[job.key.vehicle_id]
            if job.is_read:
                continue
            if not job.is_restore:
                car.stops += 1  # reached or not: nobody can know
            if reached and job.kind == CommandKind.SET_LIMIT:
                assert job.percent is not None
                if car.limit_percent == job.instead_of:  # or its look forbids it
                    car.set_limit(job.percent)
            elif reached:
                (car.stop if job.kind == CommandKind.STOP else car.start)()
        outcomes.bury([sender.pk], now=self.now)

    @rule(place=PLACES)
    def a_car_reports(self, place: int) -> None:
        self._report(self.cars[place])

    @rule(place=PLACES)
    def a_customer_opts_out(self, place: int) -> None:
        for event in GridEvent.objects.alive():
            with suppress(WrongMoment):
                car = self.cars[place].vehicle
                grid_events.opt_out(car, event=event, actor="Ada", now=self.now)
                self.left.add((event.pk, place))

    @rule(place=PLACES)
    def a_customer_withdraws(self, place: int) -> None:
        enrolment.withdraw(self.consents[place], now=self.now)
        self.withdrawn.add(place)

    @rule(place=PLACES)
    def a_customer_starts_the_car(self, place: int) -> None:
        self.cars[place].start()

    @rule(place=PLACES, percent=st.sampled_from([70, 80, 90]))
    def a_customer_changes_the_limit(self, place: int, percent: int) -> None:
        self.cars[place].choose_limit(percent)

    @rule(place=PLACES)
    def a_car_leaves_or_comes(self, place: int) -> None:
        car = self.cars[place]
        if car.is_plugged_in:
            car.unplug()
        else:
            car.plug_in()

    @rule()
    def olga_cancels(self) -> None:
        for event in GridEvent.objects.alive():
            grid_events.cancel(event, actor="olga", now=self.now)
            self.ends_at.pop(event.pk, None)

    @rule(minutes=st.sampled_from([-30, 30]))
    def olga_amends(self, minutes: int) -> None:
        for event in GridEvent.objects.filter(status=EventStatus.ACTIVE):
            ends_at = event.ends_at + timedelta(minutes=minutes)
            if ends_at > max(self.now, event.starts_at):
                grid_events.amend(
                    event, {"ends_at": ends_at}, actor="olga", now=self.now
                )
                self.ends_at[event.pk] = ends_at

    @rule()
    def olga_turns_the_switch(self) -> None:
        act = switch.allow_new_holds if self.stopped else switch.stop_new_holds
        act(program=self.program, actor="olga", now=self.now)
        self.stopped = not self.stopped

    # --- What always holds --

    @invariant()
    def a_car_has_one_open_hold_and_one_open_command(self) -> None:
        for car in self.cars:
            assert Hold.objects.open().filter(vehicle=car.vehicle).count() <= 1
            assert Command.objects.open().filter(vehicle=car.vehicle).count() <= 1

    @invariant()
    def a_hold_keeps_the_state_from_before_the_first_event(self) -> None:
        states = Hold.objects.values_list(
            "pk", "was_charging", "soc_percent", "limit_percent", "power_kw",
            "state_observed_at", "plugged_in_at", "event_id", "our_limit_percent",
        )  # fmt: skip
        for pk, *state in states:
            assert self.first_states.setdefault(pk, tuple(state)) == tuple(state)

    @invariant()
    def nothing_was_sent_that_may_not_be(self) -> None:
        assert self.provider.broken == []

    @invariant()
    def a_car_that_we_stopped_is_owed(self) -> None:
        for car in self.cars:
            if car.stopped_by_us or car.limit_percent == OURS:
                assert Hold.objects.open().filter(vehicle=car.vehicle).exists(), car

    @invariant()
    def everything_has_its_reason(self) -> None:
        assert not Participation.objects.filter(reason="").exists()
        assert not Hold.objects.filter(reason="").exists()

    # --- The end --

    def teardown(self) -> None:
        try:
            self._calm_down()
            assert self.provider.broken == []
            assert not Hold.objects.open().exists(), self._story()
            assert not Command.objects.open().exists(), self._story()
            assert not GridEvent.objects.alive().exists(), self._story()
            for car in self.cars:
                assert not car.stopped_by_us, self._story()
                assert car.limit_percent == car.own_percent, self._story()
        finally:
            transaction.set_rollback(True)
            self.rows.__exit__(None, None, None)

    def _calm_down(self) -> None:
        """Let the provider obey, cars come home and report, and events end."""
        self.olga_cancels()
        for car in self.cars:
            if not car.is_plugged_in:
                car.plug_in()
        for _ in range(CALM_ROUNDS):
            if not (Hold.objects.open().exists() or GridEvent.objects.alive().exists()):
                return
            self.the_engine_works("obeys")
            self._wait(minutes=15)
            for car in self.cars:
                self._report(car)
            control.turn(now=self.now)

    # --- Helpers --

    def _schedule(self, *, priority: int = 0, wait: timedelta = timedelta()) -> None:
        starts_at = self.now + wait
        event = plan(
            self.program,
            starts_at=starts_at,
            ends_at=starts_at + 2 * HOUR,
            priority=priority,
            now=self.now,
        )
        self.ends_at[event.pk] = event.ends_at

    def _may_stop(self, car: Car) -> bool:
        """Say whether any event may still want this car stopped."""
        place = self.cars.index(car)
        if place in self.withdrawn or self.stopped:
            return False
        return any(
            ends_at > self.now and (pk, place) not in self.left
            for pk, ends_at in self.ends_at.items()
        )

    def _report(self, car: Car) -> None:
        self._wait(seconds=1)
        report = self.provider.report(car)
        telemetry.record([report], source="webhook", now=self.now)

    def _wait(self, **span: float) -> None:
        self.now += timedelta(**span)
        if self.cars:
            self.provider.pass_time(self.now)
        self._set_clock()

    def _set_clock(self) -> None:
        SystemClock.objects.update_or_create(
            id=1,
            defaults={
                "real": clock.real_now(),
                "simulated": self.now,
                "speed": 1.0,
                "paused": True,
            },
        )
        clock.follow(clock.read())

    def _story(self) -> str:
        """Return in words what every hold came to."""
        lines = [str(car) for car in self.cars]
        for hold in Hold.objects.order_by("id"):
            commands = Command.objects.filter(hold=hold).order_by("id")
            told = [f"{one.kind} {one.status} {one.code}" for one in commands]
            lines.append(f"{hold.vehicle_id} {hold.status} {hold.close_reason} {told}")
        return "\n".join(lines)
