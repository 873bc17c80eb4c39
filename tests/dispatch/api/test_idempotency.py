"""A repeated request happens once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from dispatch.models import GridEvent, GridSignal, IdempotencyKey
from tests.dispatch.api.conftest import EVENTS, GridSystem

Body = dict[str, Any]


@pytest.mark.django_db
def test_the_same_request_gets_the_same_answer(grid: GridSystem, wanted: Body) -> None:
    first = grid.post(wanted, key="evening")
    # The same body, spelt in another order.
    again = grid.post(dict(reversed(wanted.items())), key="evening")

    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again["Location"] == first["Location"]
    assert GridEvent.objects.count() == GridSignal.objects.count() == 1


@pytest.mark.django_db
def test_the_answer_stays_when_the_event_went_on(
    grid: GridSystem, wanted: Body
) -> None:
    first = grid.post(wanted, key="evening")
    grid.post({}, f"{EVENTS}/{first.json()['id']}/cancel")

    assert grid.post(wanted, key="evening").json() == first.json()


@pytest.mark.django_db
def test_a_key_is_for_one_request(grid: GridSystem, wanted: Body) -> None:
    first = grid.post(wanted, key="evening")

    other_body = grid.post({**wanted, "target_kw": 50}, key="evening")
    other_path = grid.post({}, f"{EVENTS}/{first.json()['id']}/cancel", key="evening")

    assert other_body.status_code == other_path.status_code == 422
    assert other_body["Content-Type"] == "application/problem+json"
    assert GridEvent.objects.get().status == "scheduled"


@pytest.mark.django_db
def test_two_clients_may_choose_the_same_key(
    make_grid_system: Callable[..., GridSystem], wanted: Body
) -> None:
    for grid in (make_grid_system(), make_grid_system()):
        assert grid.post(wanted, key="evening").status_code == 201

    assert GridEvent.objects.count() == 2


@pytest.mark.django_db
def test_a_refused_request_may_be_put_right(grid: GridSystem, wanted: Body) -> None:
    assert grid.post({**wanted, "target_kw": -1}, key="evening").status_code == 400
    assert grid.post(wanted, key="evening").status_code == 201


@pytest.mark.django_db
@pytest.mark.parametrize("key", [None, "", "x" * 201, "é", "a\tb"])
def test_a_post_needs_a_key_that_is_one(
    grid: GridSystem, wanted: Body, key: str | None
) -> None:
    response = grid.post(wanted, key=key)

    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "Idempotency-Key"
    assert not GridEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_requests_at_the_same_moment_one_makes_the_event(
    grid: GridSystem, wanted: Body
) -> None:
    together = Barrier(5)

    def send() -> tuple[int, Body]:
        try:
            together.wait()
            response = GridSystem(grid.client, grid.token).post(wanted, key="evening")
            return response.status_code, response.json()
        finally:
            connection.close()

    with ThreadPoolExecutor(5) as pool:
        answers = [task.result() for task in [pool.submit(send) for _ in range(5)]]

    assert answers == [answers[0]] * 5
    assert answers[0][0] == 201
    assert GridEvent.objects.count() == GridSignal.objects.count() == 1
    assert IdempotencyKey.objects.get().status == 201
