"""What is known of makes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fleets.providers.makes import GENERAL_MOTORS, Abilities, abilities, freshness


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
        ("TESLA", "US", Abilities()),
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


def test_a_car_takes_everything_unless_something_is_known() -> None:
    every = Abilities()

    assert every.can_stop
    assert every.can_start
    assert every.can_set_limit
    assert every.commands_from_soc_percent == 0
