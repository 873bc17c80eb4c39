"""What workers do for `fleets`."""

from __future__ import annotations

import pytest
from celery import Task

from fleets import tasks, telemetry
from fleets.models import WebhookDelivery
from tests.factories import NOW

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("messages", "left", "wakes"),
    [
        # less than a batch: nobody needs to come again
        (1, 0, 0),
        # as many as are taken at once: there may be more
        (4, 0, 1),
        # a storm: the rest waits until others had their turn
        (7, 3, 1),
    ],
)
def test_it_leaves_the_rest_of_a_storm_to_the_next_call(
    monkeypatch: pytest.MonkeyPatch, messages: int, left: int, wakes: int
) -> None:
    woken: list[Task] = []
    monkeypatch.setattr(tasks, "wake", woken.append)
    monkeypatch.setattr(tasks, "MOST_BATCHES", 2)
    monkeypatch.setattr(telemetry, "BATCH", 2)
    for number in range(messages):
        WebhookDelivery.objects.create(
            event_id=f"e-{number}", body=b"{}", received_at=NOW
        )

    tasks.take_in()

    assert WebhookDelivery.objects.filter(processed_at=None).count() == left
    assert woken == [tasks.take_in] * wakes
