"""Senders that claim at the same moment, against one envelope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dispatch.lifecycle import CommandStatus, EventStatus
from dispatch.models import Command, Envelope
from fleets.models import Program
from tests.dispatch.senders import application, claim, make_due, make_sender
from tests.dispatch.together import at_once
from tests.factories import NOW

__all__ = ["application", "make_due"]  # fixtures

Make = Callable[..., Any]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("application")
@pytest.mark.parametrize("is_restore", [False, True])
def test_senders_at_the_same_moment_share_what_may_leave(
    program: Program,
    make_event: Make,
    make_due: Make,
    set_clock: Callable[..., None],
    is_restore: bool,
) -> None:
    set_clock(NOW)
    event = make_event(program, status=EventStatus.ACTIVE)
    Envelope.objects.create(
        program=program, max_kw=10_000, max_cars=10_000, max_kw_per_minute=21
    )
    for _ in range(12):
        make_due(event, is_restore=is_restore)
    senders = [make_sender() for _ in range(4)]

    found = at_once(*(lambda one=one: claim(one, room=2) for one in senders))

    assert sum(len(jobs) for jobs in found if isinstance(jobs, list)) == 3
    assert Command.objects.filter(status=CommandStatus.SENDING).count() == 3
