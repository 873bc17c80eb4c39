"""What workers do for `fleets`; every task may run at any time without harm."""

from __future__ import annotations

from celery import shared_task

from fleets import clock, telemetry


@shared_task
def take_in() -> None:
    """Empty the webhook inbox."""
    while telemetry.take_in(clock.now()) == telemetry.BATCH:
        pass


@shared_task
def prune() -> None:
    """Delete messages whose time has passed."""
    telemetry.prune(clock.now())
