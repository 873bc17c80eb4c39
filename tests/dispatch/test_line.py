"""The line: every call that was sent ends in one outcome, and is collected once."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest

from dispatch import line
from dispatch.jobs import Job
from dispatch.lifecycle import CommandKind
from fleets.providers.base import Receipt, VehicleKey
from tests.factories import NOW

CALLS = 5000
BATCH = 100


class Obliging:
    """A provider that takes every call at once."""

    async def stop_charging(self, key: VehicleKey) -> Receipt:
        return Receipt(key.vehicle_id)


@pytest.fixture
def of_obliging(monkeypatch: pytest.MonkeyPatch) -> Iterator[line.Line]:
    monkeypatch.setattr(line, "GATHER_SECONDS", 0.0)
    opened = line.Line(Obliging())  # type: ignore[arg-type]
    yield opened
    opened.close()


def job(number: int) -> Job:
    return Job(
        command_id=number,
        vehicle_id=number,
        hold_id=number,
        key=VehicleKey(str(number), "user"),
        make="TESLA",
        kind=CommandKind.STOP,
        percent=None,
        is_restore=False,
        is_read=False,
        attempt=1,
        may_have_landed=False,
        claimed_at=NOW,
        scopes=frozenset(),
        power_kw=7.0,
    )


def test_nothing_gets_lost_between_the_two_threads(of_obliging: line.Line) -> None:
    """They change places as often as the interpreter can let them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    collected: list[int] = []
    try:
        for first in range(0, CALLS, BATCH):
            jobs = [job(number) for number in range(first, first + BATCH)]
            of_obliging.send(jobs, claimed_at=time.monotonic())
            for outcome in of_obliging.collect(timeout=1.0):
                collected.append(outcome.job.command_id)
        ends_at = time.monotonic() + 10
        while of_obliging.in_flight and time.monotonic() < ends_at:
            for outcome in of_obliging.collect(timeout=0.1):
                collected.append(outcome.job.command_id)
    finally:
        sys.setswitchinterval(before)

    assert sorted(collected) == list(range(CALLS))
    assert of_obliging.in_flight == 0


def test_what_was_claimed_too_long_ago_does_not_leave(of_obliging: line.Line) -> None:
    long_ago = time.monotonic() - line.SEND_WITHIN_SECONDS - 0.1

    of_obliging.send([job(1)], claimed_at=long_ago)

    (outcome,) = of_obliging.collect(timeout=1.0)
    assert outcome.result is None
