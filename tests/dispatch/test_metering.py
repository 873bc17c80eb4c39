"""What one gauge lets through, and what a meter of several does."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.metering import ALL, Bounds, Gauge, Meter, Scope

PROGRAM = Scope(program_id=1)
FEEDER = Scope(feeder_id=2)


@pytest.mark.parametrize(
    ("bounds", "gauge", "admitted"),
    [
        # room in all three
        (Bounds(70, 10, 70), {}, True),
        # up to the bound, not beyond it
        (Bounds(70, 10, 70), {"outstanding_kw": 63.0}, True),
        (Bounds(70, 10, 70), {"outstanding_kw": 63.1}, False),
        (Bounds(70, 10, 70), {"outstanding_cars": 9}, True),
        (Bounds(70, 10, 70), {"outstanding_cars": 10}, False),
        (Bounds(70, 10, 20), {"lately": [(5, 13.0)], "lately_kw": 13.0}, True),
        (Bounds(70, 10, 20), {"lately": [(5, 13.1)], "lately_kw": 13.1}, False),
        # a car larger than the bound
        (Bounds(6, 10, 70), {}, False),
    ],
)
def test_a_gauge_admits_what_has_room_in_every_bound(
    bounds: Bounds, gauge: dict[str, object], admitted: bool
) -> None:
    assert Gauge(bounds, **gauge).admits(7.0) is admitted  # type: ignore[arg-type]


def test_a_second_counts_until_it_is_over() -> None:
    gauge = Gauge(Bounds(100, 100, 100))
    gauge.spend(7.0, second=10)
    gauge.spend(7.0, second=10)
    gauge.spend(3.0, second=12)

    gauge.forget(before=10.9, second=13)
    assert (gauge.lately, gauge.lately_kw) == ([(10, 14.0), (12, 3.0)], 17.0)
    gauge.forget(before=11.0, second=13)
    assert (gauge.lately, gauge.lately_kw) == ([(12, 3.0)], 3.0)
    assert (gauge.outstanding_kw, gauge.outstanding_cars) == (17.0, 3)


def test_a_clock_that_was_set_back_forgets_nothing() -> None:
    gauge = Gauge(Bounds(100, 100, 20))
    gauge.spend(15.0, second=100)

    gauge.spend(4.0, second=50)

    assert gauge.lately == [(100, 19.0)]
    assert not gauge.admits(2.0)


def test_what_a_wrong_clock_saw_blocks_nobody_until_then() -> None:
    gauge = Gauge(Bounds(100, 100, 20))
    gauge.spend(15.0, second=1_000_000)

    gauge.forget(before=-10.0, second=50)
    assert not gauge.admits(7.0), "it may have left just now"
    gauge.forget(before=51.0, second=111)
    assert gauge.admits(7.0)


def test_the_narrowest_scope_refuses_and_nothing_is_spent() -> None:
    meter = Meter(
        {
            ALL: Gauge(Bounds(100, 100, 100)),
            PROGRAM: Gauge(Bounds(50, 100, 100)),
            FEEDER: Gauge(Bounds(10, 100, 100)),
        },
        second=1,
        one_always_may=False,
    )

    assert meter.admit({ALL, PROGRAM, FEEDER}, 7.0) is None
    assert meter.admit({ALL, PROGRAM, FEEDER}, 7.0) == FEEDER
    assert meter.admit({ALL, PROGRAM}, 7.0) is None
    assert {s: g.outstanding_kw for s, g in meter.gauges.items()} == {
        ALL: 14.0, PROGRAM: 14.0, FEEDER: 7.0,
    }  # fmt: skip


@pytest.mark.parametrize("for_restore", [True, False])
def test_a_bound_below_one_car_keeps_no_car_for_ever(for_restore: bool) -> None:
    meter = Meter({ALL: Gauge(Bounds(5, 9, 5))}, second=1, one_always_may=for_restore)

    assert (meter.admit({ALL}, 7.0) is None) == for_restore
    assert meter.admit({ALL}, 7.0) == ALL, "but one at a time"


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 40), st.floats(0.1, 30.0)), min_size=1, max_size=60
    ),
    most=st.floats(30.0, 100.0),
)
def test_no_minute_ever_sees_more_than_its_bound(
    steps: list[tuple[int, float]], most: float
) -> None:
    gauge = Gauge(Bounds(1e9, 1e9, most))
    sent: list[tuple[int, float]] = []
    moments = accumulate(wait for wait, _ in steps)
    for now, (_, kw) in zip(moments, steps, strict=True):
        gauge.forget(before=now - 60.0, second=now)
        if gauge.admits(kw):
            gauge.spend(kw, second=now)
            sent.append((now, kw))

    assert sent
    assert all(a <= b for (a, _), (b, _) in pairwise(sent))
    for end, _ in sent:
        assert sum(kw for at, kw in sent if end - 60 < at <= end) <= most + 1e-6


@pytest.mark.parametrize(
    ("lately", "may"),
    [
        # its own kW are in the window, which is full with them
        ([(10, 14.0)], True),
        # they left it, and others fill it
        ([(50, 14.0)], False),
        # they left it, and there is room
        ([(50, 7.0)], True),
        # a part of its second was forgotten
        ([(10, 3.0), (50, 11.0)], False),
        ([(10, 3.0), (50, 7.0)], True),
    ],
)
def test_what_left_late_counts_when_it_leaves(
    lately: list[tuple[int, float]], may: bool
) -> None:
    gauge = Gauge(Bounds(100, 100, 14.0), 14.0, 2, lately, sum(kw for _, kw in lately))

    assert meter_of(gauge, second=60).move([ALL], 7.0, since=10) is may
    assert (gauge.outstanding_kw, gauge.outstanding_cars) == (14.0, 2)
    assert gauge.is_touched is may
    assert (gauge.lately[-1] == (60, 7.0)) is may


def test_what_left_late_waits_for_every_envelope() -> None:
    narrow = Gauge(Bounds(100, 100, 7.0), lately=[(50, 7.0)], lately_kw=7.0)
    wide = Gauge(Bounds(100, 100, 70.0))
    meter = Meter({ALL: wide, PROGRAM: narrow}, 60, one_always_may=False)

    assert not meter.move([ALL, PROGRAM], 7.0, since=10)
    assert wide.lately == []


@given(
    bound=st.floats(7.0, 50.0),
    looks=st.lists(
        st.tuples(st.floats(1.0, 7.0), st.integers(0, 30), st.integers(0, 200)),
        max_size=40,
    ),
)
def test_no_window_ever_sees_more_than_the_bound(
    bound: float, looks: list[tuple[float, int, int]]
) -> None:
    """Claims come one after the other, each with a look that takes its own time."""
    gauge = Gauge(Bounds(1e9, 1_000, bound))
    waiting: list[tuple[float, int, int]] = []  # kW, claimed, ready
    left: list[tuple[int, float]] = []
    to_come = list(looks)
    for second in range(2_000):
        gauge.forget(before=second - 60, second=second)
        meter = meter_of(gauge, second=second)
        for kw, claimed, ready in list(waiting):
            if ready <= second and meter.move([ALL], kw, since=claimed):
                waiting.remove((kw, claimed, ready))
                left.append((second, kw))
        if to_come and second % (1 + to_come[0][1]) == 0:
            kw, _, seconds = to_come[0]
            if meter.admit([ALL], kw) is None:
                waiting.append((kw, second, second + seconds))
                to_come.pop(0)

    for begin, _ in left:
        inside = sum(kw for at, kw in left if begin <= at < begin + 60)
        assert inside <= bound + 1e-3


def meter_of(gauge: Gauge, *, second: int) -> Meter:
    return Meter({ALL: gauge}, second, one_always_may=False)
