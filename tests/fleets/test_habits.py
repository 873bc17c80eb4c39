"""How long a car usually stays: a low quantile of its stays, leaning on others'."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import isnan, nan
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleets import habits
from fleets.habits import BLOCKS, DAYS, SLOTS, next_departure, usual_departures

SHAPE = (DAYS, BLOCKS, SLOTS)
SEVEN = 7 * 4  # slots of a quarter of an hour
MONDAY, TUESDAY = 0, 1
EVENING = 6  # from 18:00
NEXT_MORNING = 96 + SEVEN

# Of stays in the evening: their weekday, and the slot in which they ended.
Stays = list[tuple[int, int]]
slots = st.integers(0, SLOTS - 1)
stays = st.lists(st.tuples(st.integers(0, DAYS - 1), slots), max_size=40)
quantiles = st.floats(0.01, 0.5)


def counted(some: Sequence[tuple[int, int]]) -> Any:
    counts = np.zeros(SHAPE)
    for day, slot in some:
        counts[day, EVENING, slot] += 1
    return counts


def usual(
    some: Stays, *, program: Sequence[tuple[int, int]] = (), q: float = 0.1
) -> list[int]:
    """Return the slots of a week's evenings."""
    learnt = usual_departures(
        np.array([counted(some)]), counted(program), ready_by_slot=SEVEN, quantile=q
    )
    evenings: list[int] = learnt[0, :, EVENING].tolist()
    return evenings


@pytest.mark.parametrize(
    ("some", "monday"),
    [
        # nothing known: the program's, of the next morning
        ([], NEXT_MORNING),
        # one night until ten says little: the program's ready-by stays
        ([(MONDAY, 136)], NEXT_MORNING),
        # eight of them say it
        ([(MONDAY, 136)] * 8, 136),
        # of eight the earliest counts, for a tenth of them is less than one
        ([(MONDAY, 136)] * 7 + [(MONDAY, 80)], 80),
        # of ten and the others it is not, quite
        ([(MONDAY, 136)] * 20 + [(MONDAY, 80)], 136),
        # earlier than the program says: one is warning enough, on whatever day
        ([(MONDAY, 80)], 80),
        ([(TUESDAY, 80)], 80),
        # training on Tuesdays counts, altogether, for one Monday
        ([(MONDAY, 136)] * 7 + [(TUESDAY, 80)] * 7, 80),
        ([(MONDAY, 136)] * 8 + [(TUESDAY, 80)] * 8, NEXT_MORNING),
    ],
)
def test_few_stays_lean_on_the_others(some: Stays, monday: int) -> None:
    assert usual(some)[MONDAY] == monday


def test_the_programs_cars_outweigh_its_ready_by_with_time() -> None:
    few = usual([(MONDAY, 136)], program=[(MONDAY, 80)])
    many = usual([(MONDAY, 136)], program=[(MONDAY, 80)] * 500)

    assert few[MONDAY] == NEXT_MORNING
    assert many[MONDAY] == 80


def test_each_block_begins_with_the_programs_next_ready_by() -> None:
    learnt = usual_departures(
        np.zeros((1, *SHAPE)), np.zeros(SHAPE), ready_by_slot=SEVEN, quantile=0.1
    )

    assert learnt[0, MONDAY].tolist() == [SEVEN] * 3 + [NEXT_MORNING] * 5


def mixture(some: Stays, program: Stays, day: int) -> Any:
    """Return the share that has left by each slot, as the prose has it."""
    own = counted(some)[:, EVENING]
    of_program = counted(program)[day, EVENING]
    of_program[NEXT_MORNING] += habits.WEIGHT_OF_DEFAULT
    weights = own[day] + of_program / of_program.sum() * habits.WEIGHT_OF_PROGRAM
    if some:
        weights = weights + own.sum(axis=0) / len(some) * habits.WEIGHT_OF_CAR
    return np.cumsum(weights) / weights.sum()


@given(some=stays, program=stays, q=quantiles)
def test_no_more_than_the_quantile_leave_before_it(
    some: Stays, program: Stays, q: float
) -> None:
    for day, slot in enumerate(usual(some, program=program, q=q)):
        left = mixture(some, program, day)

        assert left[slot] >= q - 1e-6
        assert slot == 0 or left[slot - 1] < q + 1e-6


@given(some=stays, program=stays, q=quantiles)
def test_it_is_a_time_at_which_somebody_left(
    some: Stays, program: Stays, q: float
) -> None:
    seen = {slot for _, slot in [*some, *program]} | {NEXT_MORNING}

    assert set(usual(some, program=program, q=q)) <= seen


@given(some=stays, q=quantiles, more=st.floats(0.0, 0.4))
def test_a_higher_quantile_is_never_earlier(some: Stays, q: float, more: float) -> None:
    early, late = usual(some, q=q), usual(some, q=min(q + more, 0.5))

    assert all(one <= other for one, other in zip(early, late, strict=True))


@given(some=stays, q=quantiles, order=st.randoms())
def test_the_order_of_stays_does_not_matter(some: Stays, q: float, order: Any) -> None:
    assert usual(some, q=q) == usual(order.sample(some, len(some)), q=q)


@given(some=stays, day=st.integers(0, DAYS - 1), q=quantiles)
def test_one_more_early_departure_makes_that_day_no_later(
    some: Stays, day: int, q: float
) -> None:
    assert usual([*some, (day, 0)], q=q)[day] <= usual(some, q=q)[day]


@given(fleet=st.lists(stays, min_size=1, max_size=4))
def test_cars_are_learnt_together_as_one_by_one(fleet: list[Stays]) -> None:
    together = usual_departures(
        np.array([counted(some) for some in fleet]),
        np.zeros(SHAPE),
        ready_by_slot=SEVEN,
        quantile=0.1,
    )

    assert together[:, :, EVENING].tolist() == [usual(some) for some in fleet]


# --- Which moment that is --

OSLO = ZoneInfo("Europe/Oslo")
HOUR = 3600.0


def leaves(now: datetime, more: dict[str, float], zone: ZoneInfo = OSLO) -> datetime:
    """Return when one car leaves next; the program says at seven."""
    said = {"said_today": nan, "said_tomorrow": nan}
    learnt = {"slot": nan, "later_slot": nan, "plugged_in_at": 0.0}
    arrays = {
        name: np.array([more.get(name, value)])
        for name, value in (said | learnt).items()
    }
    (moment,) = next_departure(
        arrays.pop("said_today"), arrays.pop("said_tomorrow"),
        usual_seconds=7 * HOUR, zone=zone, now=now, **arrays,
    )  # fmt: skip
    return datetime.fromtimestamp(moment, zone)


@pytest.mark.parametrize(
    ("now", "slot", "expected"),
    [
        # this evening, or the next morning by the same midnight
        ("2026-01-12T18:30+01:00", 80, "2026-01-12T20:00+01:00"),
        ("2026-01-12T18:30+01:00", 96 + 26, "2026-01-13T06:30+01:00"),
        # an hour less, and an hour more, in the night between
        ("2026-03-28T18:30+01:00", 96 + 26, "2026-03-29T06:30+02:00"),
        ("2026-10-24T18:30+02:00", 96 + 26, "2026-10-25T06:30+01:00"),
        # a time that the clock leaves out is the same instant an hour on
        ("2026-03-28T18:30+01:00", 96 + 10, "2026-03-29T03:30+02:00"),
    ],
)
def test_what_was_learnt_goes_by_the_clock_on_the_wall(
    now: str, slot: int, expected: str
) -> None:
    found = leaves(datetime.fromisoformat(now), {"slot": slot})

    assert found == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        # nothing said, nothing learnt: the program's
        ({}, "2026-01-13T07:00"),
        # said for a day on which it was learnt otherwise
        ({"slot": 96 + 20, "said_tomorrow": 9 * HOUR}, "2026-01-13T09:00"),
        ({"slot": 76, "said_today": 22 * HOUR}, "2026-01-12T22:00"),
        # each for its own day: the first of both
        ({"slot": 96 + 20, "said_today": 22 * HOUR}, "2026-01-12T22:00"),
        ({"slot": 80, "said_tomorrow": 6 * HOUR}, "2026-01-12T20:00"),
        # said, and over: what was learnt for tomorrow
        ({"slot": 96 + 20, "said_today": 6 * HOUR}, "2026-01-13T05:00"),
        # said, over, and learnt for the same day: the program's of tomorrow
        ({"slot": 80, "said_today": 6 * HOUR}, "2026-01-13T07:00"),
    ],
)
def test_said_goes_before_learnt_and_learnt_before_the_programs(
    more: dict[str, float], expected: str
) -> None:
    now = datetime(2026, 1, 12, 18, 30, tzinfo=OSLO)

    assert leaves(now, more) == datetime.fromisoformat(expected).replace(tzinfo=OSLO)


@given(
    now=st.datetimes(datetime(2025, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001
    slot=st.none() | slots,
    later=st.none() | slots,
    today=st.none() | st.floats(0, 86_399),
    tomorrow=st.none() | st.floats(0, 86_399),
    zone=st.sampled_from([OSLO, ZoneInfo("America/Los_Angeles")]),
)
def test_a_departure_is_always_known_and_never_far(
    now: datetime,
    slot: int | None,
    later: int | None,
    today: float | None,
    tomorrow: float | None,
    zone: ZoneInfo,
) -> None:
    moment = now.replace(tzinfo=UTC)
    given = {
        "slot": slot, "later_slot": later, "said_today": today,
        "said_tomorrow": tomorrow,
    }  # fmt: skip

    known = {name: at for name, at in given.items() if at is not None}
    found = leaves(moment, known, zone)

    assert not isnan(found.timestamp())
    assert found <= moment + timedelta(hours=24 + 49)


@pytest.mark.parametrize(
    ("at", "blocks"),
    [
        (datetime(2026, 1, 12, 0, 0), (0, 1)),  # noqa: DTZ001
        (datetime(2026, 1, 12, 20, 59), (6, 7)),  # noqa: DTZ001
        # after Sunday night comes Monday
        (datetime(2026, 1, 18, 23, 0), (55, 0)),  # noqa: DTZ001
    ],
)
def test_a_week_has_its_blocks(at: datetime, blocks: tuple[int, int]) -> None:
    assert habits.blocks_at(at) == blocks


# --- When it usually comes --

NOON = 12 * 4


def share(arrivals: list[int], *, looked: int, since: int, others: Any = ()) -> float:
    """Return the share of a car's arrivals since a look; `others` are other cars'."""
    own = np.zeros((1 + len(others), habits.SLOTS_A_DAY))
    for car, some in enumerate([arrivals, *others]):
        for slot in some:
            own[car, slot] += 1
    shares = habits.arrival_shares(
        own,
        looked_slot=np.full(len(own), looked),
        slots_since=np.full(len(own), since),
    )
    return float(shares[0])


@pytest.mark.parametrize(
    ("arrivals", "looked", "since", "low", "high"),
    [
        # nothing known: all hours alike, so two of a day are a twelfth
        ([], NOON, 8, 0.07, 0.11),
        # it comes at five, and it is half past four, or half past five
        ([68] * 30, NOON, 18, 0.0, 0.02),
        ([68] * 30, NOON, 22, 0.9, 1.0),
        # around midnight
        ([2] * 30, 92, 8, 0.9, 1.0),
        # a whole day holds every arrival
        ([68, 20, 5], NOON, 96, 1.0, 1.0),
    ],
)
def test_an_arrival_is_expected_when_it_usually_was(
    arrivals: list[int], looked: int, since: int, low: float, high: float
) -> None:
    assert low <= share(arrivals, looked=looked, since=since) <= high + 1e-9


def test_a_car_of_which_little_is_known_leans_on_others() -> None:
    alone = share([], looked=NOON, since=22)
    among = share([], looked=NOON, since=22, others=[[68] * 30] * 20)

    assert alone < 0.3 < 0.8 < among


@given(
    arrivals=st.lists(st.integers(0, habits.SLOTS_A_DAY - 1), max_size=30),
    looked=st.integers(0, habits.SLOTS_A_DAY - 1),
    since=st.integers(0, 200),
    more=st.integers(0, 50),
)
def test_waiting_longer_makes_it_never_less_likely(
    arrivals: list[int], looked: int, since: int, more: int
) -> None:
    sooner = share(arrivals, looked=looked, since=since)

    assert (
        0.0 < sooner <= share(arrivals, looked=looked, since=since + more) <= 1.0 + 1e-9
    )
