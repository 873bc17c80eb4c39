"""What is known of makes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fleets.providers.makes import (
    GENERAL_MOTORS,
    Abilities,
    abilities,
    freshness,
    start_forgets_limit,
)


@pytest.mark.parametrize(
    ("make", "minutes"),
    [
        ("TESLA", 5),
        ("tesla", 5),
        ("CHEVROLET", 45),
        ("TOYOTA", 60),
        # not listed by itself
        ("FORD", 10),
        ("", 10),
    ],
)
def test_data_may_be_as_old_as_the_maker_lets_it(make: str, minutes: int) -> None:
    assert freshness(make) == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("make", "region", "expected"),
    [
        ("TESLA", "US", Abilities(can_set_limit=True)),
        # takes a limit where its maker is known to let it
        ("HYUNDAI", "US", Abilities(can_set_limit=True)),
        ("Kia", "CA", Abilities(can_set_limit=True)),
        ("HYUNDAI", "EUROPE", Abilities()),
        # sold in the US it has no stop
        ("NISSAN", "US", Abilities(can_stop=False)),
        ("Nissan", "US", Abilities(can_stop=False)),
        ("NISSAN", "EU", Abilities()),
        # takes commands above 50 % alone
        *(
            (make, "US", Abilities(commands_from_soc_percent=50.0))
            for make in sorted(GENERAL_MOTORS)
        ),
        ("cadillac", "US", Abilities(commands_from_soc_percent=50.0)),
    ],
)
def test_a_make_takes_what_it_takes(
    make: str, region: str, expected: Abilities
) -> None:
    assert abilities(make, region=region) == expected


def test_a_car_takes_stop_and_start_unless_something_is_known() -> None:
    usual = Abilities()

    assert usual.can_stop
    assert usual.can_start
    assert usual.commands_from_soc_percent == 0


def test_a_car_takes_a_limit_only_where_that_is_known() -> None:
    assert not Abilities().can_set_limit


def test_a_start_of_a_ford_may_forget_its_limit() -> None:
    assert start_forgets_limit("Ford")
    assert not start_forgets_limit("TESLA")
