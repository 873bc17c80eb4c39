"""What workers do for `fleets`; every task may run at any time without harm."""

from __future__ import annotations

from celery import shared_task

from fleets import clock, departures, telemetry
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
    """Delete messages and departures whose time has passed."""
    telemetry.prune(clock.now())
    departures.prune(clock.now())


@shared_task
def learn() -> None:
    """Learn when cars leave, each once a day, or leave the rest to the next call."""
    if departures.learn(clock.now(), batches=MOST_BATCHES):
        wake(learn)
