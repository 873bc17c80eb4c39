"""How fast webhooks are taken: a real receiver and a real worker on one core.

The web process and the `control` worker share one core; PostgreSQL, Valkey and the
sender have the others. Every message is committed, with `synchronous_commit` on, before
it is answered. The runs, each with its own messages, at most one a car:

1. the receiver as fast as it goes, and then the intake as fast as it goes;
2. steady: messages fall due at an even rate, first with the receiver alone, then while
   the intake runs. Latencies count from when each was due, so a receiver that lags
   cannot hide it;
3. storm: what follows a fan-out. All cars answer faster than they can be taken, with
   Smartcar's retries. Ends when every message is a reading and a state.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection

from fleets import clock, partitions, telemetry
from fleets.api import webhooks
from fleets.models import (
    Customer,
    ProviderAccount,
    Reading,
    Vehicle,
    WebhookDelivery,
)
from fleets.simulator.cars import Car
from gridbalance import pids
from gridbalance.bench.deliveries import (
    Signed,
    deliver,
    draw_fleet,
    draw_messages,
)
from gridbalance.embedded import POSTGRES
from gridbalance.embedded.stored import LOOPBACK
from gridbalance.processes import Supervisor, web, worker

WARM_UP = 1000
STEADY_SECONDS = 10.0
# As fast as a fan-out that is twice as fast as it must be.
STORM_PER_SECOND = 12_000.0
TAKEN_IN_SECONDS = 600.0  # nothing taken in by then will be
LOOK_AGAIN_SECONDS = 0.05
SELF = "bench"


class Lost(RuntimeError):
    """A message that was taken is in no row, or one was given up."""


Figures = dict[str, float]


def measure(house: Supervisor, *, messages: int, per_second: float) -> Figures:
    """Take webhooks flat out, steadily and in a storm; raise Lost if a row is missing.

    What `_cpu_us` ends in is processor time a message. When the sender has no core
    left, it is the limit and not the receiver.
    """
    cars = draw_fleet(messages)
    few = cars[: int(per_second * STEADY_SECONDS)]
    _enrol(cars)
    here, elsewhere = _split_cores()
    port = house.port("web")
    url = f"http://{LOOPBACK}:{port}{webhooks.SMARTCAR_PATH}"
    with _on(here):
        house.start(web(port))
    house.wait_until_answers("web", port, "/healthz")
    with _on(elsewhere):
        deliver(url, _messages(cars[:WARM_UP], is_charging=True).messages)
        _take_in_all()
        figures, sent = _flat_out(house, url, cars)
    with _on(here):
        figures |= _intake_alone(house, sent)
    with _on(elsewhere):
        p50, p99 = _steady(url, few, per_second, take_in=_take_in_all)
        figures |= {"p50_ms": p50, "p99_ms": p99}
    with _on(here):
        house.start(worker("control"))
    with _on(elsewhere):
        p50, p99 = _steady(url, few, per_second, take_in=_wait_until_taken_in)
        figures |= {"shared_p50_ms": p50, "shared_p99_ms": p99}
        figures |= _storm(house, url, cars)
    readings, inbox = Reading.objects.count(), WebhookDelivery.objects.count()
    figures["bytes_per_reading"] = _bytes_of_pieces("fleets_reading") / readings
    figures["bytes_per_message"] = _bytes("fleets_webhookdelivery") / inbox
    return {name: round(value, 3) for name, value in figures.items()}


def _flat_out(house: Supervisor, url: str, cars: list[Car]) -> tuple[Figures, _Sent]:
    sent = _messages(cars, is_charging=True)
    with _counted(house, "web") as spent:
        delivered = deliver(url, sent.messages)
    count = len(cars)
    if delivered.counts["taken"] != count:
        raise Lost(f"{delivered.counts['dropped']} of {count} messages were refused.")
    return {
        "messages": count,
        "message_bytes": sum(len(m.body) for m in sent.messages) / count,
        "webhooks_per_s": count / delivered.seconds,
        "receiver_cpu_us": spent["web"] / count * 1e6,
        "receiver_postgres_cpu_us": spent[POSTGRES] / count * 1e6,
        "sender_cpu_us": spent[SELF] / count * 1e6,
    }, sent


def _intake_alone(house: Supervisor, sent: _Sent) -> Figures:
    with _counted(house) as spent:
        began = time.perf_counter()
        _take_in_all()
        seconds = time.perf_counter() - began
    _check(sent)
    count = len(sent.messages)
    return {
        "taken_in_per_s": count / seconds,
        "intake_cpu_us": spent[SELF] / count * 1e6,
        "intake_postgres_cpu_us": spent[POSTGRES] / count * 1e6,
    }


def _steady(
    url: str, cars: list[Car], per_second: float, *, take_in: Callable[[], None]
) -> tuple[float, float]:
    """Return the middle and the 99th percentile of how long messages waited, in ms."""
    sent = _messages(cars, is_charging=True)
    delivered = deliver(url, sent.messages, per_second=per_second)
    take_in()
    _check(sent)
    return delivered.quantile_ms(0.5), delivered.quantile_ms(0.99)


def _storm(house: Supervisor, url: str, cars: list[Car]) -> Figures:
    sent = _messages(cars, is_charging=False)
    with _counted(house, "web", "control") as spent:
        delivered = deliver(url, sent.messages, per_second=STORM_PER_SECOND)
        _wait_until_taken_in()
        seconds = time.perf_counter() - delivered.began
    _check(sent)
    count = len(cars)
    return {
        "storm_taken": delivered.counts["taken"],
        "storm_dropped": delivered.counts["dropped"],
        "storm_retried": delivered.counts["retried"],
        "storm_answered_seconds": delivered.seconds,
        "storm_longest_wait_s": max(delivered.waits),
        "storm_taken_in_seconds": seconds,
        "storm_taken_in_per_s": count / seconds,
        "storm_receiver_cpu_us": spent["web"] / count * 1e6,
        "storm_worker_cpu_us": spent["control"] / count * 1e6,
        "storm_postgres_cpu_us": spent[POSTGRES] / count * 1e6,
    }


@contextmanager
def _counted(house: Supervisor, *names: str) -> Iterator[dict[str, float]]:
    """Fill in the processor seconds of these, of PostgreSQL and of this process."""

    def now() -> dict[str, float]:
        of = {
            name: pids.cpu_seconds(house.pids_of(name)) for name in (*names, POSTGRES)
        }
        return of | {SELF: time.process_time()}

    spent: dict[str, float] = {}
    before = now()
    yield spent
    spent.update({name: seconds - before[name] for name, seconds in now().items()})


@dataclass(frozen=True)
class _Sent:
    at: datetime
    is_charging: bool
    messages: list[Signed]


def _messages(cars: list[Car], *, is_charging: bool) -> _Sent:
    """Build a message a car, all of this very moment."""
    # What a car says is told in whole milliseconds.
    now = clock.now()
    at = now.replace(microsecond=now.microsecond // 1000 * 1000)
    token = settings.SMARTCAR_MANAGEMENT_TOKEN
    seed = int(at.timestamp() * 1000)
    return _Sent(
        at,
        is_charging,
        list(
            draw_messages(cars, at=at, is_charging=is_charging, token=token, seed=seed)
        ),
    )


def _enrol(cars: list[Car]) -> None:
    """Make the rows of the fleet, and today's partitions."""
    now = clock.now()
    partitions.READINGS.make_ahead(now, ahead=timedelta())
    customer = Customer.objects.create(name="bench", created_at=now)
    account = ProviderAccount.objects.create(
        customer=customer, external_id="bench", connected_at=now
    )
    Vehicle.objects.bulk_create(
        (
            Vehicle(
                account=account,
                external_id=car.id,
                make=car.make,
                model=car.model,
                battery_kwh=car.battery.capacity_kwh,
                usual_power_kw=car.power_kw,
            )
            for car in cars
        ),
        batch_size=5000,
    )


def _take_in_all() -> None:
    """Empty the inbox in this process."""
    while telemetry.take_in(clock.now()):
        pass


def _wait_until_taken_in() -> None:
    deadline = time.perf_counter() + TAKEN_IN_SECONDS
    while WebhookDelivery.objects.filter(processed_at=None).exists():
        if time.perf_counter() > deadline:
            raise Lost("The inbox is not empty.")
        time.sleep(LOOK_AGAIN_SECONDS)


def _check(sent: _Sent) -> None:
    """Find every message in the rows: a reading, and the state of its car."""
    wanted = len(sent.messages)
    told = {"observed_at": sent.at, "is_charging": sent.is_charging}
    readings = Reading.objects.filter(source="webhook", **told)
    found = {
        "readings": readings.count(),
        "cars": readings.values("vehicle_id").distinct().count(),
        "states": Vehicle.objects.filter(**told).count(),
    }
    if set(found.values()) != {wanted}:
        raise Lost(f"Of {wanted} messages there are {found}.")


def _bytes(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("select pg_total_relation_size(%s::regclass)", [table])
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def _bytes_of_pieces(table: str) -> int:
    """Return what the pieces that hold rows take, with their indexes."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select sum(pg_total_relation_size(inhrelid)) from pg_inherits"
            " where inhparent = %s::regclass and pg_relation_size(inhrelid) > 0",
            [table],
        )
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def _split_cores() -> tuple[set[int], set[int]]:
    """Return one core for Gridbalance and those for everything else."""
    if not hasattr(os, "sched_getaffinity"):
        return set(), set()  # macOS: processes go where the system puts them
    cores = sorted(os.sched_getaffinity(0))
    return {cores[0]}, set(cores[1:]) or {cores[0]}


@contextmanager
def _on(cores: set[int]) -> Iterator[None]:
    """Keep this thread, and what it starts meanwhile, on these cores."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
