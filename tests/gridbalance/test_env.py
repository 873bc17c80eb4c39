"""What stands in the environment, and what is refused."""

from __future__ import annotations

import stat
from multiprocessing import get_context
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from gridbalance import env

NAME = "GRIDBALANCE_TRIED"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.delenv(f"{NAME}_FILE", raising=False)


def test_a_text_is_what_stands_there_or_its_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert env.text(NAME) == ""
    assert env.text(NAME, "default") == "default"

    monkeypatch.setenv(NAME, "here")
    assert env.text(NAME, "default") == "here"


def test_a_secret_may_stand_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("pässword\n", encoding="utf-8")
    monkeypatch.setenv(NAME, "overruled")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "secret"))

    assert env.text(NAME) == "pässword"


@pytest.mark.parametrize(
    ("value", "number"), [("", 7.0), ("5", 5.0), ("0", 0.0), ("2.5", 2.5), (" 3 ", 3.0)]
)
def test_a_number_is_read(
    monkeypatch: pytest.MonkeyPatch, value: str, number: float
) -> None:
    monkeypatch.setenv(NAME, value)

    assert env.number(NAME, 7) == number


def test_what_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "five")

    with pytest.raises(ImproperlyConfigured, match=f"{NAME}.*'five'"):
        env.number(NAME, 7)


@pytest.mark.parametrize(
    ("value", "default", "expected"),
    [
        (None, True, True),
        (None, False, False),
        *((word, False, True) for word in ("1", "true", "YES", "On")),
        *((word, True, False) for word in ("0", "False", "no", "OFF", "")),
    ],
)
def test_a_switch_is_read(
    monkeypatch: pytest.MonkeyPatch, value: str | None, default: bool, expected: bool
) -> None:
    if value is not None:
        monkeypatch.setenv(NAME, value)

    assert env.switch(NAME, default) is expected


def test_what_is_neither_yes_nor_no_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "perhaps")

    with pytest.raises(ImproperlyConfigured, match=f"{NAME}.*'perhaps'"):
        env.switch(NAME, False)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgresql://ada:secret@db.example:5433/grid",
            ("ada", "secret", "db.example", 5433, "grid", {}),
        ),
        # what a password may hold, and the usual port
        (
            "postgres://ada:a%40b%2Fc@db.example/grid",
            ("ada", "a@b/c", "db.example", 5432, "grid", {}),
        ),
        # the operating system knows the rest
        ("postgresql:///grid", ("", "", "", 5432, "grid", {})),
        ("postgresql://[::1]/grid", ("", "", "::1", 5432, "grid", {})),
        # nobody who asks for encryption may silently go without
        (
            "postgresql://db.example/grid?sslmode=verify-full&sslrootcert=/a%20b",
            (
                "", "", "db.example", 5432, "grid",
                {"sslmode": "verify-full", "sslrootcert": "/a b"},
            ),
        ),
    ],
)  # fmt: skip
def test_a_database_is_known_by_its_address(
    url: str, expected: tuple[object, ...]
) -> None:
    parts = env.database(url)

    names = ("USER", "PASSWORD", "HOST", "PORT", "NAME", "OPTIONS")
    assert tuple(parts[name] for name in names) == expected
    assert parts["ENGINE"] == "django.db.backends.postgresql"


@pytest.mark.parametrize("url", ["sqlite:///grid", "mysql://db/grid", "grid", ""])
def test_another_database_is_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="postgresql://"):
        env.database(url)


def test_a_kept_secret_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret_key"

    secret = env.kept_secret(path)

    assert len(secret) > 50
    assert env.kept_secret(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path], "no draft stays"


def test_two_places_have_two_secrets(tmp_path: Path) -> None:
    assert env.kept_secret(tmp_path / "a") != env.kept_secret(tmp_path / "b")


def test_processes_that_make_it_at_once_agree(tmp_path: Path) -> None:
    with get_context("spawn").Pool(3) as pool:
        secrets = pool.map(env.kept_secret, [tmp_path / "secret_key"] * 6, chunksize=1)

    assert len(set(secrets)) == 1
