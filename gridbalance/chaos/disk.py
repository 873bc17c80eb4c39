"""A small disk of its own for PostgreSQL, so that it can be filled to the brim.

On Linux as root the servers' folder is a tmpfs while chaos runs; elsewhere there is no
way to fill a disk without filling somebody else's, and that fault is skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gridbalance.embedded.home import folder_of

# Programs, cluster, and the log of writes between two checkpoints with room to spare.
SIZE_MEGABYTES = 1500
PAGE_BYTES = 4096
MOUNT, UNMOUNT = "/usr/bin/mount", "/usr/bin/umount"


class SmallDisk:
    """The disk below the servers' files, if there may be one."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = folder_of(data_dir)
        self.why_not = ""

    def mount(self) -> None:
        """Mount it, or note why not; one that a killed run left is taken over."""
        if sys.platform != "linux" or os.geteuid() != 0:
            self.why_not = "a disk of its own takes root on Linux"
            return
        if self.folder.is_mount():
            return
        if self.folder.exists() and any(self.folder.iterdir()):
            self.why_not = f"{self.folder} holds files already"
            return
        self.folder.mkdir(mode=0o755, exist_ok=True)
        mounted = subprocess.run(  # noqa: S603 - fixed words and our own folder
            [MOUNT, "-t", "tmpfs", "-o", f"size={SIZE_MEGABYTES}m,mode=755",
             "gridbalance-chaos", str(self.folder)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if mounted.returncode != 0:
            self.why_not = f"no tmpfs can be mounted: {mounted.stderr.strip()}"

    def fill(self) -> None:
        """Leave no byte free, but for what others free meanwhile."""
        with self._ballast.open("wb") as file:
            size, piece = 0, SIZE_MEGABYTES << 20
            while piece >= PAGE_BYTES:
                try:
                    os.posix_fallocate(file.fileno(), size, piece)
                except OSError:  # as much is not there
                    piece //= 2
                else:
                    size += piece

    def relieve(self) -> None:
        """Give the space back."""
        self._ballast.unlink(missing_ok=True)

    def unmount(self) -> None:
        """Take the disk away with all that is on it; the servers must be stopped."""
        if self.folder.is_mount():
            subprocess.run(  # noqa: S603 - fixed words and our own folder
                [UNMOUNT, str(self.folder)], check=True
            )
            self.folder.rmdir()

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"
