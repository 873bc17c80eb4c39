"""What dispatch does when fleets says that something happened."""

from __future__ import annotations

from django.dispatch import receiver

from dispatch.tasks import tick
from fleets import clock, signals
from fleets.wake import wake


@receiver(signals.readings_recorded)
@receiver(signals.consent_ended)
def look_again(**_: object) -> None:
    """Readings and withdrawals may change what is to be done: take a turn."""
    wake(tick, clock.real_now().timestamp())
