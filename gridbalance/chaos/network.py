"""Lines between processes that can be cut, hung and slowed: a small TCP proxy.

Every process of the stack reaches PostgreSQL, Valkey and the provider through a line of
its own, and so do the provider's webhooks reach the web process.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field

import uvloop

from gridbalance.embedded.stored import LOOPBACK

CHUNK_BYTES = 65_536
START_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a line suffers from."""

    kind: str  # cut: reset and refused; hang: nothing passes; delay: passes late
    seconds: float = 0.0  # of delay, for each piece of data and way


@dataclass
class Line:
    """One way from a caller to a server, through a port of ours."""

    name: str
    port: int
    server_port: int
    troubles: dict[int, Trouble] = field(default_factory=dict)
    flows: asyncio.Event = field(default_factory=asyncio.Event)
    ends: set[asyncio.StreamWriter] = field(default_factory=set)
    passed_bytes: int = 0

    def __post_init__(self) -> None:
        """Let everything pass."""
        self.flows.set()

    @property
    def is_cut(self) -> bool:
        return any(trouble.kind == "cut" for trouble in self.troubles.values())

    @property
    def delay_seconds(self) -> float:
        return max((trouble.seconds for trouble in self.troubles.values()), default=0.0)

    def obey(self) -> None:
        """Let the present troubles have their effect."""
        if any(trouble.kind == "hang" for trouble in self.troubles.values()):
            self.flows.clear()
        else:
            self.flows.set()
        if self.is_cut:
            for end in list(self.ends):
                end.transport.abort()

    async def carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one caller until either side ends."""
        if self.is_cut:
            writer.transport.abort()
            return
        self.ends.add(writer)
        upstream: asyncio.StreamWriter | None = None
        try:
            answers, upstream = await asyncio.open_connection(
                LOOPBACK, self.server_port
            )
            self.ends.add(upstream)
            pumps = [
                asyncio.create_task(self._pump(reader, upstream)),
                asyncio.create_task(self._pump(answers, writer)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            writer.transport.abort()  # nobody listens there
        finally:
            for end in (writer, upstream):
                if end is not None:
                    self.ends.discard(end)
                    end.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass data on. What a line held back arrives late, even from a caller gone."""
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self.flows.wait()
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                self.passed_bytes += len(data)
                writer.write(data)
                await writer.drain()


class Network:
    """All lines, in an event loop and a thread of their own."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._servers: list[asyncio.Server] = []
        self._thread.start()

    def lay(self, name: str, *, port: int, server_port: int) -> None:
        """Lay a line: who connects to `port` reaches `server_port`."""
        self._do(self._lay(name, port, server_port)).result(START_SECONDS)

    async def _lay(self, name: str, port: int, server_port: int) -> None:
        line = Line(name, port, server_port)
        self._servers.append(
            await asyncio.start_server(line.carry, LOOPBACK, port, limit=CHUNK_BYTES)
        )
        self.lines[name] = line

    def strike(self, number: int, names: Iterable[str], trouble: Trouble) -> None:
        """Let these lines suffer until the trouble of that number is relieved."""
        self._do(self._strike(number, list(names), trouble)).result(START_SECONDS)

    async def _strike(self, number: int, names: list[str], trouble: Trouble) -> None:
        for name in names:
            self.lines[name].troubles[number] = trouble
            self.lines[name].obey()

    def relieve(self, number: int | None = None) -> None:
        """End the trouble of that number, or all."""
        self._do(self._relieve(number)).result(START_SECONDS)

    async def _relieve(self, number: int | None) -> None:
        for line in self.lines.values():
            if number is None:
                line.troubles.clear()
            line.troubles.pop(number, None)  # type: ignore[arg-type]
            line.obey()

    def close(self) -> None:
        """Take all lines away."""
        self._do(self._close()).result(START_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_SECONDS)
        self._loop.close()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for line in self.lines.values():
            line.troubles = {0: Trouble("cut")}
            line.obey()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _do(self, coroutine: object) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)  # type: ignore[arg-type]
