"""Redis as a queue that only wakes: messages are taken, never returned.

kombu keeps every message in Redis until it is acknowledged. When the broker dies in
just that moment, it keeps the message's place in the worker's prefetch for ever: a
worker that runs one task at a time then takes nothing any more, in silence, until
somebody restarts it. Our messages need no return - rows are the truth, and the next
tick wakes again - so they are only counted here, in memory.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis, virtual


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
