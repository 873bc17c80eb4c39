"""What dispatch does when fleets says that something happened."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.dispatch import receiver

from dispatch import audit, policies
from dispatch.tasks import tick
from fleets import clock, signals
from fleets.models import Enrolment, Program
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


@receiver(signals.overnight_consent_changed)
def keep_overnight_consent(
    enrolment: Enrolment,
    was_wording: str,
    was_consented_at: datetime | None,
    source: str,
    actor: str,
    now: datetime,
    **_: object,
) -> None:
    """Keep in the trail what is and was agreed to: it moves when a car is due back."""
    wording = enrolment.overnight_consent_wording
    audit.write(
        "consent overnight" if wording else "withdraw overnight",
        subject=f"enrolment {enrolment.pk}",
        actor=actor,
        now=now,
        wording=wording,
        was_wording=was_wording,
        was_consented_at=was_consented_at and was_consented_at.isoformat(),
        source=source,
    )
    transaction.on_commit(look_again, robust=True)
