"""Log lines: whose they are, what they are about, and what is never in them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from django.conf import settings
from django.test import Client

from dispatch import outcomes
from dispatch.models import Command
from fleets.providers.base import OutcomeUnknown, Refused
from fleets.tasks import prune
from gridbalance import logs
from tests.dispatch.conftest import House, give_calls, house

__all__ = ["give_calls", "house"]

Make = Callable[..., Any]
Lines = Callable[[], list[dict[str, Any]]]
log = structlog.get_logger("test")


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Return what is written as it is on stderr."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.getLogger().handlers[0].formatter)
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def lines(written: io.StringIO) -> Lines:
    return lambda: [json.loads(line) for line in written.getvalue().splitlines()]


def of(lines: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == event]


@pytest.mark.django_db
def test_a_request_has_an_id_in_its_lines_and_in_its_answer(
    client: Client, settings: Any, lines: Lines
) -> None:
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:9/0"

    response = client.get("/readyz", headers={"X-Request-Id": "proxy-17"})

    assert response["X-Request-Id"] == "proxy-17"
    (line,) = of(lines(), "not_ready")
    assert line["request_id"] == "proxy-17"
    assert line["timestamp"] and line["level"] == "warning"


@pytest.mark.parametrize("said", ["", "x" * 65, "a\nb", "<script>"])
def test_a_strangers_odd_id_is_not_taken_over(client: Client, said: str) -> None:
    response = client.get("/healthz", headers={"X-Request-Id": said})

    assert response["X-Request-Id"] != said
    assert len(response["X-Request-Id"]) == 32


@pytest.mark.django_db
def test_a_task_has_its_id_in_its_lines_and_none_afterwards(lines: Lines) -> None:
    done = prune.apply(task_id="task-1")
    log.info("after")

    logs.begin_task("task-2", "fleets.tasks.prune")
    log.info("within")

    assert done.successful()
    assert "task_id" not in of(lines(), "after")[0]
    assert of(lines(), "within")[0]["task_id"] == "task-2"


def test_a_librarys_line_looks_like_ours(lines: Lines) -> None:
    logging.getLogger("library").warning("something %s", "odd")

    (line,) = lines()
    assert (line["event"], line["level"], line["logger"]) == (
        "something odd", "warning", "library",
    )  # fmt: skip
    assert line["timestamp"]


def test_a_secret_of_the_settings_is_not_written(written: io.StringIO) -> None:
    secret = settings.SECRET_KEY
    try:
        raise ValueError(f"cannot open {secret}")
    except ValueError:
        log.exception("broken", said=secret)
    logging.getLogger("library").error("cannot reach %s", settings.DATABASE_URL)

    assert "***" in written.getvalue()
    assert secret not in written.getvalue()
    password = settings.DATABASES["default"]["PASSWORD"]
    assert password and password not in written.getvalue()


@pytest.fixture
def failing(
    written: io.StringIO,
    house: House,
    make_event: Make,
    make_enrolment: Make,
    give_calls: Make,
    program: Any,
) -> list[Any]:
    """Return cars of an event whose provider fails in several ways."""
    make_event(program)
    enrolments = [make_enrolment(program) for _ in range(outcomes.TOLD_OF_A_KIND + 4)]
    for enrolment in enrolments:
        give_calls(enrolment.vehicle)
        house.provider.answers[enrolment.vehicle.external_id] = [
            OutcomeUnknown("SERVER:INTERNAL", request_id="their-request")
        ]
    house.provider.answers[enrolments[0].vehicle.external_id] = [
        Refused("VEHICLE_STATE:NOT_CHARGING")
    ]
    house.turn()
    house.send()
    return enrolments


@pytest.mark.django_db
def test_a_command_that_fails_is_told_with_all_its_numbers(
    failing: list[Any], lines: Lines
) -> None:
    told = of(lines(), "command_failed")

    unknown = [line for line in told if line["status"] == "unknown"]
    command = Command.objects.get(pk=unknown[0]["command_id"])
    assert (unknown[0]["hold_id"], unknown[0]["event_id"]) == (
        command.hold_id, command.event_id,
    )  # fmt: skip
    assert unknown[0]["request_id_of_provider"] == "their-request"
    assert {line["code"] for line in told} == {
        "SERVER:INTERNAL", "VEHICLE_STATE:NOT_CHARGING",
    }  # fmt: skip


@pytest.mark.django_db
def test_a_thousand_failures_of_a_kind_are_a_few_lines_and_a_count(
    failing: list[Any], lines: Lines
) -> None:
    batches = of(lines(), "outcomes")

    told = [line for line in of(lines(), "command_failed") if line["code"][0] == "S"]
    assert len(told) <= outcomes.TOLD_OF_A_KIND * len(batches)
    assert sum(line.get("unknown", 0) for line in batches) == len(failing) - 1
    assert batches[0]["event_ids"] == [Command.objects.first().event_id]  # type: ignore[union-attr]


@pytest.mark.django_db
def test_nobody_is_named(failing: list[Any], written: io.StringIO) -> None:
    text = written.getvalue()

    assert "command_failed" in text
    for enrolment in failing:
        vehicle = enrolment.vehicle
        for name in (
            f'"{vehicle.external_id}"', f'"{vehicle.account.external_id}"',
            vehicle.account.customer.name,
        ):  # fmt: skip
            assert name not in text
