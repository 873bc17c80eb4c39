"""PostgreSQL and Valkey from their wheels, started for real."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from gridbalance import pids
from gridbalance.embedded import POSTGRES, VALKEY, Embedded, home, stored


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Embedded]:
    # A space, an accent and some depth: all of it happens in private homes.
    found = Embedded(tmp_path / "Chloé's folder" / ("d" * 100), fast=True)
    yield found
    found.remove()


def ask(servers: Embedded, question: str) -> str:
    with psycopg.connect(servers.addresses.database_url) as connection:
        row = connection.execute(question).fetchone()
    assert row is not None
    return str(row[0])


def test_both_answer_to_their_password_only(servers: Embedded) -> None:
    addresses = servers.start()

    assert ask(servers, "select 'yes'") == "yes"
    with redis.Redis.from_url(addresses.redis_url) as client:
        assert client.ping()
    password = stored.read(servers.data_dir).password
    with pytest.raises(psycopg.OperationalError, match="password authentication"):
        psycopg.connect(addresses.database_url.replace(password, "guessed"))
    with (
        redis.Redis.from_url(
            addresses.redis_url.replace(password, "guessed")
        ) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_the_database_keeps_time_and_text_as_we_expect(servers: Embedded) -> None:
    servers.start(POSTGRES)

    assert ask(servers, "show timezone") == "UTC"
    assert ask(servers, "show server_encoding") == "UTF8"
    assert ask(servers, "select upper('é')") == "É"
    assert ask(servers, "show server_version").startswith("18.")


def test_outside_of_tests_a_commit_is_on_the_disk(tmp_path: Path) -> None:
    servers = Embedded(tmp_path)
    servers.start(POSTGRES)
    try:
        settings = ("fsync", "synchronous_commit", "full_page_writes")
        assert {ask(servers, f"show {name}") for name in settings} == {"on"}
    finally:
        servers.remove()


def test_a_second_start_finds_them_running(servers: Embedded) -> None:
    servers.start()
    before = servers.find(POSTGRES), servers.find(VALKEY)

    other = Embedded(servers.data_dir, fast=True)
    other.start()

    assert None not in before
    assert (other.find(POSTGRES), other.find(VALKEY)) == before


def test_stopping_leaves_nothing_and_loses_nothing(servers: Embedded) -> None:
    addresses = servers.start()
    with psycopg.connect(addresses.database_url) as connection:
        connection.execute("create table kept as select 42 as answer")
    process = servers.find(POSTGRES)
    assert process is not None

    servers.stop()

    assert not pids.members(process)
    assert stored.is_free(stored.read(servers.data_dir).ports[POSTGRES])
    servers.start(POSTGRES)
    assert ask(servers, "select answer from kept") == "42"


# What may happen to a server, and how it comes back
@pytest.mark.parametrize(
    "happens",
    [
        # an orderly restart
        lambda servers: servers.restart(POSTGRES),
        # a crash: the pid file of the dead server is left behind
        lambda servers: servers.kill(POSTGRES),
        # a server whose record was lost is found again, not started twice
        lambda servers: servers._records_file.unlink(),
    ],
)
def test_it_comes_back_at_the_same_address(
    servers: Embedded, happens: Callable[[Embedded], None]
) -> None:
    addresses = servers.start(POSTGRES)

    happens(servers)

    assert servers.start(POSTGRES) == addresses
    assert ask(servers, "select 'back'") == "back"


def test_a_server_that_cannot_be_recorded_does_not_stay(
    servers: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as while_full:
        while_full.setattr(servers, "_record", full)
        with pytest.raises(OSError, match="No space"):
            servers.start(VALKEY)
    before = stored.read(servers.data_dir).ports[VALKEY]

    servers.start(VALKEY)

    assert stored.read(servers.data_dir).ports[VALKEY] == before


def test_a_pid_file_that_names_a_stranger_is_healed(servers: Embedded) -> None:
    servers.start(POSTGRES)
    pid_file = servers._home.folder / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().split("\n")
    servers.kill(POSTGRES)
    # The number went to somebody else: to us, who are alive for certain.
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))

    servers.start(POSTGRES)

    assert ask(servers, "select 'back'") == "back"


def test_a_taken_port_is_left_to_the_one_who_has_it(
    servers: Embedded, capsys: pytest.CaptureFixture[str]
) -> None:
    port = stored.read(servers.data_dir).ports[VALKEY]

    with socket.create_server((stored.LOOPBACK, port)):
        addresses = servers.start(VALKEY)

    assert f":{port}/" not in addresses.redis_url
    assert f"Port {port} is taken" in capsys.readouterr().err
    with redis.Redis.from_url(addresses.redis_url) as client:
        assert client.ping()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give rights away")
def test_as_root_an_ordinary_account_runs_them(servers: Embedded) -> None:
    private = servers.data_dir.parent
    private.mkdir(mode=0o700)

    servers.start()

    for name in (POSTGRES, VALKEY):
        process = servers.find(name)
        assert process is not None
        assert Path(f"/proc/{process.pid}").stat().st_uid != 0
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    folder = home.folder_of(servers.data_dir)
    assert folder.stat().st_uid == 0
    assert stat.S_IMODE((folder / "postgres").stat().st_mode) == 0o700


def test_no_password_is_in_a_list_of_processes(servers: Embedded) -> None:
    servers.start()

    password = stored.read(servers.data_dir).password.encode()
    for name in (POSTGRES, VALKEY):
        process = servers.find(name)
        assert process is not None
        proc = Path(f"/proc/{process.pid}")
        if proc.exists():
            assert password not in (proc / "cmdline").read_bytes()
