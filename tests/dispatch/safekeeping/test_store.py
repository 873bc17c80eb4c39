"""The second place as objects by name: the same for a folder and for S3."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from pytest_django import Settings

from dispatch.safekeeping.store import Store, StoreAway

SHORT_SECONDS = 0.3


class Bucket(BaseHTTPRequestHandler):
    """As much of S3 as a store needs: objects by key, listed, made once."""

    objects: dict[str, bytes]
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers["if-none-match"] == "*" and self.key in self.objects:
            self.answer(412)
            return
        self.objects[self.key] = body
        self.answer(200)

    def do_GET(self) -> None:
        if not self.key:
            self.answer(200, self.listing())
        elif self.key in self.objects:
            self.answer(200, self.objects[self.key])
        else:
            self.answer(404)

    def do_POST(self) -> None:
        """Delete many at once."""
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        keys = re.findall(r"<Key>([^<]+)</Key>", body)
        for key in keys:
            self.objects.pop(key, None)
        gone = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        self.answer(200, f"<DeleteResult>{gone}</DeleteResult>".encode())

    @property
    def key(self) -> str:
        _, _, rest = urlsplit(self.path).path.lstrip("/").partition("/")
        return unquote(rest)

    def listing(self) -> bytes:
        prefix = parse_qs(urlsplit(self.path).query).get("prefix", [""])[0]
        entries = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(body)}</Size>"
            "<LastModified>2026-01-12T17:00:00.000Z</LastModified></Contents>"
            for key, body in sorted(self.objects.items())
            if key.startswith(prefix)
        )
        return (
            "<ListBucketResult><IsTruncated>false</IsTruncated>"
            f"{entries}</ListBucketResult>"
        ).encode()

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("etag", '"1"')
        self.send_header("last-modified", "Mon, 12 Jan 2026 17:00:00 GMT")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keep silent."""


@pytest.fixture
def bucket(settings: Settings) -> Iterator[str]:
    """Return the address of a bucket on this machine."""
    handler = type("OneBucket", (Bucket,), {"objects": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    settings.SAFEKEEPING_ENDPOINT = f"http://127.0.0.1:{server.server_port}"
    settings.SAFEKEEPING_ACCESS_KEY_ID = "ada"
    settings.SAFEKEEPING_SECRET_ACCESS_KEY = "a secret"
    yield "s3://copies/utility"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return Store(f"file://{tmp_path}/with%20space", timeout_seconds=5)
    return Store(request.getfixturevalue("bucket"), timeout_seconds=5)


def test_what_was_put_is_there(store: Store) -> None:
    store.put("a/1", b"one")
    store.put("a/1", b"another")

    assert store.get("a/1") == b"another"
    assert store.get("a/2") is None


def test_a_name_is_made_once(store: Store) -> None:
    assert store.create("claims/1", b"mine")
    assert not store.create("claims/1", b"yours")

    assert store.get("claims/1") == b"mine"


def test_a_folder_lists_its_own_names_in_order(store: Store) -> None:
    for name in ("a/2", "a/10", "a/1", "b/1"):
        store.put(name, b"x")

    assert store.names("a") == ["1", "10", "2"]
    assert store.names("nothing") == []


def test_what_is_deleted_twice_is_gone_once(store: Store) -> None:
    store.put("a/1", b"x")

    store.delete(["a/1", "a/1"])

    assert store.names("a") == []


def test_a_draft_that_was_never_finished_is_not_there(tmp_path: Path) -> None:
    store = Store(f"file://{tmp_path}", timeout_seconds=5)
    store.put("a/1", b"whole")
    (tmp_path / "a" / "2#1").write_bytes(b"hal")

    assert store.names("a") == ["1"]


def test_an_address_of_neither_kind_is_refused() -> None:
    with pytest.raises(StoreAway, match="file:// or s3://"):
        Store("ftp://somewhere", timeout_seconds=5).names("a")


def test_a_store_that_nobody_answers_at_is_away(settings: Settings) -> None:
    settings.SAFEKEEPING_ENDPOINT = "http://127.0.0.1:9"
    settings.SAFEKEEPING_ACCESS_KEY_ID = settings.SAFEKEEPING_SECRET_ACCESS_KEY = "x"
    began = time.monotonic()

    with pytest.raises(StoreAway):
        Store("s3://copies", timeout_seconds=SHORT_SECONDS).put("a", b"x")

    assert time.monotonic() - began < 5


def test_a_mount_that_hangs_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hangs")  # reading it waits for a writer that never comes
    store = Store(f"file://{tmp_path}", timeout_seconds=SHORT_SECONDS)
    began = time.monotonic()

    with pytest.raises(StoreAway, match="no answer"):
        store.get("hangs")

    assert time.monotonic() - began < 5
    os.close(os.open(tmp_path / "hangs", os.O_RDWR))
