"""Cars that are still to come count against the restore cap, by the forecast."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dispatch import snapshot
from dispatch.forecast import arrivals, issuing
from dispatch.models import Command, GridEvent, Hold
from dispatch.room import AHEAD_STEPS
from dispatch.snapshot.coming import coming_kw
from fleets.models import Enrolment, Program, RestoreStyle, Vehicle
from tests.dispatch.forecast.conftest import Keep, keep_samples
from tests.dispatch.forecast.test_issuing import NEXT
from tests.factories import NOW

__all__ = ["keep_samples"]  # a fixture

Make = Callable[..., object]
pytestmark = pytest.mark.django_db
NOTHING = np.zeros(AHEAD_STEPS)


@pytest.fixture
def foretold(program: Program, keep_samples: Keep) -> Program:
    """Return a capped program with a forecast of an evening of 210 kW or so."""
    keep_samples(until=NEXT)
    issuing.issue(now=NOW)
    program.restore_cap_kw = 500.0
    program.save()
    return program


def test_without_a_forecast_nobody_is_expected(program: Program) -> None:
    assert coming_kw(program, NOTHING, now=NOW).tolist() == NOTHING.tolist()


def test_each_quarter_hour_counts_for_three_steps(foretold: Program) -> None:
    ahead = arrivals.not_held(foretold, now=NOW)
    assert ahead is not None

    found = coming_kw(foretold, NOTHING, now=NOW)

    np.testing.assert_allclose(found[::3], ahead.median_kw[: AHEAD_STEPS // 3])
    np.testing.assert_allclose(found[0::3], found[2::3])
    assert found.max() > 100.0


def test_who_charges_already_is_not_expected_again(foretold: Program) -> None:
    everybody = np.full(AHEAD_STEPS, 1000.0)

    assert coming_kw(foretold, everybody, now=NOW).tolist() == NOTHING.tolist()


def test_a_restore_leaves_room_for_them(
    foretold: Program,
    ada: Vehicle,
    make_event: Callable[..., GridEvent],
    make_stop: Callable[..., Command],
) -> None:
    event = make_event(foretold, status="restoring")
    make_stop(event)
    Hold.objects.update(status="held")

    owing = snapshot.take(foretold, [event], now=NOW)
    Hold.objects.update(status="released", closed_at=NOW, close_reason="x")
    free = snapshot.take(foretold, [event], now=NOW)

    assert owing.program.ahead_kw.max() > 100.0
    assert free.program.ahead_kw.max() <= 7.0  # nobody waits: nobody is asked about


def test_who_would_wait_for_a_turn_needs_no_room(
    foretold: Program,
    ada: Vehicle,
    make_event: Callable[..., GridEvent],
    make_stop: Callable[..., Command],
    make_enrolment: Callable[..., object],
) -> None:
    """Half of the customers consented to be managed overnight."""
    make_enrolment(foretold)
    event = make_event(foretold, status="restoring")
    make_stop(event)
    Hold.objects.update(status="held")
    all_of = snapshot.take(foretold, [event], now=NOW).program.ahead_kw

    Enrolment.objects.filter(vehicle=ada).update(
        overnight_consented_at=NOW, overnight_consent_wording="2026-01"
    )
    foretold.restore_style = RestoreStyle.OVERNIGHT
    half = snapshot.take(foretold, [event], now=NOW).program.ahead_kw
    # One car draws 7 kW whoever consented.
    np.testing.assert_allclose(half.max() - 7.0, (all_of.max() - 7.0) / 2, rtol=0.05)

    event.cancelled_at = NOW
    called_off = snapshot.take(foretold, [event], now=NOW).program.ahead_kw
    np.testing.assert_allclose(called_off, all_of)


def test_while_an_event_without_a_cap_holds_nobody_is_asked_about(
    foretold: Program,
    ada: Vehicle,
    make_event: Callable[..., GridEvent],
    make_stop: Callable[..., Command],
) -> None:
    foretold.restore_cap_kw = None
    event = make_event(foretold, status="active")
    make_stop(event)
    Hold.objects.update(status="held")

    assert snapshot.take(foretold, [event], now=NOW).program.ahead_kw.max() <= 7.0
