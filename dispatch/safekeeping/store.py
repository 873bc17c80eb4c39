"""The second place as objects by name: a folder, or an S3-compatible store.

What is written is there whole or not at all, under its name. Every call ends within
`SAFEKEEPING_TIMEOUT_SECONDS`, whatever the network or a hung mount does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import obstore
from django.conf import settings
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, S3Store

T = TypeVar("T")


class StoreAway(Exception):
    """The second place does not answer, or refuses; the message says how."""


class Store:
    """Named objects below one address."""

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        """Look at nothing yet: an address that is away is found at the first call."""
        self.url = url
        self._timeout_seconds = timeout_seconds
        self._store: LocalStore | S3Store | None = None

    def put(self, name: str, data: bytes) -> None:
        """Write an object, over what was there under its name."""
        self._within(lambda store: obstore.put(store, name, data))

    def create(self, name: str, data: bytes) -> bool:
        """Write an object unless the name is taken; False means that it is."""
        try:
            self._within(lambda store: obstore.put(store, name, data, mode="create"))
        except FileExistsError:
            return False
        return True

    def get(self, name: str) -> bytes | None:
        """Return an object, or None where there is none."""
        try:
            return self._within(lambda store: bytes(obstore.get(store, name).bytes()))
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> list[str]:
        """Return the names of a folder's objects, in order, without the folder."""

        def listed(store: LocalStore | S3Store) -> list[str]:
            pages = obstore.list(store, prefix=folder)
            return [entry["path"] for page in pages for entry in page]

        found = self._within(listed)
        # A folder shows drafts that were never finished as `name#1`.
        return sorted(
            name.removeprefix(f"{folder}/") for name in found if "#" not in name
        )

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; one that is gone already is no matter."""
        for name in names:
            try:
                self._within(partial(obstore.delete, paths=name))
            except FileNotFoundError:
                continue

    def _within(self, call: Callable[[LocalStore | S3Store], T]) -> T:
        """Return what the call returns; raise StoreAway when that takes too long.

        A mount that hangs cannot be interrupted: its thread is left behind, and nobody
        waits for it, not even the end of the process.
        """
        answers: list[T] = []
        errors: list[BaseException] = []

        def ask() -> None:
            try:
                if self._store is None:
                    self._store = self._connected()
                answers.append(call(self._store))
            except BaseException as error:  # noqa: BLE001  (raised in the caller)
                errors.append(error)

        thread = threading.Thread(target=ask, daemon=True, name="second-place")
        thread.start()
        thread.join(self._timeout_seconds)
        if answers:
            return answers[0]
        if not errors:
            raise StoreAway(f"no answer in {self._timeout_seconds:g} s")
        if isinstance(errors[0], AlreadyExistsError):
            raise FileExistsError from errors[0]
        if isinstance(errors[0], FileNotFoundError):
            raise errors[0]
        if isinstance(errors[0], BaseError | OSError | ValueError):
            raise StoreAway(_in_short(errors[0])) from errors[0]
        raise errors[0]

    def _connected(self) -> LocalStore | S3Store:
        parts = urlsplit(self.url)
        if parts.scheme == "file":
            return LocalStore(Path(unquote(parts.path)), mkdir=True)
        if parts.scheme != "s3":
            raise StoreAway("SAFEKEEPING_URL must begin with file:// or s3://")
        wait = timedelta(seconds=self._timeout_seconds)
        endpoint = settings.SAFEKEEPING_ENDPOINT
        given = {
            "endpoint": endpoint,
            "access_key_id": settings.SAFEKEEPING_ACCESS_KEY_ID,
            "secret_access_key": settings.SAFEKEEPING_SECRET_ACCESS_KEY,
        }
        # What is not given comes from the machine: its role, or AWS_... variables.
        return S3Store(
            parts.netloc,
            prefix=parts.path.strip("/") or None,
            region=settings.SAFEKEEPING_REGION,
            config={name: value for name, value in given.items() if value},  # type: ignore[arg-type]
            client_options={
                "timeout": wait,
                "connect_timeout": wait,
                "allow_http": endpoint.startswith("http://"),
            },
            retry_config={"max_retries": 2, "retry_timeout": wait},
        )


def configured() -> Store | None:
    """Return the store that the settings name, or None without one."""
    if not settings.SAFEKEEPING_URL:
        return None
    return Store(
        settings.SAFEKEEPING_URL, timeout_seconds=settings.SAFEKEEPING_TIMEOUT_SECONDS
    )


def _in_short(error: BaseException) -> str:
    """Return an error's first line: the rest may show the request."""
    first = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {first}"[:150]
