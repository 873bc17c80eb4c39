"""The operator's picture: what it says, what it costs, and how it travels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
import redis
from asgiref.sync import async_to_sync
from django.db import connection

from dispatch import live
from dispatch.lifecycle import CommandStatus, EventStatus, HoldStatus
from dispatch.live import relay, stream
from dispatch.live.chart import Sample, draw
from dispatch.live.words import clock_time, kilowatts, span
from dispatch.models import (
    Alarm,
    Command,
    Envelope,
    GridEvent,
    Hold,
    LoadSample,
    LoopTurn,
    Participation,
    Sender,
)
from fleets import clock
from fleets.models import Bucket, Program, Vehicle
from tests.factories import HOUR, NOW
from tests.statements import statements

UTC_ZONE = ZoneInfo("UTC")
MINUTE = timedelta(minutes=1)

Make = Callable[..., Any]


@pytest.fixture
def make_part(make_vehicle: Make) -> Make:
    """Return a maker of one car's part in an event, its hold and command included."""

    def make(
        event: GridEvent,
        *,
        hold: str = "",
        reason: str = "counts towards the target",
        vehicle: Vehicle | None = None,
        command: str = "",
        is_restore: bool = False,
        code: str = "",
        **values: Any,
    ) -> Participation:
        car = vehicle or make_vehicle(is_charging=False, power_kw=0.0)
        row = None
        if hold:
            row = Hold.objects.create(
                vehicle=car,
                event=event,
                **{
                    "status": hold,
                    "tactic": "stop",
                    "was_charging": True,
                    "power_kw": 7.0,
                    "state_observed_at": NOW - HOUR,
                    "reason": reason,
                    "opened_at": NOW - HOUR,
                    **values,
                },
            )
        if row and command:
            Command.objects.create(
                vehicle=car,
                hold=row,
                event=event,
                event_version=1,
                kind="start" if is_restore else "stop",
                is_restore=is_restore,
                status=command,
                code=code,
                created_at=NOW,
                due_at=NOW,
                deadline_at=NOW + HOUR,
            )
        return Participation.objects.create(
            event=event,
            vehicle=car,
            hold=row,
            status="claimed" if hold else "spared",
            reason=reason,
            judged_at=NOW,
        )

    return make


@pytest.fixture
def event(program: Program, make_event: Make) -> GridEvent:
    """Return an event that has run for half an hour, of two."""
    made: GridEvent = make_event(
        program,
        status=EventStatus.ACTIVE,
        starts_at=NOW - 30 * MINUTE,
        ends_at=NOW + 90 * MINUTE,
        target_kw=100.0,
    )
    return made


def sample(event: GridEvent, minutes: float = 0.0, **values: Any) -> LoadSample:
    """Write one sample, so many minutes from NOW."""
    return LoadSample.objects.create(
        event=event,
        at=NOW + minutes * MINUTE,
        target_kw=event.target_kw,
        **{
            "charging_kw": 0.0,
            "confirmed_kw": 0.0,
            "unconfirmed_kw": 0.0,
            "blind_kw": 0.0,
            **values,
        },
    )


def numbers(picture: live.Picture) -> dict[str, int]:
    """Return the cars by state, without the states that no car is in."""
    return {state.word: state.number for state in picture.states if state.number}


# --- Words and shapes, without a database ---


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (timedelta(seconds=-3), "0 s"),  # clocks differ a little
        (timedelta(seconds=45), "45 s"),
        (timedelta(minutes=55), "55 min"),
        (timedelta(hours=2), "2 h"),
        (timedelta(hours=2, minutes=10), "2 h 10 min"),
        (timedelta(days=3), "3 days"),
    ],
)
def test_it_tells_durations_in_the_units_that_matter(
    duration: timedelta, words: str
) -> None:
    assert span(duration) == words


def test_it_names_the_weekday_of_a_time_on_another_day() -> None:
    assert clock_time(NOW, UTC_ZONE, seen_from=NOW) == "17:00"
    assert clock_time(NOW + 14 * HOUR, UTC_ZONE, seen_from=NOW) == "Tue 07:00"


def test_it_drops_the_decimal_of_large_powers() -> None:
    assert (kilowatts(233.74), kilowatts(12_345.6)) == ("233.7", "12,346")


def drawn(*minutes: float, target_kw: float | None = 100.0) -> Any:
    samples = [Sample(NOW + m * MINUTE, 50.0, 20.0, 10.0, target_kw) for m in minutes]
    return draw(
        samples,
        starts_at=NOW,
        ends_at=NOW + 2 * HOUR,
        target_kw=target_kw,
        now=NOW + (max(minutes) if minutes else 0) * MINUTE,
        zone=UTC_ZONE,
    )


def test_a_chart_has_zero_on_its_axis() -> None:
    chart = drawn(0, 1, 2)

    assert (chart.levels[0].text, chart.levels[0].percent) == ("0", 100.0)


def test_a_chart_leaves_a_gap_where_nothing_was_known() -> None:
    assert drawn(0, 1, 2, 3).confirmed.count("M") == 1
    assert drawn(0, 1, 2, 30, 31).confirmed.count("M") == 2


def test_a_chart_without_samples_still_shows_the_target() -> None:
    chart = drawn()

    assert chart.confirmed == ""
    assert chart.target != ""
    assert chart.summary == "No figures yet, target 100.0 kW."


def test_a_chart_without_a_target_draws_none() -> None:
    assert drawn(0, 1, target_kw=None).target == ""


def test_a_chart_has_clock_times_of_the_events_zone() -> None:
    chart = draw(
        [],
        starts_at=NOW,
        ends_at=NOW + 2 * HOUR,
        target_kw=None,
        now=NOW + 10 * MINUTE,
        zone=ZoneInfo("Asia/Kolkata"),  # half an hour beside everybody
    )

    assert [mark.text for mark in chart.times] == ["23:00", "23:30", "00:00"]
    assert chart.now.text == "22:40"


# --- The picture ---


def test_it_says_that_nothing_runs_and_what_comes_next(
    program: Program, make_event: Make
) -> None:
    make_event(program, starts_at=NOW + HOUR, ends_at=NOW + 3 * HOUR)

    picture = live.picture(NOW)

    assert picture.running == ()
    assert picture.coming[0].window == "18:00 to 20:00 UTC"
    assert picture.coming[0].starts == "in 60 min"
    assert "No event runs" in live.render(picture)


def test_it_says_what_an_event_waiting_for_approval_waits_for(
    program: Program, make_event: Make
) -> None:
    make_event(program, status=EventStatus.PENDING, pending_reason="too large")

    assert live.picture(NOW).coming[0].note == "waits for approval: too large"


def test_it_leads_with_the_newest_confirmed_figure(event: GridEvent) -> None:
    sample(event, -1, confirmed_kw=10.0)
    sample(event, 0, confirmed_kw=60.0, unconfirmed_kw=30.0, blind_kw=5.0)

    (running,) = live.picture(NOW).running

    assert (running.confirmed, running.unconfirmed, running.blind, running.target) == (
        "60.0", "30.0", "5.0", "100.0",
    )  # fmt: skip
    assert (running.window, running.left) == ("16:30 to 18:30 UTC", "1 h 30 min left")
    assert (running.tone, running.verdict) == ("warning", "40.0 kW short")


def test_what_is_shed_decides_whether_a_target_is_met(event: GridEvent) -> None:
    sample(
        event, 0, confirmed_kw=100.0, shed_kw=80.0, shed_low_kw=70.0, shed_high_kw=90.0,
        cautions=["some reason"],
    )  # fmt: skip

    picture = live.picture(NOW)

    (running,) = picture.running
    assert (running.confirmed, running.verdict) == ("100.0", "20.0 kW short")
    page = live.render(picture)
    assert "shed, an estimate: 80.0 kW (70.0 to 90.0)" in page
    assert "Some reason" in page


def test_it_does_not_call_the_ramp_a_shortfall(event: GridEvent) -> None:
    sample(event, -25, confirmed_kw=60.0)

    (running,) = live.picture(NOW - 25 * MINUTE).running

    assert (running.tone, running.verdict) == ("", "40.0 kW short, still ramping")


def test_an_event_without_samples_has_no_figures(event: GridEvent) -> None:
    (running,) = live.picture(NOW).running

    assert (running.confirmed, running.verdict) == ("", "no figures yet")


def test_it_thins_the_samples_of_a_long_event(event: GridEvent) -> None:
    for second in range(0, 1800, 5):
        sample(event, -30 + second / 60, confirmed_kw=1.0)

    (running,) = live.picture(NOW).running

    assert running.chart.confirmed.count("L") < 100


def test_it_counts_cars_by_state_with_their_reasons(
    event: GridEvent, make_part: Make
) -> None:
    make_part(event, hold=HoldStatus.HELD)
    make_part(event, hold=HoldStatus.HELD)
    make_part(event, hold=HoldStatus.TAKING)
    make_part(event, hold=HoldStatus.RESTORED, restore_reason="customer opted out")
    make_part(event, hold=HoldStatus.RELEASED, close_reason="drove off")
    make_part(event, reason="would be late")

    picture = live.picture(NOW)

    assert numbers(picture) == {
        "held": 2, "taking": 1, "restored": 1, "released": 1, "spared": 1,
    }  # fmt: skip
    reasons = {
        state.word: [(reason.text, reason.number) for reason in state.reasons]
        for state in picture.states
    }
    assert reasons["held"] == [("counts towards the target", 2)]
    assert reasons["restored"] == [("customer opted out", 1)]
    assert reasons["released"] == [("drove off", 1)]
    assert reasons["spared"] == [("would be late", 1)]


def test_the_parts_sum_however_many_reasons_there_are(
    event: GridEvent, make_part: Make
) -> None:
    for number in range(9):
        make_part(event, reason=f"reason {number}")

    picture = live.picture(NOW)

    assert picture.car_count == sum(state.number for state in picture.states) == 9
    for state in picture.states:
        assert sum(reason.number for reason in state.reasons) == state.number


def test_it_counts_a_car_in_two_events_once(
    program: Program, event: GridEvent, make_event: Make, make_part: Make
) -> None:
    part = make_part(event, hold=HoldStatus.HELD)
    other = make_event(program, status=EventStatus.ACTIVE, priority=1)
    Participation.objects.create(
        event=other,
        vehicle=part.vehicle,
        hold=part.hold,
        status="claimed",
        reason="event without a target",
        judged_at=NOW,
    )
    # Spared by the more urgent one, held by the other: it is held.
    third = make_part(other, hold=HoldStatus.HELD)
    make_part(event, vehicle=third.vehicle, reason="would be late")

    assert numbers(live.picture(NOW)) == {"held": 2}


def test_it_still_counts_what_is_owed_from_an_event_that_is_over(
    program: Program, make_event: Make, make_part: Make
) -> None:
    over = make_event(program, status=EventStatus.COMPLETED)
    make_part(over, hold=HoldStatus.UNRESOLVED, close_reason="start failed")

    picture = live.picture(NOW)

    assert numbers(picture) == {"unresolved": 1}
    assert picture.states[-1].tone == "critical"
    assert picture.cars[0].state == "unresolved"


def test_it_says_how_long_the_fan_out_takes(event: GridEvent, make_part: Make) -> None:
    Bucket.objects.create(
        name="application", capacity=120, refill_per_minute=2, tokens=4, refilled_at=NOW
    )
    for _ in range(10):
        make_part(event, hold=HoldStatus.TAKING, command=CommandStatus.QUEUED)
    make_part(
        event,
        hold=HoldStatus.RESTORING,
        command=CommandStatus.QUEUED,
        is_restore=True,
    )

    commands = live.picture(NOW).commands

    assert commands.waiting == "10 to hold and 1 to restore wait"
    # 11 calls, and 24 that stops must leave to restores; 4 are there, 2 come a minute.
    assert commands.duration == "about 16 min"
    assert commands.rate == "2 calls a minute"


def test_it_says_that_nothing_waits(db: None) -> None:
    assert live.picture(NOW).commands.waiting == "Nothing waits"


def test_it_counts_failures_by_code_and_says_who_told_us_to_wait(
    event: GridEvent, make_part: Make
) -> None:
    Bucket.objects.create(
        name="make:FORD",
        capacity=9,
        refill_per_minute=2,
        tokens=0,
        refilled_at=NOW,
        blocked_until=NOW + 7 * MINUTE,
    )
    for _ in range(2):
        make_part(
            event,
            hold=HoldStatus.TAKING,
            command=CommandStatus.FAILED,
            code="VEHICLE_STATE:ASLEEP",
        )

    commands = live.picture(NOW).commands

    assert [(c.text, c.number) for c in commands.codes] == [("VEHICLE_STATE:ASLEEP", 2)]
    assert commands.paused == ("Ford told us to wait until 17:07",)


def test_it_shows_open_alarms_with_the_critical_first(event: GridEvent) -> None:
    keys = count()
    for severity, text, cleared_at in (
        ("warning", "the provider is slow", None),
        ("critical", "a car could not be given back", None),
        ("critical", "was over an hour ago", NOW),
    ):
        Alarm.objects.create(
            key=f"key {next(keys)}",
            severity=severity,
            text=text,
            raised_at=NOW - MINUTE,
            cleared_at=cleared_at,
        )

    alarms = live.picture(NOW).alarms

    assert [line.text for line in alarms.lines] == [
        "A car could not be given back",
        "The provider is slow",
    ]
    assert (alarms.number, alarms.critical) == (2, 1)


def test_the_table_begins_with_what_is_wrong(
    event: GridEvent, make_part: Make, make_vehicle: Make
) -> None:
    make_part(event, hold=HoldStatus.HELD)
    silent = make_vehicle(observed_at=NOW - 3 * HOUR, is_charging=False)
    make_part(event, hold=HoldStatus.HELD, vehicle=silent)
    make_part(event, hold=HoldStatus.HELD, vehicle=make_vehicle(is_charging=True))
    make_part(event, hold=HoldStatus.HELD, latest_start_at=NOW - MINUTE)
    make_part(event, hold=HoldStatus.UNRESOLVED)
    make_part(event, reason="would be late")

    rows = live.picture(NOW).cars

    assert [(row.state, row.tone) for row in rows] == [
        ("unresolved", "critical"),
        ("held", ""),  # its latest start has passed
        ("held", "warning"),  # charges although held
        ("held", ""),  # silent
        ("held", ""),
        ("spared", ""),
    ]
    assert rows[1].latest_start_tone == "critical"
    assert rows[2].reason == "charges although held"
    assert rows[3].age == "3 h"


@pytest.mark.parametrize(
    ("state", "tone"),
    [
        # nobody knows yet whether it obeyed
        (HoldStatus.TAKING, "warning"),
        (HoldStatus.RESTORING, "warning"),
        # a held car that does not charge has nothing to report
        (HoldStatus.HELD, ""),
    ],
)
def test_silence_matters_where_a_reading_is_awaited(
    event: GridEvent, make_part: Make, make_vehicle: Make, state: str, tone: str
) -> None:
    silent = make_vehicle(observed_at=NOW - 3 * HOUR, is_charging=False)
    make_part(event, hold=state, vehicle=silent)

    assert live.picture(NOW).cars[0].age_tone == tone


def test_it_says_when_the_engine_stands_still(db: None) -> None:
    freshness = live.picture(NOW).freshness

    assert (freshness.tick, freshness.tick_tone) == (
        "control loop never ran",
        "critical",
    )
    assert (freshness.senders, freshness.senders_tone) == ("no sender", "critical")


def test_it_says_that_the_engine_runs(db: None) -> None:
    real = clock.real_now()
    LoopTurn.objects.create(at=NOW, real_at=real, took_ms=3)
    Sender.objects.create(
        id=uuid4(), host="here", pid=1, started_at=real, heartbeat_at=real
    )

    freshness = live.picture(NOW).freshness

    assert (freshness.tick_tone, freshness.senders_tone) == ("", "")
    assert freshness.senders == "1 sender alive"


def test_it_survives_a_sender_that_was_buried(db: None) -> None:
    real = clock.real_now()
    buried = Sender.objects.create(
        id=uuid4(), host="here", pid=1, started_at=real, heartbeat_at=real
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "update dispatch_sender set heartbeat_at = '-infinity' where id = %s",
            [buried.pk],
        )

    assert live.picture(NOW).freshness.senders == "no sender"


def test_it_says_clearly_that_time_is_simulated(
    set_clock: Callable[[Any], None],
) -> None:
    set_clock(NOW)

    assert live.picture(NOW).freshness.simulated == "simulated time, paused"


def test_what_can_be_done_has_a_key_that_changes_with_it(event: GridEvent) -> None:
    before = live.picture(NOW).actions
    Envelope.objects.create(
        program=None,
        max_kw=1,
        max_cars=1,
        max_kw_per_minute=1,
        holds_stopped_at=NOW,
        holds_stopped_by="olga",
    )

    after = live.picture(NOW).actions

    assert before.key != after.key
    assert after.everything_is_stopped
    assert (after.stopped[0].by, after.stopped[0].since) == ("olga", "17:00")
    assert live.actions().key == after.key


def test_its_queries_do_not_grow_with_the_fleet(
    event: GridEvent, make_part: Make
) -> None:
    sample(event)
    make_part(event, hold=HoldStatus.TAKING, command=CommandStatus.QUEUED)
    with statements() as few:
        live.picture(NOW)

    for _ in range(15):
        make_part(event, hold=HoldStatus.TAKING, command=CommandStatus.QUEUED)
        make_part(event)
    with statements() as many:
        live.render(live.picture(NOW))

    assert len(few) == len(many) == 20


# --- On its way ---


@pytest.fixture
def listener(db: None, settings: Any) -> Iterator[Any]:
    """Return somebody who watches."""
    client: Any = redis.Redis.from_url(settings.REDIS_URL)
    ear = client.pubsub()
    ear.subscribe(relay.channel())
    ear.get_message(timeout=5)
    yield ear
    ear.close()
    ear.connection_pool.disconnect()


def test_it_publishes_all_parts_as_one_message(event: GridEvent, listener: Any) -> None:
    live.publish(NOW)

    message = listener.get_message(timeout=5)
    html = message["data"].decode()
    for name in live.PARTS:
        assert f'id="part-{name}" hx-swap-oob="innerHTML"' in html
    assert listener.get_message(timeout=0) is None


def test_it_draws_nothing_for_nobody(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw_anyway(now: object) -> None:
        raise AssertionError("nobody watches")

    monkeypatch.setattr(live, "picture", draw_anyway)
    monkeypatch.setattr(live.log, "warning", pytest.fail)

    live.publish(NOW)


def test_a_dead_redis_hurts_no_tick(
    db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    monkeypatch.setattr(live.log, "warning", lambda name, **_: heard.append(name))
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    live.publish(NOW)

    assert heard == ["live_not_published"]


@pytest.fixture
def nothing_kept(settings: Any) -> None:
    """Forget the picture that another test left for the next viewer."""
    client: Any = redis.Redis.from_url(settings.REDIS_URL)
    client.delete(f"{relay.channel()}:last")
    client.close()


def read(number: int, *, after: Callable[[], None] = lambda: None) -> list[str]:
    """Return the first messages of a stream; `after` follows the first of them."""

    async def take() -> list[str]:
        messages: list[str] = []
        source = stream.pictures()
        async for message in source:
            if message.startswith("event: picture"):
                messages.append(message)
                if len(messages) == 1:
                    await asyncio.to_thread(after)
            if len(messages) == number:
                break
        await source.aclose()
        return messages

    return async_to_sync(take)()


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.django_db(transaction=True)
def test_a_stream_begins_with_the_present_picture() -> None:
    (first,) = read(1)

    assert 'data: <div id="part-moment"' in first
    assert first.endswith("\n\n")


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.django_db(transaction=True)
def test_a_stream_carries_what_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SILENCE_SECONDS", 60.0)

    def publish() -> None:
        relay.send("<p>news\nin two lines</p>")

    _, second = read(2, after=publish)

    assert second == "event: picture\ndata: <p>news\ndata: in two lines</p>\n\n"


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.django_db(transaction=True)
def test_a_stream_draws_for_itself_when_the_loop_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "SILENCE_SECONDS", 0.05)

    _, second = read(2)

    assert "control loop never ran" in second


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.django_db(transaction=True)
def test_a_stream_lives_without_redis(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(stream, "WITHOUT_REDIS_SECONDS", 0.01)

    assert len(read(3)) == 3


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.django_db(transaction=True)
def test_a_stream_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SILENCE_SECONDS", 0.01)

    async def listen() -> list[str]:
        return [message async for message in stream.pictures(life_seconds=0.1)]

    assert async_to_sync(listen)()[0] == "retry: 2000\n\n"
