"""The small disk below the servers' files: filled to the brim, and given back."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridbalance.chaos.disk import SmallDisk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path)
    disk.mount()
    if disk.why_not:
        pytest.skip(disk.why_not)
    yield disk
    disk.unmount()


def test_a_full_disk_takes_nothing_until_it_is_relieved(disk: SmallDisk) -> None:
    file = disk.folder / "somebody's"

    disk.fill()
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        file.write_bytes(bytes(10_000))
    disk.relieve()

    assert file.write_bytes(bytes(10_000)) == 10_000


def test_it_leaves_no_folder_behind(tmp_path: Path) -> None:
    disk = SmallDisk(tmp_path)
    disk.mount()
    disk.unmount()

    assert bool(disk.why_not) or not disk.folder.exists()


def test_it_covers_nothing_that_is_there_already(tmp_path: Path) -> None:
    disk = SmallDisk(tmp_path)
    if os.geteuid() != 0:
        pytest.skip("as an ordinary user it never mounts")
    disk.folder.mkdir()
    kept = disk.folder / "kept"
    kept.write_text("somebody's")

    disk.mount()

    assert "holds files already" in disk.why_not
    assert kept.read_text() == "somebody's"
    kept.unlink()
    disk.folder.rmdir()
