"""What Prometheus is told: true numbers, at a price that does not grow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from dispatch.api import measures, metrics, questions
from dispatch.models import (
    Alarm,
    Command,
    Envelope,
    EnvelopeGauge,
    GridEvent,
    LoopTurn,
    SecondPlace,
    Sender,
)
from fleets import clock, partitions
from fleets.models import Bucket, ProviderToken, Vehicle, WebhookDelivery
from tests.dispatch.senders import make_due
from tests.factories import HOUR, NOW
from tests.statements import statements

__all__ = ["make_due"]

Make = Callable[..., Any]
# Many enough that reading them all is dearer than any index.
ROWS = 20_000
MULTIPLY = """
insert into {table} ({columns})
select {values} from {table}, generate_series(1, {rows}) n
"""
LARGE = {
    "dispatch_hold", "dispatch_command", "fleets_vehicle", "fleets_webhookdelivery",
}  # fmt: skip


@pytest.fixture
def scrape(client: Client, set_clock: Make) -> Callable[[], dict[str, float]]:
    """Return a function that tells every number by its name and labels."""
    set_clock(NOW)

    def ask() -> dict[str, float]:
        text = client.get("/metrics").content.decode()
        return {
            sample.name + "".join(f"|{value}" for value in sample.labels.values()):
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name.startswith("gridbalance_")
        }  # fmt: skip

    return ask


@pytest.mark.django_db
def test_an_empty_installation_tells_zeros(scrape: Make) -> None:
    told = scrape()

    assert told["gridbalance_database_up"] == 1
    assert told["gridbalance_holds_open|held"] == 0
    assert told["gridbalance_holds_late"] == 0
    assert told["gridbalance_commands_open|accepted"] == 0
    assert told["gridbalance_events|pending approval"] == 0
    assert told["gridbalance_holds_stopped|everything"] == 0
    assert told["gridbalance_clock_speed"] == 0  # the tests' clock stands still


@pytest.mark.django_db
def test_what_is_owed_and_how_long_it_takes_to_give_back(
    scrape: Make, make_due: Make, make_event: Make
) -> None:
    event: GridEvent = make_event(status="active")
    for minutes in (-1, 1):
        make_due(
            event, is_restore=True, latest_start_at=NOW + timedelta(minutes=minutes),
            due_at=NOW - timedelta(minutes=3),
        )  # fmt: skip
    Bucket.objects.create(
        name="application", capacity=120, refill_per_minute=0.5, tokens=1,
        refilled_at=NOW, blocked_until=NOW + timedelta(seconds=30),
    )  # fmt: skip

    told = scrape()

    assert told["gridbalance_holds_open|restoring"] == 2
    assert told["gridbalance_holds_late"] == 1
    assert told["gridbalance_holds_kw"] == 14
    # One call is there, the other comes in two minutes, after the wait of 30 s.
    assert told["gridbalance_give_back_seconds|calls"] == 150
    assert told["gridbalance_give_back_seconds|ramp"] == pytest.approx(14 / 50 * 60)
    assert told["gridbalance_commands_due|restore"] == 2
    assert told["gridbalance_commands_due_seconds|restore"] == 180
    assert told["gridbalance_bucket_blocked_seconds|application"] == 30


@pytest.mark.django_db
def test_calls_flow_back_between_two_claims(scrape: Make) -> None:
    Bucket.objects.create(
        name="application", capacity=120, refill_per_minute=2, tokens=17,
        refilled_at=NOW - timedelta(minutes=4),
    )  # fmt: skip

    told = scrape()

    assert told["gridbalance_bucket_tokens|application"] == 25
    assert told["gridbalance_bucket_capacity|application"] == 120


@pytest.mark.django_db
def test_trouble_is_told_by_its_code_and_codes_do_not_multiply(
    scrape: Make, make_due: Make, make_event: Make
) -> None:
    event = make_event()
    for number in range(questions.MOST_CODES + 5):
        make_due(event, code=f"code {number}")
    make_due(event, code="code 0", status="unknown")
    make_due(event, code="over", status="failed")

    told = scrape()

    codes = [name for name in told if "in_trouble" in name]
    assert told["gridbalance_commands_in_trouble|code 0|hold"] == 2
    assert told["gridbalance_commands_in_trouble|other|hold"] == 5
    assert len(codes) == questions.MOST_CODES + 1


@pytest.mark.django_db
def test_the_age_of_held_cars_data_stands_beside_what_their_make_may_take(
    scrape: Make, make_due: Make, make_event: Make
) -> None:
    event = make_event()
    for minutes in (2, 10, 60):
        make_due(
            event,
            vehicle={"make": "TESLA", "observed_at": NOW - timedelta(minutes=minutes)},
        )
    Vehicle.objects.filter(holds=None).update(observed_at=NOW - 100 * HOUR)

    told = scrape()

    assert told["gridbalance_held_cars|TESLA"] == 3
    assert told["gridbalance_held_data_seconds|TESLA"] == 600
    assert told["gridbalance_held_data_oldest_seconds|TESLA"] == 3600
    assert told["gridbalance_make_freshness_seconds|TESLA"] == 300


@pytest.mark.django_db
def test_messages_that_wait_and_that_nobody_could_read(scrape: Make) -> None:
    messages: list[dict[str, Any]] = [
        {"processed_at": NOW}, {"processed_at": NOW, "error": "garbled"}, {}, {},
    ]  # fmt: skip
    for number, values in enumerate(messages):
        WebhookDelivery.objects.create(
            event_id=str(number), body=b"",
            received_at=NOW - timedelta(seconds=10 * number), **values,
        )  # fmt: skip

    told = scrape()

    assert told["gridbalance_webhooks_waiting"] == 2
    assert told["gridbalance_webhooks_waiting_seconds"] == 20
    assert told["gridbalance_webhooks_put_aside"] == 1
    assert told["gridbalance_webhooks_total"] >= 4


@pytest.mark.django_db
def test_whether_the_engine_runs_and_what_bounds_it(scrape: Make, program: Any) -> None:
    real_now = clock.real_now()
    LoopTurn.objects.create(at=NOW, real_at=real_now, took_ms=250)
    Sender.objects.create(
        id="12345678-1234-5678-1234-567812345678", host="here", pid=1,
        started_at=real_now, heartbeat_at=real_now,
    )  # fmt: skip
    SecondPlace.objects.create(kept_at=real_now, looked_at=None, may_act=True)
    ProviderToken.objects.create(provider="smartcar", expires_at=NOW + HOUR)
    envelope = Envelope.objects.create(
        program=program, max_kw=100, max_cars=9, max_kw_per_minute=9,
        holds_stopped_at=NOW,
    )  # fmt: skip
    EnvelopeGauge.objects.create(
        envelope=envelope, is_restore=False, outstanding_kw=25, outstanding_cars=3,
        counted_at=real_now, lately=[],
    )  # fmt: skip
    Alarm.objects.create(key="x", severity="critical", text="x", raised_at=NOW)
    for table in (partitions.READINGS, partitions.CHANGES):
        table.make_ahead(NOW, ahead=timedelta(days=3))

    told = scrape()

    assert told["gridbalance_loop_turn_timestamp_seconds"] == pytest.approx(
        real_now.timestamp()
    )
    assert told["gridbalance_loop_turn_seconds"] == 0.25
    assert told["gridbalance_senders_alive"] == 1
    assert "gridbalance_second_place_looked_timestamp_seconds" not in told
    assert told["gridbalance_may_act"] == 1
    assert told["gridbalance_provider_token_seconds|smartcar"] == 3600
    assert told["gridbalance_holds_stopped|program"] == 1
    assert told["gridbalance_envelope_used_ratio|hold|program"] == 0.25
    assert told["gridbalance_alarms_open|critical"] == 1
    assert told["gridbalance_partitions_ahead_seconds|fleets_reading"] > 2 * 86_400


@pytest.mark.django_db
def test_a_scrape_reads_no_table_whole(
    make_due: Make, make_event: Make, set_clock: Make, program: Any
) -> None:
    """A season's holds and commands lie there, and a fleet of cars."""
    set_clock(NOW)
    command: Command = make_due(make_event())
    with connection.cursor() as cursor:
        for table, model, changes in (
            ("dispatch_hold", type(command.hold), {"status": "'restored'"}),
            ("dispatch_command", Command, {"status": "'confirmed'"}),
            ("fleets_vehicle", Vehicle, {"external_id": "'more ' || n"}),
        ):
            columns = [str(f.column) for f in model._meta.fields if not f.primary_key]
            cursor.execute(
                MULTIPLY.format(
                    table=table,
                    columns=", ".join(columns),
                    values=", ".join(changes.get(name, name) for name in columns),
                    rows=ROWS,
                )
            )
        cursor.execute(
            "insert into fleets_webhookdelivery (event_id, body, received_at,"
            " processed_at, error) select 'e' || n, '', %(now)s, %(now)s, ''"
            " from generate_series(1, %(rows)s) n",
            {"now": NOW, "rows": 2 * ROWS},
        )
        cursor.execute("analyze")

        for measure, statement in measures.statements():
            cursor.execute(f"explain (format json) {statement}", measures.parameters())
            (plan,) = cursor.fetchone()
            read_whole = {
                node["Relation Name"]
                for node in _nodes(plan[0]["Plan"])
                if node["Node Type"] == "Seq Scan"
            }
            assert not read_whole & LARGE, (measure.metrics, plan)


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for one in plan.get("Plans", ()) for node in _nodes(one))]


@pytest.mark.django_db
def test_a_scrape_asks_once_for_each_measure(scrape: Make) -> None:
    with statements() as asked:
        metrics._families()

    assert len(asked) == len(questions.MEASURES) + 2  # the limit of time, catches


def test_metrics_survive_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(metrics, "_families", fail)

    (up,) = metrics.RowsCollector().collect()

    assert up.samples[0].value == 0.0


@pytest.mark.django_db
def test_how_right_the_last_weeks_forecasts_were(
    scrape: Make, make_forecast: Make, make_score: Make, make_feeder: Make
) -> None:
    def scored(about: dict[str, Any], *, days: int, within: int, loss: float) -> None:
        forecast = make_forecast(issued_at=NOW - timedelta(days=days), **about)
        make_score(
            forecast, quarters=96, within_50=within // 2, within_90=within, loss=loss,
            compared=96, persistence_loss=40.0,
        )  # fmt: skip

    scored({}, days=2, within=96, loss=20.0)
    scored({}, days=3, within=48, loss=40.0)
    scored({}, days=8, within=0, loss=999.0)
    scored({"feeder": make_feeder()}, days=2, within=0, loss=999.0)

    told = scrape()

    assert told["gridbalance_forecast_within_ninety_ratio|load_kw"] == 0.75
    assert told["gridbalance_forecast_within_fifty_ratio|load_kw"] == 0.375
    assert told["gridbalance_forecast_loss_ratio|load_kw"] == 0.75
    assert told["gridbalance_forecast_issued_timestamp_seconds"] == (
        (NOW - timedelta(days=2)).timestamp()
    )
