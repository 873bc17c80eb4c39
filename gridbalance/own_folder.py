"""A command that must not touch what `make run` keeps lives in a folder of its own."""

from __future__ import annotations

import os
import sys

from django.conf import settings

VARIABLE = "GRIDBALANCE_DATA_DIR"


def enter(name: str) -> None:
    """Begin this command again in `.gridbalance/<name>`: settings are read from there.

    A folder that the environment names is taken as it is.
    """
    if VARIABLE in os.environ:
        return
    os.environ[VARIABLE] = str(settings.BASE_DIR / ".gridbalance" / name)
    sys.stdout.flush()
    os.execv(  # noqa: S606  (this very command)
        sys.executable, [sys.executable, *sys.orig_argv[1:]]
    )
