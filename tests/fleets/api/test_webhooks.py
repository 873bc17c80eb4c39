"""The receiver: durable before it answers, in batches, whatever is thrown at it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection, connections
from pytest_django import Settings

from fleets.api import webhooks
from fleets.api.webhooks import LARGEST_BODY_BYTES, SMARTCAR_PATH, Receiver
from fleets.models import WebhookDelivery
from fleets.tasks import take_in

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "management-token"
NOW = datetime(2026, 1, 12, 17, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _key(settings: Settings) -> None:
    settings.SMARTCAR_MANAGEMENT_TOKEN = KEY


@pytest.fixture(autouse=True)
def woken(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return the tasks that were woken; none of them runs."""
    tasks: list[object] = []
    monkeypatch.setattr(webhooks, "wake", tasks.append)
    return tasks


def sign(body: bytes) -> str:
    return hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()


def message(event_id: str) -> bytes:
    return json.dumps(
        {
            "eventId": event_id,
            "eventType": "VEHICLE_STATE",
            "data": {"vehicle": {"id": "v-1"}, "signals": []},
        }
    ).encode()


async def post(
    receiver: Receiver,
    body: bytes,
    *,
    signature: str | None = None,
    path: str = SMARTCAR_PATH,
    method: str = "POST",
    pieces: int = 1,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> tuple[int, Any]:
    """Send one request as a server would; return the status and the content."""
    signed = sign(body) if signature is None else signature
    size = -(-len(body) // pieces) or 1
    parts = [body[i : i + size] for i in range(0, len(body), size)] or [b""]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(answer: dict[str, Any]) -> None:
        sent.append(answer)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(b"sc-signature", signed.encode("latin-1")), *headers],
    }
    await receiver(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    try:
        yield receiver
    finally:
        await receiver.close()


def run(work: Callable[[Receiver], Awaitable[Any]]) -> Any:
    """Let a receiver work in a loop of its own; close it afterwards."""

    async def main() -> Any:
        async with receiving() as receiver:
            return await work(receiver)

    return asyncio.run(main())


def test_a_signed_message_is_stored_as_it_came(
    set_clock: Callable[[datetime], None], woken: list[object]
) -> None:
    set_clock(NOW)
    body = message("e-1")

    assert run(lambda r: post(r, body, pieces=3)) == (200, {})

    stored = WebhookDelivery.objects.get()
    assert (stored.event_id, bytes(stored.body)) == ("e-1", body)
    assert (stored.received_at, stored.processed_at) == (NOW, None)
    assert woken == [take_in]


def test_a_message_that_comes_again_is_stored_once() -> None:
    async def work(receiver: Receiver) -> list[tuple[int, Any]]:
        twice = [post(receiver, message("e-1")) for _ in range(2)]
        together = await asyncio.gather(*twice)
        return [*together, await post(receiver, message("e-1"))]

    assert [status for status, _ in run(work)] == [200, 200, 200]
    assert WebhookDelivery.objects.count() == 1


def test_many_messages_at_once_are_one_statement(
    monkeypatch: pytest.MonkeyPatch, woken: list[object]
) -> None:
    sizes: list[int] = []
    insert = webhooks.Inbox._insert

    async def counted(self: webhooks.Inbox, batch: list[Any]) -> None:
        sizes.append(len(batch))
        await insert(self, batch)

    monkeypatch.setattr(webhooks.Inbox, "_insert", counted)

    async def work(receiver: Receiver) -> list[tuple[int, Any]]:
        posts = [post(receiver, message(f"e-{n}")) for n in range(200)]
        return list(await asyncio.gather(*posts))

    assert {status for status, _ in run(work)} == {200}
    assert WebhookDelivery.objects.count() == 200
    assert sizes == [200]
    assert len(woken) == 1


def test_it_answers_only_after_the_commit() -> None:
    async def work(receiver: Receiver) -> None:
        await post(receiver, message("e-1"))

    # seen from another connection as soon as the answer is there
    run(work)

    connection.close()
    assert WebhookDelivery.objects.filter(event_id="e-1").exists()


@pytest.mark.parametrize("signature", ["", "x", "ü" * 64, sign(b"another")])
def test_a_wrong_signature_stores_nothing(signature: str, woken: list[object]) -> None:
    status, _ = run(lambda r: post(r, message("e-1"), signature=signature))

    assert status == 401
    assert not WebhookDelivery.objects.exists()
    assert woken == []


def test_a_challenge_is_proven_without_a_signature() -> None:
    body = json.dumps({"eventType": "VERIFY", "data": {"challenge": "abc"}}).encode()

    answer = run(lambda r: post(r, body, signature=""))

    assert answer == (200, {"challenge": sign(b"abc")})
    assert not WebhookDelivery.objects.exists()


def test_a_challenge_cannot_be_used_to_sign_a_message() -> None:
    forged = message("e-1").decode()
    body = json.dumps({"eventType": "VERIFY", "data": {"challenge": forged}}).encode()

    assert run(lambda r: post(r, body, signature="")) == (400, {})


def test_a_signed_body_that_is_no_message_is_kept_for_a_person() -> None:
    assert run(lambda r: post(r, b"{")) == (200, {})

    assert WebhookDelivery.objects.get().event_id.startswith("sha256:")


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"x" * (LARGEST_BODY_BYTES + 1), ()),
        # refused before it is read
        (b"", ((b"content-length", b"99999999"),)),
    ],
)
def test_a_body_that_is_too_long_is_refused(
    body: bytes, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    status, _ = run(lambda r: post(r, body, pieces=4, headers=headers))

    assert status == 413


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        (SMARTCAR_PATH, "GET", 405),
        ("/webhooks/", "POST", 404),
        ("/webhooks/smartcar/x", "POST", 404),
    ],
)
def test_it_has_one_door(path: str, method: str, status: int) -> None:
    assert run(lambda r: post(r, b"", path=path, method=method))[0] == status


def test_a_sender_that_hangs_up_harms_nobody() -> None:
    async def work(receiver: Receiver) -> tuple[int, Any]:
        waiting = asyncio.create_task(post(receiver, message("gone")))
        await asyncio.sleep(0)
        waiting.cancel()
        return await post(receiver, message("e-1"))

    assert run(work)[0] == 200
    assert WebhookDelivery.objects.filter(event_id="e-1").exists()


@pytest.fixture
def _nowhere() -> Iterator[None]:
    where = connections["default"].settings_dict
    port, where["PORT"] = where["PORT"], 1
    yield
    where["PORT"] = port


@pytest.mark.usefixtures("_nowhere")
def test_without_a_database_it_asks_for_the_message_again() -> None:
    assert run(lambda r: post(r, message("e-1")))[0] == 503


def test_it_opens_a_new_connection_when_the_old_one_broke() -> None:
    async def work(receiver: Receiver) -> list[int]:
        first, _ = await post(receiver, message("e-1"))
        inbox = receiver._inbox_of_loop()
        assert inbox._connection is not None
        pid = inbox._connection.info.backend_pid
        await asyncio.to_thread(_terminate, pid)
        second, _ = await post(receiver, message("e-2"))
        third, _ = await post(receiver, message("e-2"))
        return [first, second, third]

    # the broken one costs one refusal; the provider's retry finds a new one
    assert run(work) == [200, 503, 200]
    assert WebhookDelivery.objects.count() == 2


def test_it_connects_with_the_options_of_every_other_connection() -> None:
    where = connections["default"].settings_dict

    async def work(receiver: Receiver) -> Any:
        await post(receiver, message("e-1"))
        inbox = receiver._inbox_of_loop()
        assert inbox._connection is not None
        return await (await inbox._connection.execute("show lock_timeout")).fetchone()

    with patch.dict(where["OPTIONS"], options="-c lock_timeout=1234"):
        assert run(work) == ("1234ms",)


def _terminate(pid: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("select pg_terminate_backend(%s, 5000)", [pid])
    connection.close()


def test_what_waits_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MOST_WAITING", 2)

    async def work(receiver: Receiver) -> list[int]:
        posts = [post(receiver, message(f"e-{n}")) for n in range(3)]
        return sorted(status for status, _ in await asyncio.gather(*posts))

    assert run(work) == [200, 200, 503]


def test_a_receiver_may_move_to_another_loop() -> None:
    receiver = Receiver()

    async def work(event_id: str) -> int:
        status, _ = await post(receiver, message(event_id))
        await receiver.close()
        return status

    assert [asyncio.run(work("e-1")), asyncio.run(work("e-2"))] == [200, 200]
