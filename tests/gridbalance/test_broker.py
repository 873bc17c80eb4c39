"""The queue only wakes: a broker that dies costs messages, never a worker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from kombu import Connection, Message
from kombu.exceptions import OperationalError

from gridbalance import broker
from gridbalance.broker import Channel, QoS
from gridbalance.celery import app


@pytest.fixture
def qos() -> QoS:
    """Return the count of a worker that may have one message, without a broker."""
    return QoS(SimpleNamespace(do_restore=True), prefetch_count=1)


def test_it_counts_what_is_in_hand(qos: QoS) -> None:
    qos.append(Message(), "tag-1")

    assert not qos.can_consume()


def test_an_acknowledgement_needs_no_broker(qos: QoS) -> None:
    qos.append(Message(), "tag-1")
    qos.ack("tag-1")

    assert qos.can_consume()


def test_a_rejection_needs_no_broker(qos: QoS) -> None:
    qos.append(Message(), "tag-1")
    qos.reject("tag-1", requeue=True)

    assert qos.can_consume()


def test_a_broker_that_is_away_is_tried_again_at_a_steady_pace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broker, "TRY_AGAIN_SECONDS", 0.01)
    waits: list[float] = []

    with pytest.raises(OperationalError):
        app.connection_for_read(url="redis://127.0.0.1:9").ensure_connection(
            lambda error, wait: waits.append(wait), 3
        )

    assert waits == [0.01] * 3


def test_workers_and_wakes_use_it() -> None:
    connection: Connection = app.connection_for_write()

    assert connection.get_transport_cls().Channel is Channel
