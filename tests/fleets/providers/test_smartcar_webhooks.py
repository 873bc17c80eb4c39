"""Messages from outside: what is signed, what is proven, what is understood."""

from __future__ import annotations

import hashlib
import hmac
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from fleets.providers.smartcar import (
    Kind,
    answer_challenge,
    is_signed,
    parse_webhook,
)
from tests.strategies import json_values

KEY = "management-token"
AT = datetime(2026, 1, 12, 17, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _key(settings: Settings) -> None:
    settings.SMARTCAR_MANAGEMENT_TOKEN = KEY


def sign(body: bytes) -> str:
    return hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()


def message(**changes: object) -> dict[str, Any]:
    signal = {
        "code": "charge-ischarging",
        "status": {"value": "SUCCESS"},
        "body": {"value": True},
        "meta": {"oemUpdatedAt": AT.timestamp()},
    }
    return {
        "eventId": "e-1",
        "eventType": "VEHICLE_STATE",
        "data": {"vehicle": {"id": "v-1"}, "signals": [signal]},
        "meta": {"mode": "LIVE"},
        **changes,
    }


def test_it_reads_the_state_of_a_car() -> None:
    found = parse_webhook(json.dumps(message()).encode())

    assert found.event_id == "e-1"
    assert found.kind is Kind.VEHICLE_STATE
    assert [r.vehicle_id for r in found.reports] == ["v-1"]
    assert not found.is_test


def test_it_knows_test_traffic() -> None:
    found = parse_webhook(json.dumps(message(meta={"mode": "TEST"})).encode())

    assert found.is_test


def test_an_error_of_a_car_is_no_report() -> None:
    found = parse_webhook(json.dumps(message(eventType="VEHICLE_ERROR")).encode())

    assert found.kind is Kind.VEHICLE_ERROR
    assert found.reports == ()


def test_an_unknown_kind_is_no_error() -> None:
    found = parse_webhook(json.dumps(message(eventType="TEA_TIME")).encode())

    assert found.kind is Kind.OTHER


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        json.dumps(message(eventId="")).encode(),
        json.dumps(message(eventId="a\x00b")).encode(),
        json.dumps(message(eventId="\ud800")).encode(),
        json.dumps(message(eventId="x" * 101)).encode(),
        json.dumps(message(data={"vehicle": {"id": 5}})).encode(),
    ],
)
def test_what_is_no_message_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        parse_webhook(body)


def test_only_these_very_bytes_are_signed() -> None:
    body = json.dumps(message()).encode()

    assert is_signed(body, sign(body))
    assert not is_signed(body + b" ", sign(body))
    assert not is_signed(body, "")
    assert not is_signed(body, "ü")


def test_an_empty_key_signs_nothing(settings: Settings) -> None:
    settings.SMARTCAR_MANAGEMENT_TOKEN = ""
    forged = hmac.new(b"", b"{}", hashlib.sha256).hexdigest()

    assert not is_signed(b"{}", forged)
    assert answer_challenge("abc") is None


def test_a_challenge_is_proven() -> None:
    assert answer_challenge("3a5c-99") == sign(b"3a5c-99")


@pytest.mark.parametrize(
    "challenge", ["", "x" * 201, json.dumps({"eventId": "e"}), "a b", "a\n", "é"]
)
def test_a_challenge_that_could_be_a_message_is_not_signed(challenge: str) -> None:
    assert answer_challenge(challenge) is None


shapes = st.fixed_dictionaries(
    {},
    optional={
        "eventId": st.one_of(json_values, st.just("e-1")),
        "eventType": st.one_of(json_values, st.sampled_from(list(Kind))),
        "data": st.one_of(
            json_values,
            st.fixed_dictionaries(
                {"vehicle": st.just({"id": "v-1"}), "signals": json_values}
            ),
        ),
        "meta": json_values,
    },
)


@given(body=st.one_of(st.binary(), shapes.map(lambda s: json.dumps(s).encode())))
def test_no_body_raises_anything_but_value_error(body: bytes) -> None:
    with suppress(ValueError):
        parse_webhook(body)


@given(signature=st.text(), body=st.binary())
def test_no_signature_raises(signature: str, body: bytes) -> None:
    assert not is_signed(body, signature)
