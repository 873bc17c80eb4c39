"""A sender of signed webhooks that keeps Smartcar's manners.

It waits 15 s for an answer, tries again after 25, 50 and 100 s, and then drops the
message for good. Messages are built by the simulator, byte for byte as it sends them.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

import uvloop
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError

from fleets.simulator import wire
from fleets.simulator.cars import Car, draw_cars, draw_id
from fleets.simulator.webhooks import (
    RETRY_AFTER_SECONDS,
    TIMEOUT_SECONDS,
    Delivery,
    Webhooks,
)

# Connections that the provider holds open to us at most.
IN_FLIGHT = 1000
TRIGGERS = ["charge-ischarging"]


class Signed(NamedTuple):
    """A message as it goes over the wire."""

    body: bytes
    signature: str


@dataclass
class Delivered:
    """What came of a run; times are real seconds, counted from when each was due."""

    began: float
    waits: list[float] = field(default_factory=list)
    ended: float = 0.0  # when the last one was taken
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    def quantile_ms(self, share: float) -> float:
        """Return how long that share of the messages waited at most."""
        waits = sorted(self.waits)
        return 1000 * waits[min(len(waits) - 1, int(share * len(waits)))]


def draw_fleet(count: int, *, seed: int = 1) -> list[Car]:
    """Return cars that are plugged in at home and charge."""
    cars = list(draw_cars(Random(seed), count=count, at=0.0))  # noqa: S311
    for car in cars:
        car.is_plugged_in = car.is_home = True
        car.battery = replace(car.battery, is_charging=True)
    return cars


def draw_messages(
    cars: Iterable[Car], *, at: datetime, is_charging: bool, token: str, seed: int
) -> Iterator[Signed]:
    """Yield what the simulator would deliver for each car's report at that time."""
    hooks = Webhooks(draw=Random(seed), management_token=token)  # noqa: S311
    moment = at.timestamp()
    for car in cars:
        told = car.told_at(moment)._replace(
            is_charging=is_charging, power_kw=car.power_kw if is_charging else 0.0
        )
        meta = wire.stamps(told, retrieved_at=moment)
        signals = [{**signal, "meta": meta} for signal in wire.signals(car, told)]
        event = wire.webhook_event(
            car, signals, event=draw_id(hooks.draw), triggers=TRIGGERS
        )
        body = hooks.body(Delivery(event), moment)
        yield Signed(body, hooks.sign(body))


def deliver(
    url: str,
    messages: Sequence[Signed],
    *,
    per_second: float = float("inf"),
    in_flight: int = IN_FLIGHT,
    retry_after: Sequence[float] = RETRY_AFTER_SECONDS,
) -> Delivered:
    """Deliver messages that fall due at an even rate, whatever became of those before.

    A message that no connection is free for waits, and the wait counts.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_deliver(url, messages, per_second, in_flight, retry_after))


async def _deliver(
    url: str,
    messages: Sequence[Signed],
    per_second: float,
    in_flight: int,
    retry_after: Sequence[float],
) -> Delivered:
    timeout = timedelta(seconds=TIMEOUT_SECONDS)
    builder = ClientBuilder().no_proxy().timeout(timeout)
    async with builder.pool_max_idle_per_host(in_flight).build() as client:
        run = Delivered(began=time.perf_counter())
        again: set[asyncio.Task[None]] = set()
        fresh = iter(enumerate(messages))

        async def settle(message: Signed, due: float, was_taken: bool) -> None:
            for wait in (*retry_after, None):
                if was_taken:
                    run.counts["taken"] += 1
                    run.ended = time.perf_counter()
                    run.waits.append(run.ended - due)
                    return
                if wait is None:
                    break
                run.counts["retried"] += 1
                await asyncio.sleep(wait)
                was_taken = await _post(client, url, message)
            run.counts["dropped"] += 1

        async def lane() -> None:
            for number, message in fresh:
                due = run.began + number / per_second
                if (early := due - time.perf_counter()) > 0:
                    await asyncio.sleep(early)
                was_taken = await _post(client, url, message)
                if was_taken:
                    await settle(message, due, was_taken)
                else:  # the next try must not hold this connection
                    again.add(asyncio.create_task(settle(message, due, was_taken)))

        await asyncio.gather(*(lane() for _ in range(in_flight)))
        await asyncio.gather(*again)
    return run


async def _post(client: Client, url: str, message: Signed) -> bool:
    """Deliver a message; return whether it was taken."""
    request = client.post(url).header("content-type", "application/json")
    try:
        response = await (
            request.header("sc-signature", message.signature)
            .body_bytes(message.body)
            .build()
            .send()
        )
    except PyreqwestError:
        return False
    return response.status == 200
