"""What workers do for `fleets`; every task may run at any time without harm."""

from __future__ import annotations

from celery import shared_task

from fleets import clock, telemetry
from fleets.wake import wake

# Some two seconds: in a storm, turns of the loop must get their turn.
MOST_BATCHES = 10


@shared_task
def take_in() -> None:
    """Empty the webhook inbox, or leave the rest to the next call."""
    for _ in range(MOST_BATCHES):
        if telemetry.take_in(clock.now()) < telemetry.BATCH:
            return
    wake(take_in)


@shared_task
def prune() -> None:
    """Delete messages whose time has passed."""
    telemetry.prune(clock.now())
