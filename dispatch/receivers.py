"""What dispatch does when fleets says that something happened."""

from __future__ import annotations

from django.dispatch import receiver

from dispatch import policies
from dispatch.tasks import tick
from fleets import clock, signals
from fleets.models import Program
from fleets.wake import wake


@receiver(signals.readings_recorded)
@receiver(signals.consent_ended)
def look_again(**_: object) -> None:
    """Readings and withdrawals may change what is to be done: take a turn."""
    wake(tick, clock.real_now().timestamp())


@receiver(signals.program_made)
def lay_down_policies(program: Program, **_: object) -> None:
    """Let a new program keep the usual promises until somebody states its own."""
    policies.lay_down(program)
