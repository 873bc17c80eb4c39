"""Giving back from a sheet, against a provider on the wire and without a database.

None of these tests may touch the database: pytest-django would fail them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dispatch.safekeeping import journal, place, session, sheet
from dispatch.safekeeping.journal import Busy, End, Journal
from dispatch.safekeeping.place import Place
from dispatch.safekeeping.report import Found
from dispatch.safekeeping.session import MainLives, NothingThere
from dispatch.safekeeping.sheet import Calls, Give
from dispatch.safekeeping.store import StoreAway
from dispatch.safekeeping.takeover import AnotherGives
from fleets import clock
from tests.dispatch.safekeeping.conftest import KEY, head, sheet_of, stopped
from tests.fleets.simulator.conftest import Simulator
from tests.waiting import eventually

CHECKOUT = Path(__file__).resolve().parents[3]
PLENTY = Calls(capacity=1000, refill_per_minute=1000, left=0, vehicle_capacity=6)
NOTHING_THERE = "127.0.0.1:9"
Evening = Callable[..., Simulator]


@pytest.fixture
def keys(settings: Any, tmp_path: Path) -> None:
    settings.SAFEKEEPING_KEYS = KEY
    settings.SAFEKEEPING_URL = ""


def give_back(file: Path, **more: Any) -> Found:
    wishes: dict[str, Any] = {
        "calls_left": 0.0,
        "patience": timedelta(hours=3),
        "say": lambda line: None,
    }
    return session.give_back(session.find(file), **{**wishes, **more})


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def acted(simulator: Simulator, kind: str) -> Counter[str]:
    """Return how often each car did this."""
    calls = simulator.get("calls")["calls"]
    return Counter(
        call["vehicle"] for call in calls if call["kind"] == kind and call["acted"]
    )


def has_started(simulator: Simulator, count: int) -> bool:
    return sum(acted(simulator, "start").values()) >= count


@pytest.mark.usefixtures("keys")
def test_every_car_charges_again_and_a_reading_shows_it(
    evening: Evening, tmp_path: Path
) -> None:
    simulator = evening()
    cars = stopped(simulator, 5)
    file = written(tmp_path / "sheet", sheet_of(simulator, cars, calls=PLENTY))

    found = give_back(file)

    assert found.ends == {"restored": 5}
    assert found.is_complete
    assert all(simulator.car(car)["charging"] for car in cars)
    assert acted(simulator, "start") == Counter(car["id"] for car in cars)


@pytest.mark.usefixtures("keys")
def test_cars_that_need_nothing_are_left_alone(
    evening: Evening, tmp_path: Path
) -> None:
    simulator = evening()
    away, restarted = stopped(simulator, 2)
    file = written(
        tmp_path / "sheet", sheet_of(simulator, [away, restarted], calls=PLENTY)
    )
    simulator.patch(away, plugged_in=False)
    simulator.patch(restarted, charging=True)

    found = give_back(file)

    assert found.is_complete
    assert set(found.ends) <= {"drove off", "restored", "charges without us"}
    assert not acted(simulator, "start")


@pytest.mark.usefixtures("keys")
def test_a_limit_is_set_back_only_while_it_is_ours(
    evening: Evening, tmp_path: Path
) -> None:
    simulator = evening()
    ours, theirs = (
        simulator.add(make="TESLA", soc_percent=55.0, limit_percent=80.0)
        for _ in range(2)
    )
    for car in (ours, theirs):
        assert simulator.call(car, "set-limit", percent=50).status == 200
    simulator.patch(theirs, limit_percent=70.0)
    data = sheet_of(
        simulator, [ours, theirs], calls=PLENTY,
        give=Give.LIMIT, percent=80, our_percent=50,
    )  # fmt: skip

    found = give_back(written(tmp_path / "sheet", data))

    assert found.ends == {"restored": 1, "limit changed by somebody else": 1}
    assert simulator.car(ours)["limit_percent"] == 80.0
    assert simulator.car(theirs)["limit_percent"] == 70.0


@pytest.mark.usefixtures("keys")
def test_a_narrow_contract_is_never_overdrawn(evening: Evening, tmp_path: Path) -> None:
    simulator = evening(application_bucket=20, application_refill=4)
    cars = stopped(simulator, 10)
    calls = replace(PLENTY, capacity=20, refill_per_minute=4)
    file = written(tmp_path / "sheet", sheet_of(simulator, cars, calls=calls))

    found = give_back(file)

    assert found.ends == {"restored": 10}
    assert simulator.get("summary")["overdrawn"]["application"] == 0


@pytest.mark.usefixtures("keys")
def test_an_unknown_start_is_read_before_anything_else(
    evening: Evening, tmp_path: Path
) -> None:
    simulator = evening()
    cars = stopped(simulator, 1)
    simulator.put(
        f"cars/{cars[0]['id']}/faults",
        {"acts-but-times-out": 1, "calls": 1, "kinds": ["start"]},
    )
    file = written(tmp_path / "sheet", sheet_of(simulator, cars, calls=PLENTY))

    found = give_back(file)

    assert found.ends == {"restored": 1}
    assert acted(simulator, "start") == Counter({cars[0]["id"]: 1})


@pytest.mark.usefixtures("keys")
def test_a_car_that_nobody_can_reach_is_named(evening: Evening, tmp_path: Path) -> None:
    simulator = evening()
    cars = stopped(simulator, 2)
    simulator.patch(cars[0], remote_access=False)
    file = written(tmp_path / "sheet", sheet_of(simulator, cars, calls=PLENTY))

    found = give_back(file, patience=timedelta(minutes=30))

    assert found.ends == {"restored": 1, "not reached": 1}
    assert [(one.vehicle, one.end) for one in found.still_owed] == [
        (cars[0]["id"], "not reached")
    ]
    assert found.still_owed[0].reason


@pytest.mark.usefixtures("keys")
def test_the_journal_is_held_by_one(evening: Evening, tmp_path: Path) -> None:
    simulator = evening()
    file = written(
        tmp_path / "sheet", sheet_of(simulator, stopped(simulator, 1), calls=PLENTY)
    )
    other = Journal(tmp_path / "sheet.journal")

    with pytest.raises(Busy):
        give_back(file)
    other.close()


@pytest.mark.usefixtures("keys")
def test_a_journal_of_another_sheet_is_not_believed(
    evening: Evening, tmp_path: Path
) -> None:
    simulator = evening()
    data = sheet_of(simulator, stopped(simulator, 1), calls=PLENTY)
    file = written(tmp_path / "sheet", data)
    give_back(file)
    written(file, sheet_of(simulator, stopped(simulator, 1), calls=PLENTY))

    with pytest.raises(NothingThere, match="another sheet"):
        give_back(file)


def test_one_of_two_hosts_is_refused(
    evening: Evening, second_place: Place, tmp_path: Path
) -> None:
    simulator = evening()
    data = sheet_of(simulator, stopped(simulator, 1), calls=PLENTY)
    second_place.keep(data, written_real_at=clock.real_now(), most=5)
    second_place.begin(name_of_sheet="x", host="another", pid=1, at=clock.real_now())

    with pytest.raises(AnotherGives, match="another"):
        session.give_back(
            session.find(None), calls_left=0.0, patience=timedelta(hours=1),
            say=lambda line: None,
        )  # fmt: skip


def test_a_journal_of_an_earlier_second_place_is_not_believed(
    evening: Evening, second_place: Place, settings: Any, tmp_path: Path
) -> None:
    """Numbers of takeovers and of holds begin anew there; the cars are others."""
    simulator = evening()
    for folder in ("second", "third"):
        settings.SAFEKEEPING_URL = f"file://{tmp_path}/{folder}"
        there = place.of_settings()
        assert there is not None
        cars = stopped(simulator, 1)
        data = sheet_of(simulator, cars, calls=PLENTY)
        there.keep(data, written_real_at=clock.real_now(), most=5)

        session.give_back(
            session.find(None), calls_left=0.0, patience=timedelta(hours=1),
            say=lambda line: None,
        )  # fmt: skip

        assert simulator.car(cars[0])["charging"]


def test_what_the_second_place_was_away_for_is_handed_in_by_whoever_goes_on(
    evening: Evening, second_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = evening()
    data = sheet_of(simulator, stopped(simulator, 2), calls=PLENTY)
    second_place.keep(data, written_real_at=clock.real_now(), most=5)
    said: list[str] = []
    give = partial(
        session.give_back, calls_left=0.0, patience=timedelta(hours=1), say=said.append
    )

    def away(*args: Any, **more: Any) -> None:
        raise StoreAway("away")

    with monkeypatch.context() as while_away:
        while_away.setattr(Place, "write_lines", away)
        give(session.find(None))
    assert "safekeep learn --from" in said[-1]
    assert not list(second_place.lines([1]))
    give(session.find(None))

    told = journal.told(second_place.lines([1, 2]), longest_answer=timedelta())
    assert [car.end for car in told.values()] == [End.RESTORED] * 2
    assert [car.attempts for car in told.values()] == [1, 1]


def test_a_recalled_giving_ends_and_leaves_the_rest(
    evening: Evening, second_place: Place
) -> None:
    simulator = evening(application_bucket=20, application_refill=1, speed=60.0)
    calls = replace(PLENTY, capacity=20, refill_per_minute=1)
    data = sheet_of(simulator, stopped(simulator, 10), calls=calls)
    second_place.keep(data, written_real_at=clock.real_now(), most=5)

    def recall(line: str) -> None:
        for number in second_place.numbers():
            second_place.recall(number, at=clock.real_now())

    found = session.give_back(
        session.find(None), calls_left=0.0, patience=timedelta(hours=1), say=recall
    )

    assert found.recalled
    assert not found.is_complete
    assert list(second_place.lines([1]))[-1]["did"] == "ended"


def test_a_main_system_that_was_alive_just_now_is_left_to_itself(
    evening: Evening, second_place: Place, settings: Any
) -> None:
    simulator = evening()
    data = sheet_of(simulator, stopped(simulator, 1), calls=PLENTY)
    second_place.keep(data, written_real_at=clock.real_now(), most=5)
    source = session.find(None)

    session.refuse_if_alive(source, real_now=clock.real_now())
    with pytest.raises(MainLives):
        session.refuse_if_alive(source, real_now=source.sheet.head.alive_at)


def test_an_old_file_does_not_hide_that_the_main_system_lives(
    evening: Evening, second_place: Place, tmp_path: Path
) -> None:
    simulator = evening()
    old = sheet_of(simulator, stopped(simulator, 1), calls=PLENTY)
    file = written(tmp_path / "yesterday", old)
    now = clock.real_now()
    fresh = sheet.sealed(
        head(written_real_at=now, heartbeat_real_at=now), [], keys=[KEY]
    )
    second_place.keep(fresh, written_real_at=now, most=5)

    with pytest.raises(MainLives):
        session.refuse_if_alive(session.find(file), real_now=now)


def test_a_file_speaks_for_itself_where_the_second_place_is_away(
    evening: Evening, second_place: Place, settings: Any, tmp_path: Path
) -> None:
    simulator = evening()
    old = sheet_of(simulator, stopped(simulator, 1), calls=PLENTY)
    file = written(tmp_path / "yesterday", old)
    settings.SAFEKEEPING_URL = "s3://nowhere/x"
    settings.SAFEKEEPING_ENDPOINT = f"http://{NOTHING_THERE}"
    settings.SAFEKEEPING_ACCESS_KEY_ID = settings.SAFEKEEPING_SECRET_ACCESS_KEY = "x"
    settings.SAFEKEEPING_TIMEOUT_SECONDS = 2

    session.refuse_if_alive(session.find(file), real_now=clock.real_now())


# --- As a process of its own: no database, no Redis, and kills ---


@pytest.fixture
def command(evening: Evening, settings: Any, tmp_path: Path) -> Callable[..., Any]:
    """Return a starter of the command, on a host that has nothing but the provider."""

    def start(file: Path, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(  # noqa: S603  (our own command)
            [sys.executable, "manage.py", "give_back", "--from", str(file), *words],
            cwd=CHECKOUT,
            env={
                "PATH": os.environ["PATH"],
                "GRIDBALANCE_DATA_DIR": str(tmp_path / "data"),
                "DATABASE_URL": f"postgresql://nobody:x@{NOTHING_THERE}/nothing",
                "REDIS_URL": f"redis://{NOTHING_THERE}",
                "SAFEKEEPING_KEYS": KEY,
                "SMARTCAR_CLIENT_ID": settings.SMARTCAR_CLIENT_ID,
                "SMARTCAR_CLIENT_SECRET": settings.SMARTCAR_CLIENT_SECRET,
                "SMARTCAR_IAM_ORIGIN": settings.SMARTCAR_IAM_ORIGIN,
                "SMARTCAR_VEHICLE_ORIGIN": settings.SMARTCAR_VEHICLE_ORIGIN,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def test_a_kill_at_any_moment_costs_no_second_start(
    evening: Evening, command: Callable[..., Any], tmp_path: Path
) -> None:
    simulator = evening(speed=60.0)
    cars = stopped(simulator, 30)
    calls = replace(PLENTY, refill_per_minute=10)
    file = written(tmp_path / "sheet", sheet_of(simulator, cars, calls=calls))
    for started in (3, 12, 20):
        process = command(file)
        eventually(partial(has_started, simulator, started))
        process.send_signal(signal.SIGKILL)
        process.communicate()

    last = command(file, "--json")
    out, err = last.communicate(timeout=60)

    assert last.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["ends"] == {"restored": 30}
    assert acted(simulator, "start") == Counter(car["id"] for car in cars)


def test_a_dry_run_calls_nobody(
    evening: Evening, command: Callable[..., Any], tmp_path: Path
) -> None:
    simulator = evening()
    cars = stopped(simulator, 2)
    file = written(tmp_path / "sheet", sheet_of(simulator, cars, calls=PLENTY))
    before = simulator.get("calls")["last"]

    out, err = command(file, "--dry-run", "--json").communicate(timeout=30)

    assert json.loads(out.splitlines()[-1])["cars"] == 2, err
    assert simulator.get("calls")["last"] == before


def test_a_sheet_that_no_key_opens_is_refused(
    evening: Evening, command: Callable[..., Any], tmp_path: Path
) -> None:
    evening()
    process = command(written(tmp_path / "sheet", b"gridbalance sheet 1\nrubbish"))

    _, err = process.communicate(timeout=30)

    assert process.returncode == 1
    assert "None of SAFEKEEPING_KEYS opens this sheet, or it is not whole." in err


def test_a_stray_file_among_the_takeovers_counts_for_nothing(
    second_place: Place, tmp_path: Path
) -> None:
    now = clock.real_now()
    second_place.begin(name_of_sheet="x", host="another", pid=1, at=now)
    (one,) = (tmp_path / "second").rglob("000001")
    one.with_name("000001 (copy)").write_bytes(b"")

    assert second_place.numbers() == [1]
