"""One stack for the whole folder, and evenings that do not touch each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test.utils import setup_databases, teardown_databases
from pytest_django import DjangoDbBlocker

from gridbalance.processes import Supervisor
from tests.acceptance.evening import Evening
from tests.acceptance.stack import Stack


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the demo come first: it has processes of its own, so it runs alone."""
    items.sort(key=lambda item: item.path.name != "test_demo.py")


@pytest.fixture(scope="session")
def stack(
    request: pytest.FixtureRequest,
    django_test_environment: None,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[Stack]:
    """Return the running stack.

    Its processes and the tests share one database, in which nothing is rolled back.
    """
    services: Any = request.config.pluginmanager.get_plugin("gridbalance-services")
    house: Supervisor = services.house
    with django_db_blocker.unblock():
        databases = setup_databases(verbosity=0, interactive=False)
        stack = Stack(house, settings)
        try:
            stack.start()
            yield stack
        finally:
            stack.stop()
            teardown_databases(databases, verbosity=0)


@pytest.fixture
def evening(stack: Stack) -> Callable[..., Evening]:
    """Return a maker of evenings on a stack that is well."""
    stack.wait_until_well()

    def make(**cars: dict[str, Any]) -> Evening:
        return Evening.open(stack, cars)

    return make
