"""Who sends, and when a sender counts as dead."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Event

import pytest
from django.db import connection, transaction

from dispatch import fanout
from dispatch.models import Sender
from tests.factories import NOW

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
PATIENCE_SECONDS = 20


@pytest.mark.django_db(transaction=True)
def test_a_sender_that_comes_back_while_the_dead_are_buried_lives() -> None:
    sender = fanout._enlist()
    Sender.objects.update(heartbeat_at=LONG_AGO)
    is_back, is_buried = Event(), Event()

    def come_back() -> None:
        try:
            with transaction.atomic():
                fanout._enlist()
                is_back.set()
                is_buried.wait(PATIENCE_SECONDS)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(come_back)
        assert is_back.wait(PATIENCE_SECONDS)
        with connection.cursor() as cursor:
            cursor.execute("set lock_timeout = '5s'")
        fanout.bury_dead_senders(now=NOW)
        is_buried.set()
        coming.result()

    assert Sender.objects.get() == sender
