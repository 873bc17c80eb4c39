"""The system's Chromium and a web process of its own, on the test database."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from fleets.models import User

CHROMIUM = next(
    filter(
        None,
        map(
            shutil.which,
            ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
        ),
    ),
    None,
)
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
START_SECONDS = 30


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    if CHROMIUM is None:
        reason = "no Chromium on this machine: `apt-get install chromium` brings one"
        for item in items:
            if here in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


@dataclass
class Site:
    """A web process as in production, but for its database."""

    address: str
    process: subprocess.Popen[bytes] | None = None
    port: int = 0

    def start(self) -> None:
        """Start it, and return when it answers."""
        self.process = subprocess.Popen(  # noqa: S603
            [
                sys.executable, "-m", "uvicorn", "gridbalance.asgi:application",
                "--port", str(self.port), "--log-level", "error",
                "--timeout-graceful-shutdown", "1",
            ],
            env={**os.environ, "DATABASE_URL": database_url()},
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(  # noqa: S310
                    f"{self.address}/login/", timeout=5
                ) as answer:
                    answer.read()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        """End it as a crash would: streams break off in the middle."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=10)
            self.process = None


def database_url() -> str:
    """Return the address of the test database."""
    of = connection.settings_dict
    who = f"{quote(of['USER'])}:{quote(of['PASSWORD'])}"
    return f"postgresql://{who}@{of['HOST']}:{of['PORT']}/{of['NAME']}"


@pytest.fixture
def site(transactional_db: None) -> Iterator[Site]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = Site(f"http://127.0.0.1:{port}", port=port)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Playwright keeps a loop in this thread, and Django asks whether it is one.
        before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()
        if before is None:
            del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@dataclass
class Window:
    """A person's browser window, and all that it complained about."""

    page: Page
    complaints: list[str] = field(default_factory=list)


@pytest.fixture
def open_window(browser: Browser, site: Site) -> Iterator[Callable[..., Window]]:
    """Return a function that opens the live page for somebody who is signed in."""
    contexts: list[BrowserContext] = []

    def make(user: User, **values: Any) -> Window:
        client = Client()
        client.force_login(user)
        context = browser.new_context(**values)
        contexts.append(context)
        name = settings.SESSION_COOKIE_NAME
        context.add_cookies(
            [{"name": name, "value": client.cookies[name].value, "url": site.address}]
        )
        window = Window(context.new_page())
        window.page.on(
            "console",
            lambda message: (
                window.complaints.append(message.text)
                if message.type in {"error", "warning"}
                else None
            ),
        )
        window.page.on("pageerror", lambda error: window.complaints.append(str(error)))
        window.page.clock.install()
        window.page.goto(f"{site.address}/")
        return window

    yield make
    for context in contexts:
        context.close()
