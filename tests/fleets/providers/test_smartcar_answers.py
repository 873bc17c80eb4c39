"""Every error of the reference table, and whatever else may come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleets.providers.base import (
    AccessRevoked,
    Asleep,
    CarState,
    NothingToDo,
    OutcomeUnknown,
    ProviderError,
    QuotaSpent,
    Receipt,
    Refused,
    Rejected,
    Scope,
    TokenStale,
    TryLater,
    Unsupported,
)
from fleets.providers.smartcar.answers import (
    LONGEST_WAIT_SECONDS,
    Answer,
    judge_command,
)
from tests.strategies import json_values


def failed(status: int, *, retry_after: str = "", **error: object) -> Answer:
    body = {"errors": [{"status": str(status), **error}]}
    return Answer(status, body, request_id="r-1", retry_after=retry_after)


def execution(value: object, **more: object) -> dict[str, object]:
    return {"data": {"attributes": {"status": {"value": value, **more}}}}


@pytest.mark.parametrize(
    ("status", "type", "code", "expected"),
    [
        (409, "VEHICLE_STATE", "CHARGING_IN_PROGRESS", NothingToDo),
        (409, "VEHICLE_STATE", "NOT_CHARGING", NothingToDo),
        (409, "VEHICLE_STATE", "FULLY_CHARGED", NothingToDo),
        (409, "VEHICLE_STATE", "CHARGING_PLUG_NOT_CONNECTED", NothingToDo),
        (409, "VEHICLE_STATE", "IN_MOTION", NothingToDo),
        (409, "VEHICLE_STATE", "IGNITION_ON", NothingToDo),
        (409, "VEHICLE_STATE", "CHARGE_FAULT", TryLater),
        (409, "VEHICLE_STATE", "ASLEEP", Asleep),
        (409, "VEHICLE_STATE", "UNREACHABLE", Asleep),
        (409, "VEHICLE_STATE", "UNKNOWN", TryLater),
        (409, "VEHICLE_STATE", "LOW_BATTERY", TryLater),
        (409, "VEHICLE_STATE", "REMOTE_ACCESS_DISABLED", Refused),
        (409, "VEHICLE_STATE", "VEHICLE_OFFLINE_FOR_SERVICE", Refused),
        (409, "VEHICLE_STATE", "DOOR_OPEN", TryLater),
        (409, "VEHICLE_STATE", None, TryLater),
        (502, "UPSTREAM", "NO_RESPONSE", OutcomeUnknown),
        (502, "UPSTREAM", "KNOWN_ISSUE", OutcomeUnknown),
        (502, "UPSTREAM", "UNKNOWN_ISSUE", OutcomeUnknown),
        (502, "UPSTREAM", "INVALID_DATA", OutcomeUnknown),
        (502, "UPSTREAM", "RATE_LIMIT", TryLater),
        # the command may have left before the fault
        (500, "SERVER", "INTERNAL", OutcomeUnknown),
        (504, None, None, OutcomeUnknown),
        (429, "RATE_LIMIT", "VEHICLE", TryLater),
        (429, "RATE_LIMIT", "SMARTCAR_API", TryLater),
        (430, "BILLING", "VEHICLE_REQUEST_LIMIT", QuotaSpent),
        (430, "BILLING", "ACCOUNT_SUSPENDED", QuotaSpent),
        (501, "COMPATIBILITY", "VEHICLE_NOT_CAPABLE", Unsupported),
        (501, "COMPATIBILITY", "PLATFORM_NOT_CAPABLE", Unsupported),
        (403, "PERMISSION", None, AccessRevoked),
        (400, "CONNECTED_SERVICES_ACCOUNT", "AUTHENTICATION_FAILED", AccessRevoked),
        (400, "CONNECTED_SERVICES_ACCOUNT", "PERMISSION", AccessRevoked),
        (400, "CONNECTED_SERVICES_ACCOUNT", "VIRTUAL_KEY_REQUIRED", AccessRevoked),
        (400, "CONNECTED_SERVICES_ACCOUNT", "SUBSCRIPTION", Refused),
        (401, "AUTHENTICATION", None, TokenStale),
        (401, "UNAUTHORIZED", None, TokenStale),
        (403, "ACCESS_DENIED", None, TokenStale),
        (400, "VALIDATION", "PARAMETER", Rejected),
        (404, "RESOURCE_NOT_FOUND", "PATH", Rejected),
        # types that we never heard of go by their status
        (400, "NEW_TYPE", "X", Rejected),
        (409, "NEW_TYPE", "X", TryLater),
        (429, "NEW_TYPE", None, TryLater),
        (503, "NEW_TYPE", None, OutcomeUnknown),
    ],
)
def test_an_error_says_what_to_do_next(
    status: int, type: str | None, code: str | None, expected: type[ProviderError]
) -> None:
    with pytest.raises(ProviderError) as caught:
        judge_command(failed(status, type=type, code=code))

    assert caught.type is expected
    assert caught.value.request_id == "r-1"


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("CHARGING_IN_PROGRESS", CarState.CHARGING),
        ("NOT_CHARGING", CarState.NOT_CHARGING),
        ("FULLY_CHARGED", CarState.FULL),
        ("CHARGING_PLUG_NOT_CONNECTED", CarState.UNPLUGGED),
        ("IN_MOTION", CarState.DRIVING),
    ],
)
def test_nothing_to_do_says_how_the_car_is(code: str, state: CarState) -> None:
    with pytest.raises(NothingToDo) as caught:
        judge_command(failed(409, type="VEHICLE_STATE", code=code))

    assert caught.value.state is state
    assert caught.value.code == f"VEHICLE_STATE:{code}"


@pytest.mark.parametrize(
    ("type", "code", "scope"),
    [
        ("RATE_LIMIT", "VEHICLE", Scope.VEHICLE),
        ("UPSTREAM", "RATE_LIMIT", Scope.VEHICLE),
        ("RATE_LIMIT", "SMARTCAR_API", Scope.APPLICATION),
        # the provider's pages print wrong codes: a limit of unknown reach stops all
        ("RATE_LIMIT", "NO_RESPONSE", Scope.APPLICATION),
        ("RATE_LIMIT", None, Scope.APPLICATION),
        ("AUTHENTICATION", None, Scope.APPLICATION),
    ],
)
def test_a_limit_reaches_as_far_as_its_code_says(
    type: str, code: str | None, scope: Scope
) -> None:
    with pytest.raises(TryLater) as caught:
        judge_command(failed(429, type=type, code=code))

    assert caught.value.scope is scope


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 7.5 ", 7.5),
        ("0", 0.0),
        ("-3", 0.0),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("99999999", LONGEST_WAIT_SECONDS),
        # a date counts from the answer's own date, whatever our clock shows
        ("Mon, 12 Jan 2026 17:02:00 GMT", 120.0),
        ("Mon, 12 Jan 2026 16:00:00 GMT", 0.0),
        ("Mon, 99 Jan 2026 17:02:00 GMT", None),
    ],
)
def test_it_obeys_retry_after_in_seconds_or_as_a_date(
    header: str, seconds: float | None
) -> None:
    answer = Answer(429, retry_after=header, date="Mon, 12 Jan 2026 17:00:00 GMT")

    assert answer.wait_seconds == seconds


def test_what_the_provider_says_goes_before_our_own_guess() -> None:
    with pytest.raises(TryLater) as caught:
        judge_command(failed(502, type="UPSTREAM", code="RATE_LIMIT", retry_after="42"))

    assert caught.value.wait_seconds == 42


@pytest.mark.parametrize("status", [200, 202])
@pytest.mark.parametrize("value", ["SUCCESS", "PENDING", "success"])
def test_the_body_of_an_accepted_command_is_a_receipt(status: int, value: str) -> None:
    answer = Answer(status, execution(value), request_id="r-1")

    assert judge_command(answer) == Receipt("r-1")


def test_an_error_in_the_body_outweighs_a_202() -> None:
    body = {"errors": [{"status": "409", "type": "VEHICLE_STATE", "code": "ASLEEP"}]}

    with pytest.raises(Asleep):
        judge_command(Answer(202, body))


def test_the_status_inside_the_body_outweighs_that_of_the_line() -> None:
    with pytest.raises(Unsupported):
        judge_command(Answer(202, {"errors": [{"status": "501"}]}))


@pytest.mark.parametrize(
    "body",
    [
        None,  # cut off, or no JSON
        {},
        [],
        execution("FAILURE"),
        execution("SOMETHING"),
        execution(None),
        {"errors": []},
    ],
)
def test_a_2xx_that_says_neither_yes_nor_no_is_unknown(body: object) -> None:
    with pytest.raises(OutcomeUnknown):
        judge_command(Answer(202, body))


def test_a_failure_with_its_reason_is_judged_by_it() -> None:
    error = {"type": "VEHICLE_STATE", "code": "FULLY_CHARGED"}

    with pytest.raises(NothingToDo):
        judge_command(Answer(202, execution("FAILURE", error=error)))


def test_a_flat_error_of_the_older_shape_is_understood() -> None:
    body = {"type": "RATE_LIMIT", "code": "VEHICLE", "statusCode": 429}

    with pytest.raises(TryLater) as caught:
        judge_command(Answer(429, body))

    assert caught.value.scope is Scope.VEHICLE


def test_a_code_cannot_spoil_a_log_line() -> None:
    with pytest.raises(ProviderError) as caught:
        judge_command(failed(400, type="VALIDATION", code="a\n\x1b[31m" + "x" * 900))

    assert caught.value.code.isprintable()
    assert len(caught.value.code) < 100


errors = st.fixed_dictionaries(
    {},
    optional={
        "status": st.one_of(json_values, st.sampled_from(["409", "502", "٣٣٣"])),
        "type": st.one_of(json_values, st.sampled_from(["VEHICLE_STATE", "BILLING"])),
        "code": json_values,
    },
)
bodies = st.one_of(
    st.fixed_dictionaries({"errors": st.lists(st.one_of(errors, json_values))}),
    json_values.map(lambda value: {"data": value}),
    json_values.map(execution),
    json_values,
)


@given(status=st.integers(100, 999), body=bodies, retry_after=st.text(), date=st.text())
def test_no_answer_raises_anything_but_the_family(
    status: int, body: object, retry_after: str, date: str
) -> None:
    answer = Answer(status, body, "r-1", retry_after, date)

    try:
        assert judge_command(answer) == Receipt("r-1")
    except ProviderError as error:
        assert error.code.isprintable()
