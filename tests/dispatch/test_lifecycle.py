"""Every pair of statuses, allowed or refused, tried on the rows themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from dispatch import lifecycle
from dispatch.lifecycle import (
    COMMAND_MOVES,
    EVENT_MOVES,
    HOLD_MOVES,
    OPEN_COMMAND,
    OPEN_HOLD,
    PARTICIPATION_MOVES,
    CommandStatus,
    EventStatus,
    HoldStatus,
    Moves,
    ParticipationStatus,
)
from dispatch.models import Change, Command, GridEvent, Hold, Participation
from tests.dispatch.together import at_once
from tests.factories import NOW
from tests.waiting import eventually

Make = Callable[..., Any]
Life = type[GridEvent] | type[Participation] | type[Hold] | type[Command]

LIVES: dict[str, tuple[Life, type[Any], Moves]] = {
    "event": (GridEvent, EventStatus, EVENT_MOVES),
    "participation": (Participation, ParticipationStatus, PARTICIPATION_MOVES),
    "hold": (Hold, HoldStatus, HOLD_MOVES),
    "command": (Command, CommandStatus, COMMAND_MOVES),
}
lives = pytest.mark.parametrize("life", LIVES)


@pytest.fixture
def rows(make_stop: Make, make_event: Make, program: Any) -> dict[str, Any]:
    """Return one row of each kind."""
    command = make_stop(make_event(program))
    return {
        "event": command.event,
        "participation": Participation.objects.get(),
        "hold": command.hold,
        "command": command,
    }


def pairs(statuses: type[Any]) -> Iterator[tuple[str, str]]:
    return ((before, after) for before in statuses for after in statuses)


@lives
def test_a_row_moves_as_its_table_allows_and_never_else(
    rows: dict[str, Any], life: str
) -> None:
    model, statuses, moves = LIVES[life]
    one = model._default_manager.filter(pk=rows[life].pk)
    for before, after in pairs(statuses):
        one.update(status=before)
        Change.objects.all().delete()

        moved = one.move(after, now=NOW, reason="tried")

        allowed = after in moves[before]
        assert moved == ([rows[life].pk] if allowed else []), (before, after)
        assert one.get().status == (after if allowed else before)
        told = Change.objects.values_list(
            "at", "subject", "subject_id", "before", "after", "reason"
        )
        expected = (NOW, life, rows[life].pk, before, after, "tried")
        assert list(told) == ([expected] if allowed else [])


@lives
def test_the_table_names_every_status_and_no_other(life: str) -> None:
    _, statuses, moves = LIVES[life]

    targets = {target for targets in moves.values() for target in targets}

    assert set(moves) == set(statuses.values)
    assert targets <= set(statuses.values)


@lives
def test_a_status_never_moves_to_itself(life: str) -> None:
    _, _, moves = LIVES[life]

    assert not [status for status, targets in moves.items() if status in targets]


@lives
def test_sources_are_the_table_read_backwards(life: str) -> None:
    _, statuses, moves = LIVES[life]
    for before, after in pairs(statuses):
        assert (before in lifecycle.sources(moves, after)) == (after in moves[before])


@pytest.mark.parametrize(
    ("life", "final"),
    [
        ("event", {"settled", "cancelled"}),
        ("participation", {"ended"}),
        ("hold", {"restored", "released"}),
        ("command", {"confirmed", "failed", "expired", "superseded"}),
    ],
)
def test_nothing_leaves_what_is_final(life: str, final: set[str]) -> None:
    assert lifecycle.final(LIVES[life][2]) == final


@lives
def test_every_status_leads_to_an_end(life: str) -> None:
    _, statuses, moves = LIVES[life]
    for status in statuses:
        reached = {status}
        while more := {t for s in reached for t in moves[s]} - reached:
            reached |= more

        assert reached & lifecycle.final(moves), f"{status} never ends"


def test_what_is_owed_is_all_but_the_ends() -> None:
    assert set(OPEN_HOLD) == set(HoldStatus) - lifecycle.final(HOLD_MOVES)


def test_an_open_command_has_not_been_answered() -> None:
    """What a car must wait for: all but the ends, and accepted ones."""
    done = lifecycle.final(COMMAND_MOVES) | {CommandStatus.ACCEPTED}

    assert set(OPEN_COMMAND) == set(CommandStatus) - done


@lives
def test_the_database_takes_every_status_and_no_other(
    rows: dict[str, Any], life: str
) -> None:
    model, statuses, _ = LIVES[life]
    one = model._default_manager.filter(pk=rows[life].pk)
    for status in statuses:
        one.update(status=status)

    with pytest.raises(IntegrityError, match="status_known"), transaction.atomic():
        one.update(status="lost")


def test_a_move_writes_the_values_that_come_with_it(rows: dict[str, Any]) -> None:
    Hold.objects.all().move(HoldStatus.HELD, now=NOW, held_at=NOW)

    assert Hold.objects.get().held_at == NOW


def test_a_move_touches_its_own_set_alone(
    rows: dict[str, Any], make_event: Make
) -> None:
    other = make_event()

    moved = GridEvent.objects.exclude(pk=other.pk).move(EventStatus.ACTIVE, now=NOW)

    assert moved == [rows["event"].pk]
    other.refresh_from_db()
    assert other.status == EventStatus.SCHEDULED


def test_a_long_reason_is_cut_to_its_column(rows: dict[str, Any]) -> None:
    Hold.objects.all().move(HoldStatus.HELD, now=NOW, reason="x" * 300)

    assert Change.objects.get(subject="hold").reason == "x" * 200


@pytest.mark.django_db(transaction=True)
def test_of_two_moves_at_once_one_wins(rows: dict[str, Any]) -> None:
    def release() -> object:
        return Hold.objects.all().move(HoldStatus.RELEASED, now=NOW)

    results = at_once(*[release] * 4)

    assert sorted(results, key=str) == [[rows["hold"].pk], [], [], []]
    assert Change.objects.count() == 1


def somebody_waits() -> bool:
    """Say whether a statement waits for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("select exists (select from pg_locks where not granted)")
        (waits,) = cursor.fetchone()
    return bool(waits)


@pytest.mark.django_db(transaction=True)
def test_a_move_waits_for_the_one_before_it_and_looks_again(
    rows: dict[str, Any],
) -> None:
    """The loser saw the row as it was before; its guard must see it as it is."""

    has_moved = Event()

    def release() -> object:
        with transaction.atomic():
            moved = Hold.objects.all().move(HoldStatus.RELEASED, now=NOW)
            has_moved.set()
            eventually(somebody_waits)
        return moved

    def hold() -> object:
        assert has_moved.wait(timeout=20)
        return Hold.objects.all().move(HoldStatus.HELD, now=NOW)

    assert at_once(release, hold) == [[rows["hold"].pk], []]
