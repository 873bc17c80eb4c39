"""A pytest plugin: PostgreSQL and Valkey for one run of the tests.

Each run has servers of its own in the first free folder `.gridbalance/test-N`, so
that several runs go on side by side. The folders stay: the next run starts on warm
files, in a fraction of a second. What runs is stopped at the end, also after a crash
(see `gridbalance.processes`). With DATABASE_URL and REDIS_URL set, those servers are
used instead.

pytest loads this before Django's settings (`-p tests.services` in pyproject.toml),
because these read the folder's name from the environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from gridbalance.processes import AlreadyRunning, Supervisor

CHECKOUT = Path(__file__).resolve().parent.parent
VARIABLE = "GRIDBALANCE_DATA_DIR"


def take_folder() -> Supervisor:
    """Enter the first folder that no other run has."""
    for number in count():
        house = Supervisor(
            CHECKOUT / ".gridbalance" / f"test-{number}",
            fast=True,
            say=lambda line: None,
        )
        try:
            return house.__enter__()
        except AlreadyRunning:
            continue
    raise AssertionError("There is always one more number.")


class Services:
    """Start the servers before the first test, stop them after the last."""

    def __init__(self, house: Supervisor) -> None:
        self.house = house

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        if not session.config.option.collectonly:
            self.house.start_services()

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        self.house.__exit__(None, None, None)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    """Name the folder, before pytest-django loads the settings in the same hook."""
    # A helper of xdist finds the folder in the environment that it inherits.
    if "PYTEST_XDIST_WORKER" not in os.environ:
        house = take_folder()
        os.environ[VARIABLE] = str(house.data_dir)
        early_config.pluginmanager.register(Services(house), "gridbalance-services")
    yield
