"""The process: one port for both faces, webhooks going out, the state kept."""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import signal
import time
from collections.abc import Callable
from datetime import timedelta

import uvloop
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError

from fleets.simulator import state, webhooks
from fleets.simulator.control import PREFIX, Control
from fleets.simulator.exchange import Answer, Request
from fleets.simulator.options import Options, read_options
from fleets.simulator.protocol import Connection, Numbers
from fleets.simulator.smartcar import Smartcar
from fleets.simulator.world import World, build_world

log = logging.getLogger(__name__)

TICK_SECONDS = 0.05  # real; calls let the world go on too
DELIVERIES_AT_ONCE = 64
VERIFY_EVERY_SECONDS = 1.0  # real: the receiver may be starting too
SAVE_EVERY_SECONDS = 3.0  # real
SAVE_SHARE = 0.05  # of the time at most goes into saving a large fleet


class Server:
    """Serves a world."""

    def __init__(self, options: Options) -> None:
        """Take up the world where it was left, or make a new one."""
        self.options = options
        self.world = load_or_build(options)
        self.address = ""
        self._smartcar = Smartcar(self.world)
        self._control = Control(self.world, save=self._save)
        self._connections: set[Connection] = set()
        self._deliveries: set[asyncio.Task[None]] = set()
        self._saved_at = 0.0
        self._save_pause_seconds = SAVE_EVERY_SECONDS

    async def serve(
        self, *, stopped: asyncio.Event, announce: Callable[[str], None]
    ) -> None:
        """Serve until told to stop, then keep the state."""
        loop = asyncio.get_running_loop()
        numbers = Numbers(secrets.token_hex(4))
        server = await loop.create_server(
            lambda: Connection(self._answer, numbers, self._connections),
            self.options.host,
            self.options.port,
            backlog=1024,
        )
        host, port = server.sockets[0].getsockname()[:2]
        self.address = f"http://{host}:{port}"
        announce(self._first_line())
        async with (
            ClientBuilder()
            .no_proxy()
            .timeout(timedelta(seconds=webhooks.TIMEOUT_SECONDS))
            .build() as client
        ):
            live = asyncio.create_task(self._live(client))
            verify = asyncio.create_task(self._verify(client))
            waiting = asyncio.create_task(stopped.wait())
            done, _ = await asyncio.wait(
                {live, verify, waiting}, return_when=asyncio.FIRST_COMPLETED
            )
            server.close()
            tasks = [live, verify, waiting, *self._deliveries]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for connection in list(self._connections):
            connection.close()
        await server.wait_closed()
        if self.options.state:
            self._save()
        for task in done - {waiting}:
            task.result()  # a task that ended by itself has failed

    def _answer(self, request: Request) -> Answer:
        if request.path.startswith(PREFIX):
            return self._control.answer(request)
        return self._smartcar.answer(request)

    def _first_line(self) -> str:
        world = self.world
        speed = world.timeline.speed
        return (
            f"Smartcar v3 simulator at {self.address}: {len(world.fleet.cars)} cars,"
            f" seed {self.options.seed}, speed {speed:g},"
            f" {world.timeline.simulated.isoformat(timespec='seconds')}"
        )

    async def _live(self, client: Client) -> None:
        """Let time pass, reports go out and the state be kept."""
        while True:
            now = self.world.advance()
            if self.world.webhooks.is_verified:
                room = DELIVERIES_AT_ONCE - len(self._deliveries)
                for number, delivery in self.world.webhooks.take_due(now, most=room):
                    task = asyncio.create_task(self._deliver(client, number, delivery))
                    self._deliveries.add(task)
                    task.add_done_callback(self._deliveries.discard)
            if self.options.state and time.monotonic() > (
                self._saved_at + self._save_pause_seconds
            ):
                self._save()
            # A queue that is longer than the room is worked off without a pause.
            is_busy = len(self._deliveries) >= DELIVERIES_AT_ONCE
            await asyncio.sleep(TICK_SECONDS / 10 if is_busy else TICK_SECONDS)

    async def _verify(self, client: Client) -> None:
        """Ask the receiver to prove itself whenever the webhook has changed."""
        hooks = self.world.webhooks
        while True:
            if hooks.url and not hooks.is_verified:
                url = hooks.url
                body, expected = hooks.challenge(self.world.advance())
                given = await _challenge(client, url, body)
                if given == expected and hooks.url == url:
                    hooks.is_verified = True
                    self.world.deliver_first()
            await asyncio.sleep(VERIFY_EVERY_SECONDS if hooks.url else TICK_SECONDS)

    async def _deliver(
        self, client: Client, number: int, delivery: webhooks.Delivery
    ) -> None:
        hooks = self.world.webhooks
        body = hooks.body(delivery, self.world.advance())
        was_taken = await _post(client, hooks.url, body, signature=hooks.sign(body))
        hooks.settled(number, self.world.advance(), was_taken=was_taken)

    def _save(self) -> str:
        if self.options.state is None:
            raise ValueError("there is no --state file")
        began_at = time.monotonic()
        self.world.advance()
        state.save(self.world, self.options.state)
        self._saved_at = time.monotonic()
        took_seconds = self._saved_at - began_at
        self._save_pause_seconds = max(SAVE_EVERY_SECONDS, took_seconds / SAVE_SHARE)
        return str(self.options.state)


def load_or_build(options: Options) -> World:
    """Return the saved world if there is one, else a new one."""
    gc.disable()  # nothing of a hundred thousand cars is garbage
    try:
        if options.state and options.state.exists():
            return state.load(options, options.state)
        return build_world(options)
    finally:
        gc.enable()
        gc.freeze()


def run(options: Options, *, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM."""

    async def serve() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        await Server(options).serve(stopped=stopped, announce=announce)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


def main(argv: list[str], *, announce: Callable[[str], None]) -> None:
    """Serve as a command line says."""
    run(read_options(argv), announce=announce)


async def _post(client: Client, url: str, body: bytes, *, signature: str) -> bool:
    """Deliver an event; return whether it was taken."""
    request = client.post(url).header("content-type", "application/json")
    try:
        response = await (
            request.header("sc-signature", signature).body_bytes(body).build().send()
        )
    except PyreqwestError:
        return False
    return response.status == 200


async def _challenge(client: Client, url: str, body: bytes) -> str:
    """Send a verification; return what the receiver answers, or nothing."""
    request = client.post(url).header("content-type", "application/json")
    try:
        response = await request.body_bytes(body).build().send()
        answer = await response.json()
    except (PyreqwestError, ValueError):
        return ""
    if response.status != 200 or not isinstance(answer, dict):
        return ""
    return str(answer.get("challenge", ""))
