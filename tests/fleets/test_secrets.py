"""What a stolen database must not give away."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import InvalidToken
from django.contrib.auth.hashers import check_password, make_password

from fleets.secrets import seal, unseal

SECRET = "a token with ümläuts"


def test_a_sealed_secret_comes_back() -> None:
    assert unseal(seal(SECRET)) == SECRET


def test_what_the_database_gives_back_is_unsealed() -> None:
    assert unseal(memoryview(seal(SECRET))) == SECRET  # type: ignore[arg-type]


def test_a_sealed_secret_does_not_show() -> None:
    assert SECRET.encode() not in seal(SECRET)
    assert seal(SECRET) != seal(SECRET), "equal secrets must not look equal"


def test_another_key_does_not_open_it(settings: Any) -> None:
    sealed = seal(SECRET)
    settings.SECRET_KEY = "another"

    with pytest.raises(InvalidToken):
        unseal(sealed)


def test_a_changed_byte_is_noticed() -> None:
    sealed = bytearray(seal(SECRET))
    sealed[-5] ^= 1

    with pytest.raises(InvalidToken):
        unseal(bytes(sealed))


def test_a_machines_secret_is_hashed_once_and_not_kept() -> None:
    stored = make_password(SECRET, hasher="random_secret")

    assert stored.startswith("random_secret$1$")
    assert SECRET not in stored
    assert check_password(SECRET, stored)
    assert not check_password("another", stored)


def test_a_persons_password_is_stretched() -> None:
    assert make_password("a password").startswith("pbkdf2_sha256$1000000$")
