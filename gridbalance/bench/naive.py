"""The side that everybody writes first: one Celery task a car, one call each.

A task loads its car, makes one call as the provider's own SDK does (synchronously, on a
connection of its own), and saves what came of it. No bucket, no history, no read back.
"""

from __future__ import annotations

import time
from http.client import HTTPConnection
from urllib.parse import quote, urlsplit

from celery import shared_task
from django.conf import settings

from dispatch.lifecycle import CommandStatus
from dispatch.models import Command
from fleets import clock
from fleets.providers import smartcar

QUEUE = "naive"
TIMEOUT_SECONDS = 310.0
LONGEST_SECONDS = 300.0
LOOK_AGAIN_SECONDS = 0.02


@shared_task
def stop_one(command_id: int) -> None:
    """Stop one car."""
    command = Command.objects.select_related("vehicle__account").get(pk=command_id)
    vehicle = command.vehicle
    origin = urlsplit(settings.SMARTCAR_VEHICLE_ORIGIN).netloc
    connection = HTTPConnection(origin, timeout=TIMEOUT_SECONDS)
    connection.request(
        "POST",
        f"/v3/vehicles/{quote(vehicle.external_id)}/commands/charge/stop",
        headers={
            "Authorization": f"Bearer {smartcar.shared().fresh_token(clock.now())}",
            "sc-user-id": vehicle.account.external_id,
        },
    )
    response = connection.getresponse()
    response.read()
    connection.close()
    command.status = (
        CommandStatus.ACCEPTED if response.status == 200 else CommandStatus.FAILED
    )
    command.answered_at = clock.now()
    command.save(update_fields=["status", "answered_at"])


def run(command_ids: list[int]) -> float:
    """Queue a task for each command; return the seconds until the last was done."""
    began = time.perf_counter()
    for command_id in command_ids:
        stop_one.apply_async((command_id,), queue=QUEUE)
    mine = Command.objects.filter(pk__in=command_ids)
    while mine.filter(status=CommandStatus.QUEUED).exists():
        if time.perf_counter() - began > LONGEST_SECONDS:
            raise TimeoutError("the tasks do not come to an end")
        time.sleep(LOOK_AGAIN_SECONDS)
    seconds = time.perf_counter() - began
    accepted = mine.filter(status=CommandStatus.ACCEPTED).count()
    assert accepted == len(command_ids), f"{accepted} of {len(command_ids)} accepted"
    return seconds
