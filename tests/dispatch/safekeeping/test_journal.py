"""Whoever reads a journal anew comes to the same progress."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from dispatch.lifecycle import CommandStatus
from dispatch.safekeeping import journal
from dispatch.safekeeping.journal import Busy, End, Journal, Progress
from tests.factories import NOW

LONGEST = timedelta(seconds=310)
ACCEPTED = {
    "status": "accepted", "code": "", "request": "r-1", "landed": True, "wait": 360.0,
}  # fmt: skip


def told(path: Path, **more: object) -> dict[int, Progress]:
    reader = Journal(path)
    reader.close()
    return journal.told(reader.lines, longest_answer=LONGEST)


def test_it_tells_again_what_was_done(tmp_path: Path) -> None:
    written = Journal(tmp_path / "j")
    written.add("send", at=NOW, hold=1)
    written.add("answer", at=NOW + timedelta(seconds=2), hold=1, **ACCEPTED)
    written.add("close", at=NOW + timedelta(hours=1), hold=1, end="restored", reason="")
    written.close()

    progress = told(tmp_path / "j")[1]

    assert progress.command == CommandStatus.ACCEPTED
    assert progress.answered_at == NOW + timedelta(seconds=2)
    assert progress.attempts == 1
    assert progress.end is End.RESTORED


def test_a_call_that_nobody_wrote_an_answer_for_may_land_late(tmp_path: Path) -> None:
    written = Journal(tmp_path / "j")
    written.add("send", at=NOW, hold=1)
    written.close()

    progress = told(tmp_path / "j")[1]

    assert progress.command == CommandStatus.UNKNOWN
    assert progress.may_have_landed
    assert progress.answered_at == progress.due_at == NOW + LONGEST


def test_a_line_that_a_kill_tore_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "j"
    written = Journal(path)
    written.add("send", at=NOW, hold=1)
    written.close()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"run": 0, "seq": 2, "at"')

    again = Journal(path)
    again.add("send", at=NOW, hold=2)
    again.close()

    assert path.read_bytes().startswith(whole + b'{"run": 0, "seq": 2, "at": "2026')
    assert set(told(path)) == {1, 2}


def test_what_was_not_forced_to_disk_is_not_there(tmp_path: Path) -> None:
    written = Journal(tmp_path / "j")
    written.add("send", at=NOW, hold=1)

    assert (tmp_path / "j").read_bytes() == b""
    assert [line["hold"] for line in written.flush()] == [1]
    assert (tmp_path / "j").read_bytes() != b""
    written.close()


def test_two_processes_cannot_have_it_at_once(tmp_path: Path) -> None:
    first = Journal(tmp_path / "j")

    with pytest.raises(Busy):
        Journal(tmp_path / "j")
    first.close()
    Journal(tmp_path / "j").close()


def test_lines_of_two_hosts_count_once_and_in_order(tmp_path: Path) -> None:
    here = Journal(tmp_path / "here")
    here.go_on(1, [])
    first = here.add("send", at=NOW, hold=1)
    here.close()
    there = Journal(tmp_path / "there")
    there.go_on(2, [first])
    second = there.add("answer", at=NOW, hold=1, **ACCEPTED)
    there.close()

    cars = journal.told([second, first, first], longest_answer=LONGEST)

    assert second["seq"] > first["seq"]
    assert cars[1].attempts == 1
    assert cars[1].command == CommandStatus.ACCEPTED


def test_it_begins_where_the_main_system_was() -> None:
    before = Progress(command=CommandStatus.ACCEPTED, answered_at=NOW)

    cars = journal.told([], longest_answer=LONGEST, before={7: before})

    assert cars == {7: before}
