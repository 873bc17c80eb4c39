"""Redis as a queue that only wakes: messages are taken, never returned.

kombu keeps every message in Redis until it is acknowledged. When the broker dies in
just that moment, it keeps the message's place in the worker's prefetch for ever: a
worker that runs one task at a time then takes nothing any more, in silence, until
somebody restarts it. Our messages need no return - rows are the truth, and the next
tick wakes again - so they are only counted here, in memory.
"""

from __future__ import annotations

from typing import Any

import kombu
from celery.app import amqp
from kombu.transport import redis, virtual

# Between two tries of a worker or beat to reach the broker again (real seconds).
# kombu's own wait grows from 2 s to 30: a line that broke for a second cost seventeen
# in which nothing was decided or sent.
TRY_AGAIN_SECONDS = 1.0


class QoS(redis.QoS):  # type: ignore[misc]
    """Counts what a worker has in hand; nothing is written, so nothing can fail."""

    restore_at_shutdown = False

    def append(self, message: Any, delivery_tag: str) -> None:
        """Count a message as in hand."""
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Count a message as done."""
        virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Count a message as done, even if somebody else could have done it."""
        virtual.QoS.ack(self, delivery_tag)

    def restore_visible(self, *args: Any, **options: Any) -> None:
        """Leave messages of dead workers alone: there are none."""


class Channel(redis.Channel):  # type: ignore[misc]
    QoS = QoS


class Transport(redis.Transport):  # type: ignore[misc]
    Channel = Channel


class Connection(kombu.Connection):  # type: ignore[misc]
    """A connection that is tried again at a steady pace."""

    def ensure_connection(self, *args: Any, **options: Any) -> Connection:
        """Return it once the broker answers."""
        pace = {
            "interval_start": TRY_AGAIN_SECONDS,
            "interval_step": 0,
            "interval_max": TRY_AGAIN_SECONDS,
        }
        super().ensure_connection(*args, **{**pace, **options})
        return self


class Amqp(amqp.AMQP):  # type: ignore[misc]
    Connection = Connection
