"""Tables cut by day or month: made ahead, dropped whole, and never in a write's way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from django.db import connection

from dispatch.models import Change
from fleets.models import Reading
from fleets.partitions import CHANGES, READINGS, Partitioned
from tests.factories import NOW

DAY = timedelta(days=1)
# Long after anything that another test may have made.
THEN = datetime(2031, 12, 30, 22, 30, tzinfo=UTC)


def pieces(
    table: Partitioned, now: datetime, **ahead: float
) -> list[tuple[date, date]]:
    return list(table.pieces(now, timedelta(**ahead)))


def tables() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "select inhrelid::regclass::text from pg_inherits where inhparent in"
            " ('fleets_reading'::regclass, 'dispatch_change'::regclass)"
        )
        return {name for (name,) in cursor.fetchall()}


def read(received_at: datetime) -> None:
    Reading.objects.create(
        received_at=received_at, vehicle_id=1, observed_at=received_at, source="read"
    )


Elsewhere = Callable[[str], AbstractContextManager[None]]


@pytest.fixture
def elsewhere() -> Elsewhere:
    """Return a transaction of somebody else that holds what its statement took."""

    @contextmanager
    def hold(statement: str) -> Iterator[None]:
        where = connection.get_connection_params()
        names = ("dbname", "user", "password", "host", "port")
        with psycopg.connect(**{name: where[name] for name in names}) as other:
            other.execute(statement)
            yield
            other.rollback()

    return hold


def homes() -> list[str]:
    """Return the pieces that readings lie in."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select tableoid::regclass::text from fleets_reading order by received_at"
        )
        return [name for (name,) in cursor.fetchall()]


def test_days_follow_each_other_from_today_on() -> None:
    assert pieces(READINGS, NOW, days=2) == [
        (date(2026, 1, 12), date(2026, 1, 13)),
        (date(2026, 1, 13), date(2026, 1, 14)),
        (date(2026, 1, 14), date(2026, 1, 15)),
    ]


def test_months_follow_each_other_over_the_years_end() -> None:
    assert pieces(CHANGES, THEN, days=40) == [
        (date(2031, 12, 1), date(2032, 1, 1)),
        (date(2032, 1, 1), date(2032, 2, 1)),
        (date(2032, 2, 1), date(2032, 3, 1)),
    ]


def test_days_are_those_of_utc() -> None:
    in_oslo = datetime.fromisoformat("2026-01-13T00:30:00+01:00")

    assert pieces(READINGS, in_oslo)[0][0] == date(2026, 1, 12)


@pytest.mark.django_db
def test_pieces_are_made_ahead_and_again_without_harm() -> None:
    before = tables()

    for _ in range(2):
        READINGS.make_ahead(THEN, ahead=DAY)
        CHANGES.make_ahead(THEN, ahead=3 * DAY)

    assert tables() - before == {
        "fleets_reading_20311230",
        "fleets_reading_20311231",
        "dispatch_change_20311201",
        "dispatch_change_20320101",
    }


@pytest.mark.django_db
def test_a_row_lands_in_the_piece_of_its_time() -> None:
    READINGS.make_ahead(THEN, ahead=DAY)
    for moment in (THEN, datetime(2031, 12, 31, tzinfo=UTC), THEN + 30 * DAY):
        read(moment)

    assert homes() == [
        "fleets_reading_20311230",
        "fleets_reading_20311231",
        "fleets_reading_default",
    ]


@pytest.mark.django_db
def test_rows_that_came_before_their_piece_move_into_it() -> None:
    read(THEN)

    READINGS.make_ahead(THEN, ahead=DAY)

    assert homes() == ["fleets_reading_20311230"]
    assert Reading.objects.count() == 1


@pytest.mark.django_db
def test_strays_of_other_days_get_pieces_of_their_own() -> None:
    read(THEN - 5 * DAY)
    read(THEN + 30 * DAY)

    READINGS.make_ahead(THEN, ahead=DAY)

    assert homes() == ["fleets_reading_20311225", "fleets_reading_20320129"]


@pytest.mark.django_db
def test_strays_of_other_months_get_pieces_of_their_own() -> None:
    Change.objects.create(at=THEN - 40 * DAY, subject="hold", subject_id=1, after="x")

    CHANGES.make_ahead(THEN, ahead=DAY)

    assert "dispatch_change_20311101" in tables()
    assert Change.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_whoever_uses_the_table_goes_first(elsewhere: Elsewhere) -> None:
    old = THEN - 9 * DAY
    READINGS.make_ahead(old, ahead=timedelta())

    with elsewhere("lock table fleets_reading in access share mode"):
        assert READINGS.make_ahead(THEN, ahead=timedelta()) is False
        assert READINGS.drop_before(THEN) == []

    assert READINGS.make_ahead(THEN, ahead=timedelta()) is True
    assert "fleets_reading_20311221" in READINGS.drop_before(THEN)
    READINGS.drop_before(THEN + 9 * DAY)  # what others must not find


@pytest.mark.django_db
def test_a_piece_made_late_has_the_rules_of_the_others() -> None:
    Change.objects.create(at=THEN, subject="hold", subject_id=1, after="held")

    CHANGES.make_ahead(THEN, ahead=timedelta())

    with connection.cursor() as cursor:
        cursor.execute(
            "select count(*) from pg_index where indrelid = any(%s::regclass[])"
            " group by indrelid",
            [["dispatch_change_20311201", "dispatch_change_default"]],
        )
        counts = [count for (count,) in cursor.fetchall()]
    assert len(counts) == 2
    assert counts[0] == counts[1]
    assert Change.objects.get().id > 0


@pytest.mark.django_db
def test_pieces_go_whole_when_all_of_them_is_old() -> None:
    READINGS.make_ahead(THEN, ahead=2 * DAY)
    read(THEN)
    midnight = datetime(2032, 1, 1, tzinfo=UTC)

    assert "fleets_reading_20311230" not in READINGS.drop_before(THEN)
    dropped = READINGS.drop_before(midnight + timedelta(seconds=1))

    assert {"fleets_reading_20311230", "fleets_reading_20311231"} <= set(dropped)
    assert "fleets_reading_20320101" in tables()
    assert "fleets_reading_default" in tables()
    assert Reading.objects.count() == 0


@pytest.mark.django_db
def test_a_month_goes_when_its_last_day_is_old() -> None:
    CHANGES.make_ahead(THEN, ahead=timedelta())

    assert CHANGES.drop_before(datetime(2031, 12, 31, tzinfo=UTC)) == []
    assert CHANGES.drop_before(datetime(2032, 1, 1, tzinfo=UTC)) == [
        "dispatch_change_20311201"
    ]


@pytest.mark.django_db
def test_strays_that_are_old_are_pruned_too() -> None:
    read(THEN - DAY)
    read(THEN)

    READINGS.drop_before(THEN)

    assert [reading.received_at for reading in Reading.objects.all()] == [THEN]
