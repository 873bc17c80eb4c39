"""A worker that is asked to end leaves nothing half done."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from threading import Timer
from typing import Any

import pytest
from celery.signals import worker_shutting_down

from dispatch import draining, fanout
from dispatch.lifecycle import CommandStatus
from dispatch.models import Command
from fleets.providers.base import Receipt, VehicleKey
from tests.dispatch.conftest import House
from tests.dispatch.senders import make_due

__all__ = ["make_due"]

Make = Callable[..., Any]
CALL_SECONDS = 0.4


@pytest.fixture(autouse=True)
def go_on_afterwards() -> Iterator[None]:
    yield
    draining.forget()


@pytest.fixture
def slow(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """Return a house whose provider takes its time."""

    async def start(key: VehicleKey) -> Receipt:
        await asyncio.sleep(CALL_SECONDS)
        return Receipt("late")

    monkeypatch.setattr(house.provider, "start_charging", start)
    return house


def statuses() -> list[str]:
    return list(Command.objects.order_by("id").values_list("status", flat=True))


@pytest.mark.django_db
def test_it_claims_nothing_more_once_it_was_asked(
    house: House, make_due: Make, make_event: Make
) -> None:
    make_due(make_event(), is_restore=True)
    draining.begin()

    assert fanout.run(house.line) == 0

    assert statuses() == [CommandStatus.QUEUED]


@pytest.mark.django_db
def test_what_is_on_the_wire_is_waited_for(
    slow: House, make_due: Make, make_event: Make, settings: Any
) -> None:
    settings.FANOUT_IN_FLIGHT = 2
    event = make_event()
    for _ in range(5):
        make_due(event, is_restore=True)
    Timer(CALL_SECONDS / 2, draining.begin).start()

    fanout.run(slow.line)

    assert (
        sorted(statuses()) == [CommandStatus.ACCEPTED] * 2 + [CommandStatus.QUEUED] * 3
    )


@pytest.mark.django_db
def test_what_takes_too_long_is_let_go_as_unknown(
    slow: House, make_due: Make, make_event: Make, settings: Any
) -> None:
    settings.FANOUT_DRAIN_SECONDS = 0.0
    make_due(make_event(), is_restore=True)
    Timer(CALL_SECONDS / 4, draining.begin).start()

    fanout.run(slow.line)

    command = Command.objects.get()
    assert command.status == CommandStatus.UNKNOWN
    assert command.may_have_landed


def test_a_forked_child_hears_what_its_parent_was_told() -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        # Told after the fork, as a worker is.
        os.read(reading, 1)
        os._exit(0 if draining.is_underway() else 1)

    worker_shutting_down.send(sender="worker", sig="SIGTERM", how="Warm", exitcode=0)
    os.write(writing, b"x")

    assert os.waitpid(pid, 0)[1] == 0
