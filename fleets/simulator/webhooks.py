"""Webhooks on their way: verification, signature, retries, and their mishaps.

Waiting is in simulated time; the timeout of a delivery is a socket's and stays real.
What is on the wire when the process ends is delivered again: at least once.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from fleets.simulator import wire
from fleets.simulator.cars import Car, Report, draw_id

RETRY_AFTER_SECONDS = (25.0, 50.0, 100.0)  # then it is dropped for good
TIMEOUT_SECONDS = 15.0
LATER_SECONDS = (30.0, 300.0)  # how much a doubled or reordered report comes later


@dataclass(slots=True)
class Delivery:
    """One event and how often it was tried."""

    event: wire.Json
    attempt: int = 0


@dataclass(slots=True, kw_only=True)
class Webhooks:
    """The one webhook of the application."""

    draw: Random
    management_token: str
    url: str = ""
    id: str = ""
    is_verified: bool = False
    waiting: list[tuple[float, int, Delivery]] = field(default_factory=list)
    on_the_wire: dict[int, Delivery] = field(default_factory=dict)
    number: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def register(self, url: str) -> None:
        """Point the webhook somewhere; nothing is sent until that is verified."""
        self.url = url
        self.id = self.id or draw_id(self.draw)
        self.is_verified = False

    def challenge(self, at: float) -> tuple[bytes, str]:
        """Return a verification's body and the answer that proves the token."""
        challenge = f"{self.draw.getrandbits(128):032x}"
        body = {
            "eventId": draw_id(self.draw),
            "eventType": "VERIFY",
            "data": {"challenge": challenge},
            "meta": {
                "version": "4.0",
                "webhookId": self.id,
                "deliveryId": draw_id(self.draw),
                "deliveredAt": wire.iso(at),  # text here, a number elsewhere
            },
        }
        return wire.encode(body), self.sign(challenge.encode())

    def sign(self, body: bytes) -> str:
        """Return the signature over raw bytes."""
        key = self.management_token.encode()
        return hmac.new(key, body, hashlib.sha256).hexdigest()

    def send(
        self, car: Car, report: Report, triggers: list[str], *, faults: frozenset[str]
    ) -> None:
        """Queue a car's report for delivery."""
        if not self.url:
            return
        self.counts["reported"] += 1
        if "lost-webhooks" in faults:
            self.counts["lost"] += 1
            return
        as_text = "mixed-times" in faults
        meta = wire.stamps(report, retrieved_at=report.at, as_text=as_text)
        told = [{**signal, "meta": meta} for signal in wire.signals(car, report)]
        event = wire.webhook_event(
            car, told, event=draw_id(self.draw), triggers=triggers
        )
        due = report.at
        if "reordered-webhooks" in faults:
            self.counts["reordered"] += 1
            due += self.draw.uniform(*LATER_SECONDS)
        self._wait(due, Delivery(event))
        if "doubled-webhooks" in faults:
            self.counts["doubled"] += 1
            self._wait(due + self.draw.uniform(0, LATER_SECONDS[1]), Delivery(event))

    def take_due(self, at: float, *, most: int) -> list[tuple[int, Delivery]]:
        """Take what is due now; each must be `settled` afterwards."""
        taken: list[tuple[int, Delivery]] = []
        while self.waiting and self.waiting[0][0] <= at and len(taken) < most:
            _, number, delivery = heapq.heappop(self.waiting)
            self.on_the_wire[number] = delivery
            taken.append((number, delivery))
        return taken

    def body(self, delivery: Delivery, at: float) -> bytes:
        """Return the bytes of one try: the event's id stays, the delivery's changes."""
        meta = {
            "version": "4.0",
            "webhookId": self.id,
            "deliveryId": draw_id(self.draw),
            "deliveredAt": wire.stamp(at),
            "signalCount": len(delivery.event["data"]["signals"]),
            "mode": "LIVE",
        }
        return wire.encode({**delivery.event, "meta": meta})

    def settled(self, number: int, at: float, *, was_taken: bool) -> None:
        """Note what came of a try; a refused one is tried again, three times."""
        delivery = self.on_the_wire.pop(number)
        if was_taken:
            self.counts["delivered"] += 1
        elif delivery.attempt < len(RETRY_AFTER_SECONDS):
            self.counts["retried"] += 1
            due = at + RETRY_AFTER_SECONDS[delivery.attempt]
            delivery.attempt += 1
            self._wait(due, delivery)
        else:
            self.counts["dropped"] += 1

    def _wait(self, due: float, delivery: Delivery) -> None:
        self.number += 1
        heapq.heappush(self.waiting, (due, self.number, delivery))
