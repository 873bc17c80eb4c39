"""Measure how many calls a second the simulator answers on one core.

    python -m tests.bench.simulator_calls [--cars 2000] [--seconds 5]

A process of its own serves; this one calls it with one pyreqwest client.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import cycle

import uvloop
from pyreqwest.client import Client, ClientBuilder

CALLS_AT_ONCE = 64
ENDLESS = "1000000000"
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
FLAGS = (
    "--port=0",
    "--start=2026-11-23T19:00",
    f"--application-bucket={ENDLESS}",
    "--vehicle-bucket=0",
    f"--monthly-calls={ENDLESS}",
)


def main() -> None:
    """Print one object with the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cars", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=5.0)
    wanted = parser.parse_args()
    command = [sys.executable, "manage.py", "simulator", *FLAGS]
    began_at = time.monotonic()
    with subprocess.Popen(  # noqa: S603 - our own command
        [*command, f"--vehicles={wanted.cars}"], stdout=subprocess.PIPE, text=True
    ) as simulator:
        assert simulator.stdout is not None
        line = simulator.stdout.readline()
        started_seconds = time.monotonic() - began_at
        origin = line.split(" at ")[1].split(": ")[0]
        try:
            figures = uvloop.run(_measure(origin, simulator.pid, wanted.seconds))
        finally:
            simulator.terminate()
    figures = {"cars": wanted.cars, "start_seconds": started_seconds, **figures}
    sys.stdout.write(
        json.dumps({name: round(figure, 2) for name, figure in figures.items()}) + "\n"
    )


async def _measure(origin: str, pid: int, seconds: float) -> dict[str, float]:
    async with ClientBuilder().no_proxy().build() as client:
        token = await _token(client, origin)
        response = await client.get(f"{origin}/_sim/cars").build().send()
        cars = (await response.json())["cars"]
        figures = {}
        for kind in ("stop", "signals"):
            calls = cycle([_path(car, kind) for car in cars])
            before_seconds = _cpu_seconds(pid)
            began_at = time.monotonic()
            ends_at = began_at + seconds / 2
            counts = await asyncio.gather(
                *(
                    _call(client, origin, token, kind, calls, ends_at)
                    for _ in range(CALLS_AT_ONCE)
                )
            )
            took_seconds = time.monotonic() - began_at
            busy_seconds = _cpu_seconds(pid) - before_seconds
            figures[f"{kind}_per_second"] = sum(counts) / took_seconds
            figures[f"{kind}_per_core_second"] = sum(counts) / busy_seconds
    return figures


async def _token(client: Client, origin: str) -> str:
    body = {
        "grant_type": "client_credentials",
        "client_id": "gridbalance",
        "client_secret": "gridbalance-secret",
    }
    request = client.post(f"{origin}/oauth2/token").body_json(body)
    token = (await (await request.build().send()).json())["access_token"]
    return str(token)


def _path(car: dict[str, str], kind: str) -> tuple[str, str]:
    commands = "commands/charge/" if kind == "stop" else ""
    return f"/v3/vehicles/{car['id']}/{commands}{kind}", car["user"]


async def _call(
    client: Client,
    origin: str,
    token: str,
    kind: str,
    calls: Iterator[tuple[str, str]],
    ends_at: float,
) -> int:
    method = "POST" if kind == "stop" else "GET"
    count = 0
    while time.monotonic() < ends_at:
        path, user = next(calls)
        request = client.request(method, origin + path)
        request = request.bearer_auth(token).header("sc-user-id", user)
        response = await request.build().send()
        await response.bytes()
        count += 1
    return count


def _cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used; Linux tells it."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        values = file.read().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / CLOCK_TICKS


if __name__ == "__main__":
    main()
