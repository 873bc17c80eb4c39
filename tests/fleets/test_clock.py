"""One clock for all: real, fast, or standing still."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection

from fleets import clock
from fleets.clock import REAL_TIME, Timeline
from fleets.models import SystemClock
from tests.dispatch.together import at_once
from tests.factories import HOUR, NOW

NIGHT = datetime(2026, 1, 12, 2, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Look at the row anew, before and after."""
    clock._cache.timeline = REAL_TIME
    clock._cache.read_at = float("-inf")
    yield
    clock._cache.timeline = REAL_TIME
    clock._cache.read_at = float("-inf")


def bend(**values: object) -> None:
    SystemClock.objects.update_or_create(
        id=1, defaults={"real": NIGHT, "simulated": NOW, **values}
    )


@pytest.mark.parametrize(
    ("speed", "shows"),
    [
        (1.0, NOW + HOUR),
        (120.0, NOW + 120 * HOUR),
        (0.5, NOW + HOUR / 2),
        (0.0, NOW),
    ],
)
def test_a_timeline_is_a_straight_line(speed: float, shows: datetime) -> None:
    line = Timeline(real=NIGHT, simulated=NOW, speed=speed)

    assert line.at(NIGHT) == NOW
    assert line.at(NIGHT + HOUR) == shows
    assert line.at(NIGHT - HOUR) == NOW - (shows - NOW)


@pytest.mark.parametrize(
    ("speed", "seconds"), [(1.0, 3600.0), (120.0, 30.0), (0.0, float("inf"))]
)
def test_a_duration_takes_its_time(speed: float, seconds: float) -> None:
    line = Timeline(real=NIGHT, simulated=NOW, speed=speed)

    assert line.real_seconds(HOUR) == seconds


def test_the_real_timeline_shows_what_the_machine_shows() -> None:
    assert REAL_TIME.at(NIGHT) == NIGHT


@pytest.mark.parametrize(("paused", "speed"), [(False, 60.0), (True, 0.0)])
def test_a_paused_clock_stands_still(paused: bool, speed: float) -> None:
    assert clock.from_row(NIGHT, NOW, 60.0, paused) == Timeline(NIGHT, NOW, speed)


@pytest.mark.django_db
def test_without_a_row_it_is_the_machines_time() -> None:
    before = clock.real_now()

    assert before <= clock.now() <= clock.real_now()


@pytest.mark.django_db
def test_the_row_bends_it() -> None:
    bend(paused=True)

    assert clock.now() == NOW


@pytest.mark.django_db
def test_a_changed_row_is_noticed_after_a_quarter_of_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = [1000.0]
    monkeypatch.setattr("fleets.clock.time.monotonic", lambda: machine[0])
    bend(paused=True)
    assert clock.now() == NOW

    bend(paused=True, simulated=NOW + HOUR)
    machine[0] += 0.25
    assert clock.now() == NOW
    machine[0] += 0.01
    assert clock.now() == NOW + HOUR


@pytest.mark.django_db(transaction=True)
def test_every_connection_reads_the_same() -> None:
    bend(speed=60.0)

    lines = at_once(*[clock.read] * 3)

    assert lines == [Timeline(NIGHT, NOW, 60.0)] * 3


@pytest.mark.django_db(transaction=True)
def test_time_goes_on_when_the_database_is_away_and_follows_it_again() -> None:
    bend(paused=True)
    assert clock.now() == NOW

    clock._cache.read_at = float("-inf")
    with connection.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        (pid,) = cursor.fetchone()

    def kill() -> None:
        with connection.cursor() as cursor:
            cursor.execute("select pg_terminate_backend(%s)", [pid])

    at_once(kill)

    assert clock.now() == NOW, "the last line goes on"

    connection.close()
    bend(paused=True, simulated=NOW + HOUR)
    clock._cache.read_at = float("-inf")
    assert clock.now() == NOW + HOUR


def test_a_database_that_is_away_is_not_asked_at_every_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def read() -> Timeline:
        asked.append(1)
        raise DatabaseError("away")

    monkeypatch.setattr(clock, "read", read)

    for _ in range(5):
        clock.now()

    assert len(asked) == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    "values",
    [
        # there is one clock
        {"id": 2},
        # it never runs backwards; standing still is `paused`
        {"speed": -1.0},
        {"speed": 0.0},
    ],
)
def test_the_database_holds_one_clock_that_runs_forward(
    values: dict[str, Any],
) -> None:
    with pytest.raises(IntegrityError):
        SystemClock.objects.create(
            **{"id": 1, "real": NIGHT, "simulated": NOW, "speed": 1.0, **values}
        )
