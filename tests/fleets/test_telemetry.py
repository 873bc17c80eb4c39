"""From the inbox to readings and last known states."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import psycopg
import pytest
from django.db import connection
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from fleets import telemetry
from fleets.models import Reading, Vehicle, WebhookDelivery
from fleets.providers.base import Report
from fleets.providers.smartcar import WebhookMessage, parse_webhook
from fleets.signals import readings_recorded
from tests.dispatch.together import at_once
from tests.strategies import json_values

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 12, 17, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def car(make_vehicle: Callable[..., Vehicle]) -> Vehicle:
    """Return a car that was parked without a cable an hour ago."""
    return make_vehicle(
        is_plugged_in=False,
        is_charging=False,
        is_home=None,
        plugged_in_at=None,
        power_kw=0.0,
        observed_at=NOW - 60 * MINUTE,
    )


@pytest.fixture
def heard() -> Iterator[list[list[int]]]:
    """Return what listeners of `readings_recorded` were told."""
    calls: list[list[int]] = []

    def listen(vehicle_ids: list[int], **_: object) -> None:
        calls.append(vehicle_ids)

    readings_recorded.connect(listen)
    yield calls
    readings_recorded.disconnect(listen)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is sent to the database from now on, by whichever cursor."""
    sent: list[str] = []
    execute = psycopg.Cursor.execute

    def note(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        sent.append(str(query))
        return execute(self, query, *args, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", note)
    return sent


def body(car: Vehicle, *, at: datetime = NOW, **changes: Any) -> dict[str, Any]:
    def signal(code: str, value: object) -> dict[str, Any]:
        return {
            "code": code,
            "status": {"value": "SUCCESS"},
            "body": {"value": value},
            "meta": {"oemUpdatedAt": at.timestamp()},
        }

    signals = [
        signal("charge-ischarging", True),
        signal("charge-ischargingcableconnected", True),
        signal("location-isathome", True),
        signal("charge-wattage", 7000),
    ]
    return {
        "eventId": "e-1",
        "eventType": "VEHICLE_STATE",
        "data": {"vehicle": {"id": car.external_id}, "signals": signals},
        "meta": {"mode": "LIVE"},
        **changes,
    }


def deliver(content: object, event_id: str = "e-1") -> WebhookDelivery:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return WebhookDelivery.objects.create(event_id=event_id, body=raw, received_at=NOW)


def refuse(car: Vehicle) -> None:
    """Let the database take nothing that this car says."""
    with connection.cursor() as cursor:
        cursor.execute("set constraints all immediate")
        cursor.execute(
            "alter table fleets_vehicle add constraint odd"
            f" check (id <> {car.pk} or observed_at is null)"
        )


def test_a_message_becomes_a_reading_and_the_state_of_its_car(
    car: Vehicle,
    heard: list[list[int]],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    message = deliver(body(car))

    with django_capture_on_commit_callbacks(execute=True):
        assert telemetry.take_in(NOW + MINUTE) == 1

    car.refresh_from_db()
    assert (car.is_plugged_in, car.is_charging, car.is_home) == (True, True, True)
    assert (car.power_kw, car.plugged_in_at, car.observed_at) == (7.0, NOW, NOW)
    reading = Reading.objects.get(vehicle_id=car.pk)
    assert (reading.observed_at, reading.source) == (NOW, "webhook")
    message.refresh_from_db()
    assert (message.processed_at, message.error) == (NOW + MINUTE, "")
    assert heard == [[car.pk]]


def test_a_message_is_taken_in_once(car: Vehicle) -> None:
    deliver(body(car))

    assert [telemetry.take_in(NOW), telemetry.take_in(NOW)] == [1, 0]
    assert Reading.objects.count() == 1


def test_the_cars_time_decides_not_the_order_of_arrival(car: Vehicle) -> None:
    deliver(body(car, at=NOW), "e-2")
    old = body(car, at=NOW - 5 * MINUTE)
    old["data"]["signals"][0]["body"]["value"] = False
    deliver(old, "e-1")

    telemetry.take_in(NOW)

    car.refresh_from_db()
    assert car.is_charging is True
    assert car.observed_at == NOW
    assert car.plugged_in_at == NOW - 5 * MINUTE
    assert Reading.objects.count() == 2


def test_an_older_message_of_a_later_batch_changes_nothing(car: Vehicle) -> None:
    telemetry.record(
        [Report(car.external_id, NOW, soc_percent=60.0)], source="read", now=NOW
    )

    telemetry.record(
        [Report(car.external_id, NOW - MINUTE, soc_percent=59.0)],
        source="read",
        now=NOW,
    )

    car.refresh_from_db()
    assert car.soc_percent == 60.0


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\x00", b"[" * 9999, b"null"])
def test_an_unreadable_message_is_kept_with_its_error(
    car: Vehicle, content: bytes
) -> None:
    message = deliver(content, "bad")
    deliver(body(car), "good")

    assert telemetry.take_in(NOW) == 2

    message.refresh_from_db()
    assert message.error
    assert message.processed_at == NOW
    assert Reading.objects.count() == 1


def test_test_traffic_and_strange_cars_change_nothing(
    car: Vehicle, heard: list[list[int]]
) -> None:
    deliver(body(car, meta={"mode": "TEST"}), "e-1")
    stranger = body(car)
    stranger["data"]["vehicle"]["id"] = "somebody-elses"
    deliver(stranger, "e-2")

    assert telemetry.take_in(NOW) == 2

    assert not Reading.objects.exists()
    assert not WebhookDelivery.objects.filter(processed_at=None).exists()
    assert heard == []


def test_what_the_database_refuses_of_one_does_not_stop_the_others(
    car: Vehicle, make_vehicle: Callable[..., Vehicle]
) -> None:
    odd = make_vehicle(observed_at=None)
    refuse(odd)
    refused = deliver(body(odd), "e-1")
    deliver(body(car), "e-2")

    assert telemetry.take_in(NOW) == 2

    refused.refresh_from_db()
    assert refused.error == "refused: IntegrityError"
    assert list(Reading.objects.values_list("vehicle_id", flat=True)) == [car.pk]


def test_taking_in_costs_the_same_statements_for_one_car_as_for_many(
    make_vehicle: Callable[..., Vehicle], statements: list[str]
) -> None:
    counts = []
    for batch in (1, 30):
        for number in range(batch):
            deliver(body(make_vehicle(observed_at=None)), f"e-{batch}-{number}")
        statements.clear()

        assert telemetry.take_in(NOW) == batch

        counts.append(len(statements))
    assert counts[0] == counts[1]


def test_a_refused_message_is_found_half_by_half(
    car: Vehicle, make_vehicle: Callable[..., Vehicle], statements: list[str]
) -> None:
    odd = make_vehicle(observed_at=None)
    refuse(odd)
    for number in range(64):
        deliver(body(odd if number == 40 else car), f"e-{number}")
    statements.clear()

    assert telemetry.take_in(NOW) == 64

    assert list(
        WebhookDelivery.objects.exclude(error="").values_list("event_id", flat=True)
    ) == ["e-40"]
    assert Reading.objects.filter(vehicle_id=car.pk).count() == 63
    assert len(statements) < 64 * 2  # one by one it would be six for each


def test_a_flaw_of_the_reader_stops_no_other_message(
    car: Vehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(raw: bytes) -> WebhookMessage:
        if b"surprise" in raw:
            raise KeyError("never thought of")
        return parse_webhook(raw)

    monkeypatch.setattr(telemetry, "parse_webhook", read)
    flawed = deliver(b"surprise", "e-1")
    deliver(body(car), "e-2")

    assert telemetry.take_in(NOW) == 2

    flawed.refresh_from_db()
    assert flawed.error.startswith("unreadable")
    assert Reading.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_several_intakes_at_once_take_each_message_once(
    make_vehicle: Callable[..., Vehicle],
) -> None:
    cars = [make_vehicle(observed_at=None) for _ in range(20)]
    order = random.Random(1)
    for minute in range(10):
        for car in order.sample(cars, len(cars)):  # so that batches cross each other
            deliver(body(car, at=NOW - minute * MINUTE), f"e-{car.pk}-{minute}")

    def empty() -> int:
        taken = 0
        while batch := telemetry.take_in(NOW, limit=15):
            taken += batch
        return taken

    assert sum(cast(list[int], at_once(empty, empty, empty))) == 200

    assert Reading.objects.count() == 200
    assert not WebhookDelivery.objects.filter(processed_at=None).exists()
    newest = Vehicle.objects.values_list("observed_at", flat=True).distinct()
    assert list(newest) == [NOW]


def test_a_limit_leaves_the_rest_for_later(car: Vehicle) -> None:
    for number in range(3):
        deliver(body(car, eventId=f"e-{number}"), f"e-{number}")

    assert [telemetry.take_in(NOW, limit=2) for _ in range(3)] == [2, 1, 0]


def test_old_messages_go_but_never_one_that_waits(
    car: Vehicle, settings: Settings
) -> None:
    settings.WEBHOOKS_KEPT_DAYS = 2
    deliver(body(car), "old")
    telemetry.take_in(NOW)
    deliver(body(car), "waiting")

    assert telemetry.prune(NOW + timedelta(days=2)) == 0
    assert telemetry.prune(NOW + timedelta(days=2) + MINUTE) == 1

    assert [m.event_id for m in WebhookDelivery.objects.all()] == ["waiting"]


def test_many_old_messages_go_a_few_at_a_time(
    car: Vehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "PRUNED_AT_ONCE", 2)
    monkeypatch.setattr(telemetry, "PRUNED_AT_MOST", 4)
    for number in range(7):
        deliver(body(car), f"e-{number}")
    telemetry.take_in(NOW)
    later = NOW + timedelta(days=100)

    assert [telemetry.prune(later) for _ in range(3)] == [4, 3, 0]


@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=60,
)
@given(
    values=st.fixed_dictionaries(
        {
            "charge-ischarging": json_values,
            "charge-wattage": json_values,
            "tractionbattery-stateofcharge": json_values,
            "location-isathome": json_values,
        }
    ),
    at=st.one_of(json_values, st.floats(), st.just(NOW.timestamp())),
)
def test_nothing_that_a_car_says_can_stop_the_intake(
    car: Vehicle, values: dict[str, object], at: object
) -> None:
    signals = [
        {"code": code, "body": {"value": value}, "meta": {"oemUpdatedAt": at}}
        for code, value in values.items()
    ]
    WebhookDelivery.objects.all().delete()
    message = deliver(
        body(car, data={"vehicle": {"id": car.external_id}, "signals": signals})
    )

    assert telemetry.take_in(NOW) == 1

    message.refresh_from_db()
    assert message.error == ""
