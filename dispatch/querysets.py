"""Questions asked of the records of `dispatch`, and the one way to move them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from django.conf import settings
from django.db import connection, models, transaction

from dispatch.lifecycle import (
    OPEN_COMMAND,
    OPEN_HOLD,
    RUNNING_EVENT,
    EventStatus,
    sources,
)

if TYPE_CHECKING:
    from dispatch.models import (  # noqa: F401
        Command,
        Envelope,
        EnvelopeChange,
        GridEvent,
        Hold,
        Participation,
    )
    from fleets.models import Feeder, Program

log = structlog.get_logger(__name__)

M = TypeVar("M", bound=models.Model)


class LifeQuerySet(models.QuerySet[M]):
    """Rows with a status, whose moves are in the model's `MOVES`."""

    def move(
        self, to: str, *, now: datetime, reason: str = "", **values: Any
    ) -> list[int]:
        """Move all rows of this set that may go to `to`; return their ids, ascending.

        1. Lock the rows in id order: every writer does, so none waits in a circle.
        2. Update them, guarded by the statuses that the table allows.
        3. Write each one's history row, in the same transaction.

        A row that somebody else moved first is not in the answer.
        """
        moves = self.model.MOVES  # type: ignore[attr-defined]
        with transaction.atomic():
            rows = list(
                self.filter(status__in=sources(moves, to))
                .order_by("id")
                .select_for_update(no_key=True, of=("self",))
                .values_list("id", "status")
            )
            ids = [pk for pk, _ in rows]
            if ids:
                self.model._default_manager.filter(pk__in=ids).update(
                    status=to, **values
                )
                self.record(rows, to, now=now, reason=reason)
                transaction.on_commit(partial(self._tell, ids, str(to)), robust=True)
        return ids

    def _tell(self, ids: list[int], to: str) -> None:
        """Log a move that was committed, where a line is worth it.

        Not its reason: a person's act has the name in it.
        """

    def record(
        self,
        rows: Iterable[tuple[int, str]],
        to: str,
        *,
        now: datetime,
        reason: str = "",
    ) -> None:
        """Write the history of rows that went from each own status to `to`."""
        told = list(rows)
        with connection.cursor() as cursor:
            cursor.execute(
                """
                insert into dispatch_change (
                    at, subject, subject_id, before, after, reason
                )
                select %(at)s, %(subject)s, row.id, row.before, %(to)s, %(reason)s
                from unnest(%(ids)s::bigint[], %(befores)s::text[])
                    as row (id, before)
                """,
                {
                    "at": now,
                    "subject": self.model.SUBJECT,  # type: ignore[attr-defined]
                    "to": str(to),
                    "reason": reason[:200],
                    "ids": [pk for pk, _ in told],
                    "befores": [str(before) for _, before in told],
                },
            )


class GridEventQuerySet(LifeQuerySet["GridEvent"]):
    def _tell(self, ids: list[int], to: str) -> None:
        for pk in ids:
            log.info("event_moved", event_id=pk, status=to)

    def running(self) -> GridEventQuerySet:
        """Keep events that hold cars or give them back."""
        return self.filter(status__in=RUNNING_EVENT)

    def alive(self) -> GridEventQuerySet:
        """Keep events that run or will."""
        return self.filter(status__in=(EventStatus.SCHEDULED, *RUNNING_EVENT))

    def in_order(self) -> GridEventQuerySet:
        """Sort as overlaps are decided: priority, then start."""
        return self.order_by("priority", "starts_at", "id")


class EnvelopeChangeQuerySet(LifeQuerySet["EnvelopeChange"]):
    pass


class ParticipationQuerySet(LifeQuerySet["Participation"]):
    pass


class HoldQuerySet(LifeQuerySet["Hold"]):
    def _tell(self, ids: list[int], to: str) -> None:
        few = {"hold_id": ids[0]} if len(ids) == 1 else {}
        log.info("holds_moved", status=to, count=len(ids), **few)

    def open(self) -> HoldQuerySet:
        """Keep what is still owed."""
        return self.filter(status__in=OPEN_HOLD)


class CommandQuerySet(LifeQuerySet["Command"]):
    def open(self) -> CommandQuerySet:
        """Keep commands that keep others from their car."""
        return self.filter(status__in=OPEN_COMMAND)


class EnvelopeQuerySet(models.QuerySet["Envelope"]):
    def of(self, program: Program | None, *, feeder: Feeder | None = None) -> Envelope:
        """Return the envelope of a program, a feeder or of everything.

        One that is missing is made, with what the installation's settings say.

        Locked, so that two events of one moment see each other. Take it after the
        event's lock.
        """
        if program is None and feeder is None:
            defaults = {
                "max_kw": settings.ENVELOPE_ALL_KW,
                "max_cars": settings.ENVELOPE_ALL_CARS,
                "max_kw_per_minute": settings.ENVELOPE_ALL_KW_PER_MINUTE,
            }
        else:
            defaults = {
                "max_kw": settings.ENVELOPE_KW,
                "max_cars": settings.ENVELOPE_CARS,
                "max_kw_per_minute": settings.ENVELOPE_KW_PER_MINUTE,
            }
        locked = self.select_for_update(no_key=True, of=("self",))
        envelope, _ = locked.get_or_create(
            program=program, feeder=feeder, defaults=defaults
        )
        return envelope
