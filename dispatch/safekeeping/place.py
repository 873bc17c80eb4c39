"""What lies where in the second place, all of it sealed.

    INSTALLATION/sheets/MILLISECONDS       what is owed, newest last
    INSTALLATION/takeovers/N               somebody gives back without us; written once
    INSTALLATION/alive/N                   ... and showed then that it still runs
    INSTALLATION/journals/N/M              ... and did this, in pieces, in order
    INSTALLATION/recalls/N                 the main system is back and wants it to end
    INSTALLATION/learnt/N                  the main system knows all that N did

Takeovers are numbered and made only where there is none of that number, so two of them
never begin at once, and whoever goes on with a broken one takes the next number: a
higher number ends a lower one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from cryptography.fernet import InvalidToken
from django.conf import settings

from dispatch.safekeeping import sheet
from dispatch.safekeeping.sheet import Sheet, Unreadable
from dispatch.safekeeping.store import Store, configured

log = structlog.get_logger(__name__)

# Copies to try before the place counts as unreadable: a host that lost its power may
# leave the newest ones torn.
NEWEST_TRIED = 3

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Takeover:
    """Somebody who gives back in the main system's place."""

    number: int
    sheet: str  # its name in the second place, or of a file
    host: str
    pid: int
    at: datetime  # real


class Place:
    """The second place of one installation."""

    def __init__(self, store: Store, *, keys: Sequence[str], installation: str) -> None:
        """Raise ValueError when the keys are none."""
        self.store = store
        self._keys = list(keys)
        self._cipher = sheet.cipher(keys)
        self._root = installation

    # --- Sheets --

    def keep(self, data: bytes, *, written_real_at: datetime, most: int) -> str:
        """Write a sheet, drop all but the newest `most`, and return its name."""
        name = _name_of(written_real_at)
        self.store.put(self._path("sheets", name), data)
        old = self.store.names(self._path("sheets"))[:-most]
        self.store.delete(self._path("sheets", one) for one in old)
        return name

    def newest(self) -> tuple[str, Sheet] | None:
        """Return the newest sheet that is whole, or None without any; or Unreadable."""
        names = self.store.names(self._path("sheets"))[-NEWEST_TRIED:]
        failure: Unreadable | None = None
        for name in reversed(names):
            try:
                found = self.sheet(name)
            except Unreadable as error:
                log.warning("sheet_unreadable", sheet=name, error=str(error))
                failure = failure or error
                continue
            if found is not None:
                return name, found
        if failure is not None:
            raise failure
        return None

    def has_newer(self, than: datetime | None) -> bool:
        """Say whether a sheet was written after that moment (real); or any at all."""
        names = self.store.names(self._path("sheets"))[-1:]
        return any(than is None or name > _name_of(than) for name in names)

    def sheet(self, name: str) -> Sheet | None:
        """Return one sheet, or None when it is gone; raise Unreadable."""
        data = self.store.get(self._path("sheets", name))
        return None if data is None else sheet.opened(data, keys=self._keys)

    # --- Takeovers --

    def numbers(self) -> list[int]:
        """Return the takeovers of which the main system does not know everything."""
        known = self._numbers("learnt")
        last = max(known, default=0)
        return [number for number in self._numbers("takeovers") if number > last]

    def begin(
        self, *, name_of_sheet: str, host: str, pid: int, at: datetime
    ) -> Takeover | None:
        """Take over under the next number; None when somebody else was first."""
        number = max(self._numbers("takeovers"), default=0) + 1
        said = {"sheet": name_of_sheet, "host": host, "pid": pid, "at": at.isoformat()}
        if not self.store.create(self._numbered("takeovers", number), self._seal(said)):
            return None
        return Takeover(number, name_of_sheet, host, pid, at)

    def takeover(self, number: int) -> Takeover | None:
        """Return a takeover by its number."""
        said = self._read(self._numbered("takeovers", number))
        if said is None:
            return None
        at = datetime.fromisoformat(said["at"])
        return Takeover(number, said["sheet"], said["host"], said["pid"], at)

    def show_alive(self, number: int, *, at: datetime) -> None:
        """Show that this takeover still runs (real time)."""
        said = {"at": at.isoformat()}
        self.store.put(self._numbered("alive", number), self._seal(said))

    def alive_at(self, number: int) -> datetime | None:
        """Return when a takeover last showed that it runs (real time)."""
        said = self._read(self._numbered("alive", number))
        return None if said is None else datetime.fromisoformat(said["at"])

    def write_lines(self, number: int, *, piece: int, lines: Sequence[Line]) -> None:
        """Keep a piece of a takeover's journal."""
        path = self._path(f"journals/{number:06d}", f"{piece:08d}")
        self.store.put(path, self._seal(list(lines)))

    def lines(self, numbers: Iterable[int]) -> Iterator[Line]:
        """Yield what these takeovers wrote, in order."""
        for number in numbers:
            folder = self._path(f"journals/{number:06d}")
            for piece in self.store.names(folder):
                yield from self._read(f"{folder}/{piece}") or ()

    def recall(self, number: int, *, at: datetime) -> None:
        """Ask a takeover to end: the main system is back."""
        said = {"at": at.isoformat()}
        self.store.create(self._numbered("recalls", number), self._seal(said))

    def is_recalled(self, number: int) -> bool:
        """Say whether a takeover should end: recalled, or somebody took the next."""
        last = max(self._numbers("takeovers"), default=0)
        return last > number or number in self._numbers("recalls")

    def mark_learnt(self, number: int, *, at: datetime) -> None:
        """Note that the main system knows what every takeover up to this one did."""
        said = {"at": at.isoformat()}
        self.store.create(self._numbered("learnt", number), self._seal(said))

    # --- Names and seals --

    def _numbers(self, folder: str) -> list[int]:
        names = self.store.names(self._path(folder))
        return [int(name) for name in names if name.isdecimal()]  # ours, no stray file

    def _numbered(self, folder: str, number: int) -> str:
        return self._path(folder, f"{number:06d}")

    def _path(self, *parts: str) -> str:
        return "/".join((self._root, *parts))

    def _seal(self, value: object) -> bytes:
        return self._cipher.encrypt(json.dumps(value, separators=(",", ":")).encode())

    def _read(self, name: str) -> Any:
        """Return what an object says, or None without one; raise Unreadable."""
        data = self.store.get(name)
        if data is None:
            return None
        try:
            return json.loads(self._cipher.decrypt(data))
        except InvalidToken:
            raise Unreadable(
                f"None of SAFEKEEPING_KEYS opens {name}, or it is not whole."
            ) from None


def _name_of(written_real_at: datetime) -> str:
    return f"{int(written_real_at.timestamp() * 1000):015d}"


def keys() -> list[str]:
    """Return the keys of the settings; the first one seals."""
    return [key.strip() for key in settings.SAFEKEEPING_KEYS.split(",") if key.strip()]


def of_settings() -> Place | None:
    """Return the second place that the settings name, or None without one."""
    store = configured()
    if store is None:
        return None
    return Place(store, keys=keys(), installation=settings.SAFEKEEPING_INSTALLATION)
