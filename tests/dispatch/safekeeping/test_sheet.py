"""A sheet is read whole and unaltered, or not at all."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet

from dispatch.safekeeping import sheet
from dispatch.safekeeping.sheet import Give, Unreadable
from tests.dispatch.safekeeping.conftest import KEY, head, owed
from tests.factories import NOW

OTHER_KEY = Fernet.generate_key().decode()
CARS = [
    owed(1, latest_start_at=NOW + timedelta(hours=3), ramps=("program a", "all")),
    owed(2, give=Give.LIMIT, percent=80, our_percent=50, stop_answered_at=None),
    owed(3, given="accepted", given_at=NOW, owed_until=NOW, look_first=True),
]


def written(**more: object) -> bytes:
    return sheet.sealed(head(**more), iter(CARS), keys=[KEY])


def plain_head() -> dict[str, Any]:
    """Return a head as its line says it."""
    values: dict[str, Any] = json.loads(sheet._line(asdict(head())))
    return values


def forged(*lines: object) -> bytes:
    """Return a sheet of any lines, under the right key."""
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    return sheet.MARK + Fernet(KEY.encode()).encrypt(zlib.compress(text))


def test_it_says_what_was_written() -> None:
    data = written(ramps={"program a": 50.0})

    opened = sheet.opened(data, keys=[KEY])

    assert opened.owed == tuple(CARS)
    assert opened.head == head(ramps={"program a": 50.0})


def test_nothing_of_it_can_be_read_without_a_key() -> None:
    data = written()

    assert b"vehicle" not in data
    with pytest.raises(Unreadable, match="None of SAFEKEEPING_KEYS"):
        sheet.opened(data, keys=[OTHER_KEY])


def test_a_new_key_seals_while_the_old_one_still_opens() -> None:
    old = written()
    new = sheet.sealed(head(), CARS, keys=[OTHER_KEY, KEY])

    assert sheet.opened(old, keys=[OTHER_KEY, KEY]).owed == tuple(CARS)
    with pytest.raises(Unreadable):
        sheet.opened(new, keys=[KEY])


@pytest.mark.parametrize("place", [0, 30, 200, -1])
def test_one_altered_byte_spoils_it(place: int) -> None:
    data = bytearray(written())
    data[place] ^= 1

    with pytest.raises(Unreadable):
        sheet.opened(bytes(data), keys=[KEY])


def test_half_a_sheet_is_none() -> None:
    data = written()

    with pytest.raises(Unreadable):
        sheet.opened(data[: len(data) // 2], keys=[KEY])


def test_a_sheet_without_its_count_is_not_whole() -> None:
    values = plain_head()

    with pytest.raises(Unreadable, match="not whole"):
        sheet.opened(forged(values), keys=[KEY])
    with pytest.raises(Unreadable, match="not whole"):
        sheet.opened(forged(values, {"cars": 1}), keys=[KEY])


def test_what_a_newer_version_added_is_left_aside() -> None:
    values = plain_head()

    opened = sheet.opened(forged({**values, "moon": "full"}, {"cars": 0}), keys=[KEY])

    assert opened.head == head()


def test_a_format_that_would_be_misunderstood_is_refused() -> None:
    values = plain_head()

    with pytest.raises(Unreadable, match="newer version"):
        sheet.opened(forged({**values, "format": 2}, {"cars": 0}), keys=[KEY])


def test_a_clock_that_stood_still_goes_on_from_there() -> None:
    timeline = head(clock_speed=0.0).timeline

    assert timeline.at(NOW + timedelta(hours=1)) == NOW + timedelta(hours=1)
