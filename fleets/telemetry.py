"""What cars report: from the webhook inbox to readings and to last known states."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

import structlog
from django.conf import settings
from django.db import DataError, IntegrityError, connection, transaction

from fleets import departures, last_known
from fleets.departures import Left
from fleets.last_known import LastKnown
from fleets.models import Vehicle, WebhookDelivery
from fleets.providers.base import Report
from fleets.providers.smartcar import parse_webhook
from fleets.signals import readings_recorded
from fleets.transactions import bulk_cursor, retried

log = structlog.get_logger(__name__)

Source = Literal["webhook", "read"]

BATCH = 1000
# Rows that one statement prunes: some tenths of a second, so nobody waits for it.
PRUNED_AT_ONCE = 10_000
# Four times what comes meanwhile at ten million a day; the next call takes the rest.
PRUNED_AT_MOST = 300_000


class _Message(NamedTuple):
    pk: int
    body: bytes
    received_at: datetime


class _Arrival(NamedTuple):
    report: Report
    received_at: datetime


_STATE = tuple(field.name for field in fields(LastKnown))
_READING = (
    "received_at", "vehicle_id", "observed_at", "is_plugged_in", "is_charging",
    "soc_percent", "limit_percent", "power_kw", "is_home", "source",
)  # fmt: skip
_COPY = f"copy fleets_reading ({', '.join(_READING)}) from stdin (format binary)"
_READING_TYPES = (
    "timestamptz", "int8", "timestamptz", "bool", "bool", "float8", "float8", "float8",
    "bool", "varchar",
)  # fmt: skip
_COLUMN_TYPES = {
    "battery_kwh": "float8", "usual_power_kw": "float8", "is_plugged_in": "bool",
    "is_charging": "bool", "soc_percent": "float8", "limit_percent": "float8",
    "limit_observed_at": "timestamptz", "power_kw": "float8",
    "plugged_in_at": "timestamptz", "is_home": "bool", "observed_at": "timestamptz",
    "received_at": "timestamptz",
}  # fmt: skip
# Nothing from outside is in this text: names and types come from the two above. The
# rows are locked already; the guard holds should that ever change.
_UPDATE = f"""
update fleets_vehicle v
set {", ".join(f"{name} = n.{name}" for name in _STATE)},
    webhook_at = greatest(v.webhook_at, case when %s then n.received_at end)
from unnest(%s::bigint[], {", ".join(f"%s::{_COLUMN_TYPES[n]}[]" for n in _STATE)})
     as n (id, {", ".join(_STATE)})
where v.id = n.id and (v.observed_at is null or v.observed_at <= n.observed_at)
"""  # noqa: S608
_CLAIM = """
select id, body, received_at from fleets_webhookdelivery
where processed_at is null order by id limit %s for update skip locked
"""
# Locked in the order of their ids, as everywhere, and without key: rows that point to a
# car need not wait.
_CARS = f"""
select id, external_id, {", ".join(_STATE)} from fleets_vehicle
where external_id = any(%s) order by id for no key update
"""  # noqa: S608
_PRUNE = """
delete from fleets_webhookdelivery where id in (
    select id from fleets_webhookdelivery
    where received_at < %s and processed_at is not null
    order by received_at limit %s for update skip locked
)
"""
_MARK = "update fleets_webhookdelivery set processed_at = %s where id = any(%s)"


@retried
@transaction.atomic
def take_in(now: datetime, *, limit: int | None = None) -> int:
    """Take a batch, or up to `limit`, out of the inbox; return how many there were.

    1. Claim them; other workers skip those.
    2. Record the readings they carry.
    3. Mark them processed, with the error of those that are not readable.

    All in one transaction, so a message is taken in wholly or again.
    """
    with bulk_cursor() as cursor:
        cursor.execute(_CLAIM, [limit or BATCH])
        messages = [_Message(*row) for row in cursor]
    if not messages:
        return 0
    errors: dict[int, str] = {}
    arrivals: dict[int, list[_Arrival]] = {}
    for message in messages:
        try:
            arrivals[message.pk] = _arrivals(message)
        except ValueError as error:
            errors[message.pk] = f"unreadable: {error}"
        except Exception:
            log.exception("webhook_unreadable", message=message.pk)
            errors[message.pk] = "unreadable: a flaw in its reader"
    errors |= _record_by_message(arrivals)
    with bulk_cursor() as cursor:
        cursor.execute(_MARK, [now, [message.pk for message in messages]])
    for pk, reason in errors.items():
        plain = reason.encode("ascii", "replace").decode().replace("\x00", "?")
        WebhookDelivery.objects.filter(pk=pk).update(error=plain[:200])
    if errors:
        log.warning("webhooks_without_effect", count=len(errors))
    return len(messages)


@retried
@transaction.atomic
def record(reports: Sequence[Report], *, source: Source, now: datetime) -> list[int]:
    """Store reports that came just now; return the ids of the cars they are of.

    A car unknown to us is skipped. Listeners of `readings_recorded` hear of them after
    the commit.
    """
    arrivals = [_Arrival(report, now) for report in reports]
    return _record(arrivals, source)


def prune(now: datetime) -> int:
    """Delete messages whose time has passed; return how many.

    One that waits is never deleted, and what cannot be done now is done next time.
    """
    before = now - timedelta(days=settings.WEBHOOKS_KEPT_DAYS)
    deleted = 0
    while deleted < PRUNED_AT_MOST:
        with connection.cursor() as cursor:
            cursor.execute(_PRUNE, [before, PRUNED_AT_ONCE])
            deleted += cursor.rowcount
            if cursor.rowcount < PRUNED_AT_ONCE:
                break
    return deleted


def _arrivals(message: _Message) -> list[_Arrival]:
    said = parse_webhook(message.body)
    if said.is_test:
        return []
    return [_Arrival(report, message.received_at) for report in said.reports]


def _record_by_message(by_message: Mapping[int, list[_Arrival]]) -> dict[int, str]:
    """Record what messages carry; return the errors of those that could not be.

    Together if possible. What the database refuses of one must not stop the others, so
    then half by half, which finds one in a thousand in twenty tries.
    """
    arrivals = [arrival for some in by_message.values() for arrival in some]
    try:
        with transaction.atomic():
            _record(arrivals, "webhook")
        return {}
    except (DataError, IntegrityError) as error:
        if len(by_message) == 1:
            (pk,) = by_message
            log.error("webhook_refused", message=pk, error=type(error).__name__)
            return {pk: f"refused: {type(error).__name__}"}
    # The savepoint's end has let go of the cars: taken half by half, out of order.
    _lock({arrival.report.vehicle_id for arrival in arrivals})
    pks = list(by_message)
    halves = pks[: len(pks) // 2], pks[len(pks) // 2 :]
    errors: dict[int, str] = {}
    for half in halves:
        errors |= _record_by_message({pk: by_message[pk] for pk in half})
    return errors


def _lock(cars: Iterable[str]) -> list[tuple[Any, ...]]:
    """Lock cars in the order of their ids; return id, external id and state of each."""
    with bulk_cursor() as cursor:
        cursor.execute(_CARS, [list(cars)])
        return cursor.fetchall()


def _record(arrivals: Iterable[_Arrival], source: Source) -> list[int]:
    """Store readings and states; must run inside a transaction."""
    by_car: dict[str, list[_Arrival]] = defaultdict(list)
    for arrival in arrivals:
        report = last_known.clean(arrival.report, received_at=arrival.received_at)
        by_car[report.vehicle_id].append(_Arrival(report, arrival.received_at))
    states: dict[int, LastKnown] = {}
    readings: list[tuple[object, ...]] = []
    left: list[Left] = []
    for vehicle_id, external_id, *columns in _lock(by_car):
        state = LastKnown(*columns)
        for arrival in sorted(by_car[external_id], key=lambda a: a.report.observed_at):
            r, received_at = arrival.report, arrival.received_at
            before = state
            state = last_known.after(before, r, received_at=received_at)
            if last_known.has_left_home(before, state) and before.plugged_in_at:
                left.append(
                    Left(
                        vehicle_id, before.plugged_in_at, r.observed_at,
                        state.soc_percent,
                    )
                )  # fmt: skip
            readings.append(
                (
                    received_at, vehicle_id, r.observed_at, r.is_plugged_in,
                    r.is_charging, r.soc_percent, r.limit_percent, r.power_kw,
                    r.is_home, source,
                )
            )  # fmt: skip
        states[vehicle_id] = state
    if not states:
        return []
    _write(readings, states, source)
    if left:
        departures.remember(left)
    vehicle_ids = list(states)
    transaction.on_commit(
        lambda: readings_recorded.send(sender=Vehicle, vehicle_ids=vehicle_ids),
        robust=True,  # rows are the truth: a listener's failure changes none
    )
    return vehicle_ids


def _write(
    readings: list[tuple[object, ...]], states: dict[int, LastKnown], source: Source
) -> None:
    columns = [
        _array(getattr(state, name) for state in states.values()) for name in _STATE
    ]
    with bulk_cursor() as cursor:
        with cursor.copy(_COPY) as copy:
            copy.set_types(_READING_TYPES)
            for reading in readings:
                copy.write_row(reading)
        cursor.execute(_UPDATE, [source == "webhook", list(states), *columns])


def _array(values: Iterable[object]) -> str:
    """Return numbers, times and truths as PostgreSQL writes an array of them.

    None of these needs quotes. Drivers ask each value for its type: a fifth of intake.
    """
    return f"{{{','.join('NULL' if v is None else str(v) for v in values)}}}"
