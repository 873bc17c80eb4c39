"""The OpenAPI page tells the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
import schemathesis
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    positive_data_acceptance,
)

from dispatch.models import Forecast, ForecastScore, GridEvent
from tests.dispatch.api.conftest import GridSystem
from tests.factories import HOUR, NOW

pytestmark = pytest.mark.django_db


def test_the_page_is_made_without_a_warning() -> None:
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=StringIO())


@pytest.fixture(autouse=True)
def keep_the_connection() -> Iterator[None]:
    """Keep each request in the test's transaction, as Django's own client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


OPERATIONS = (
    "list_events",
    "read_event",
    "create_event",
    "amend_event",
    "cancel_event",
    "opt_out_of_event",
    "approve_event",
    "list_area_hold_offs",
    "declare_area_hold_off",
    "lift_area_hold_off",
    "list_forecasts",
)


def test_every_operation_is_tried() -> None:
    assert {operation.label for operation in operations().values()}
    assert set(operations()) == set(OPERATIONS)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        (name, mode)
        for name in OPERATIONS
        for mode in GenerationMode
        # In a query all is text: nothing there breaks the page's types for sure.
        if not (name.startswith("list_") and mode == GenerationMode.NEGATIVE)
    ],
)
def test_every_answer_is_one_that_the_page_promises(
    name: str,
    mode: GenerationMode,
    grid: GridSystem,
    make_event: Callable[..., GridEvent],
    make_forecast: Callable[..., Forecast],
    make_score: Callable[..., ForecastScore],
) -> None:
    make_event(pk=1)
    make_score(make_forecast())
    make_forecast(issued_at=NOW + HOUR)
    headers = {"Authorization": f"Bearer {grid.token}"}

    @given(case=operations()[name].as_strategy(generation_mode=mode))
    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def check(case: Any) -> None:
        case.validate_response(
            case.call(headers=headers),
            excluded_checks=[
                # A program that does not exist fits the page and is still refused.
                positive_data_acceptance,
                # It leaves our header in; a test of its own asks without a token.
                ignored_auth,
            ],
        )

    check()


def operations() -> dict[str, Any]:
    """Return what the page describes, by operation id."""
    schema = schemathesis.openapi.from_wsgi("/api/schema/", get_wsgi_application())
    found = [result.ok() for result in schema.get_all_operations()]
    return {operation.definition.raw["operationId"]: operation for operation in found}
