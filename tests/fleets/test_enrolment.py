"""How cars come in, take part, and leave."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks

from fleets import enrolment
from fleets.enrolment import Imported, Wishes
from fleets.models import (
    Customer,
    Enrolment,
    EnrolmentStatus,
    Program,
    Vehicle,
    VehicleBucket,
)
from fleets.providers.base import Connection, Receipt, Report, TokenStale, VehicleKey
from fleets.signals import consent_ended

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 12, 17, 0, tzinfo=UTC)
ALL_DAYS = (time(7), None, time(6), None, None, time(9), time(9))


def connected(number: int, *, user: str = "", make: str = "TESLA") -> Connection:
    return Connection(
        key=VehicleKey(f"v-{number}", user or f"u-{number}"),
        make=make,
        model="Model",
        year=2023,
        permissions=frozenset({"control_charge", "read_charge"}),
    )


class Provider:
    """A provider that knows these connections, and whose token may be stale once."""

    def __init__(self, *connections: Connection, is_stale: bool = False) -> None:
        self.known = connections
        self.is_stale = is_stale

    def fresh_token(self, now: datetime) -> str:
        return "token"

    def renew_token(self, now: datetime) -> str:
        self.is_stale = False
        return "another"

    async def connections(self) -> AsyncIterator[Connection]:
        for number, one in enumerate(self.known):
            if self.is_stale and number == 1:
                raise TokenStale("AUTHENTICATION")
            yield one

    async def stop_charging(self, key: VehicleKey) -> Receipt:
        raise NotImplementedError

    start_charging = stop_charging

    async def set_charge_limit(self, key: VehicleKey, percent: int) -> Receipt:
        raise NotImplementedError

    async def read(self, key: VehicleKey) -> Report:
        raise NotImplementedError


@pytest.fixture
def ended() -> Iterator[list[list[int]]]:
    """Return what listeners of `consent_ended` were told."""
    calls: list[list[int]] = []

    def listen(enrolment_ids: list[int], **_: object) -> None:
        calls.append(enrolment_ids)

    consent_ended.connect(listen)
    yield calls
    consent_ended.disconnect(listen)


def bring_in(*connections: Connection, region: str = "US") -> Imported:
    return enrolment.import_connections(Provider(*connections), region=region, now=NOW)


def test_a_connection_becomes_customer_account_car_and_bucket() -> None:
    assert bring_in(connected(1, user="u-1"), connected(2, user="u-1")) == (
        Imported(seen=2, new=2)
    )

    car = Vehicle.objects.get(external_id="v-1")
    assert (car.make, car.year, car.account.external_id) == ("TESLA", 2023, "u-1")
    assert Customer.objects.count() == 1
    bucket = VehicleBucket.objects.get(vehicle=car)
    assert bucket.tokens == 0
    assert bucket.month == NOW.date().replace(day=1)


def test_importing_again_refreshes_cars_and_doubles_nothing() -> None:
    bring_in(connected(1, make="NISSAN"))
    Vehicle.objects.update(battery_kwh=40.0, is_charging=True)
    VehicleBucket.objects.update(tokens=3.0)

    assert bring_in(connected(1, make="TESLA"), connected(2)).new == 1

    car = Vehicle.objects.get(external_id="v-1")
    assert (car.make, car.can_stop) == ("TESLA", True)
    assert (car.battery_kwh, car.is_charging) == (40.0, True)
    assert VehicleBucket.objects.get(vehicle=car).tokens == 3.0
    assert Customer.objects.count() == 2


@pytest.mark.parametrize(
    ("make", "region", "can_stop", "from_soc"),
    [
        ("TESLA", "US", True, 0.0),
        # only START is offered there
        ("NISSAN", "US", False, 0.0),
        ("NISSAN", "EUROPE", True, 0.0),
        # answers commands from half full up
        ("CHEVROLET", "US", True, 50.0),
    ],
)
def test_abilities_come_from_make_and_region(
    make: str, region: str, can_stop: bool, from_soc: float
) -> None:
    bring_in(connected(1, make=make), region=region)

    car = Vehicle.objects.get()
    assert (car.can_stop, car.commands_from_soc_percent) == (can_stop, from_soc)


def test_a_car_whose_owner_granted_no_control_takes_no_command() -> None:
    key = VehicleKey("v-1", "u-1")
    bring_in(Connection(key, "TESLA", "Model", 2023, frozenset({"read_charge"})))

    car = Vehicle.objects.get()
    assert (car.can_stop, car.can_start, car.can_set_limit) == (False, False, False)


def test_a_car_never_changes_hands_in_silence() -> None:
    bring_in(connected(1, user="u-1"))

    bring_in(connected(1, user="u-2"))

    assert Vehicle.objects.get().account.external_id == "u-1"


def test_a_stale_token_costs_one_renewal_and_loses_nothing() -> None:
    provider = Provider(connected(1), connected(2), is_stale=True)

    got = enrolment.import_connections(provider, region="US", now=NOW)

    assert got.seen == 2
    assert Vehicle.objects.count() == 2


def test_a_fleet_comes_in_by_few_statements(
    django_assert_max_num_queries: DjangoAssertNumQueries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(enrolment, "BATCH", 100)

    with django_assert_max_num_queries(40):  # three batches of at most a dozen
        bring_in(*(connected(number) for number in range(250)))

    assert Vehicle.objects.count() == 250


def test_it_records_who_agreed_to_what_and_when(
    program: Program, make_vehicle: Callable[..., Vehicle]
) -> None:
    car = make_vehicle()

    made = enrolment.enrol(
        car,
        program=program,
        consent_wording="2026-01",
        consent_source="web",
        now=NOW,
        ready_by=ALL_DAYS,
        minimum_charge_percent=40.0,
    )

    made.refresh_from_db()
    assert made.status == EnrolmentStatus.ACTIVE
    assert (made.consented_at, made.consent_wording) == (NOW, "2026-01")
    assert made.ready_by == list(ALL_DAYS)


def test_the_night_takes_a_consent_of_its_own(
    program: Program, make_vehicle: Callable[..., Vehicle]
) -> None:
    asked: dict[str, Any] = {
        "program": program,
        "consent_wording": "2026-01",
        "consent_source": "web",
        "now": NOW,
    }

    plain = enrolment.enrol(make_vehicle(), **asked)
    managed = enrolment.enrol(
        make_vehicle(), **asked, overnight_consent_wording="night-1"
    )

    assert plain.overnight_consented_at is None
    assert managed.overnight_consented_at == NOW
    assert managed.overnight_consent_wording == "night-1"


def test_the_night_is_agreed_to_later_and_taken_back(
    program: Program, ada: Vehicle
) -> None:
    one = ada.enrolments.get()
    said: dict[str, Any] = {"source": "phone call", "actor": "carla", "now": NOW}

    assert enrolment.consent_overnight(one, wording="night-1", **said)
    assert not enrolment.consent_overnight(one, wording="night-1", **said)
    one.refresh_from_db()
    assert (one.overnight_consented_at, one.overnight_consent_wording) == (
        NOW, "night-1",
    )  # fmt: skip

    assert enrolment.withdraw_overnight(one, **said)
    assert not enrolment.withdraw_overnight(one, **said)
    one.refresh_from_db()
    assert (one.overnight_consented_at, one.overnight_consent_wording) == (None, "")
    assert one.status == "active"


@pytest.mark.parametrize("wording", ["", "n" * 51])
def test_the_night_is_not_agreed_to_without_a_wording(
    program: Program, ada: Vehicle, wording: str
) -> None:
    one = ada.enrolments.get()

    with pytest.raises(ValidationError):
        enrolment.consent_overnight(
            one, wording=wording, source="web", actor="ada", now=NOW
        )

    one.refresh_from_db()
    assert one.overnight_consented_at is None


def test_who_withdrew_agrees_to_no_night(program: Program, ben: Vehicle) -> None:
    one = ben.enrolments.get()

    assert not enrolment.consent_overnight(
        one, wording="night-1", source="web", actor="ben", now=NOW
    )


def test_consent_to_the_night_is_kept_with_what_was_agreed_to(
    program: Program, ada: Vehicle
) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        ada.enrolments.update(overnight_consented_at=NOW)


@pytest.mark.parametrize(
    ("ready_by", "minimum"),
    [((time(7),), None), (ALL_DAYS, 101.0), (ALL_DAYS, -1.0)],
)
def test_wrong_wishes_are_refused_by_name(
    program: Program,
    make_vehicle: Callable[..., Vehicle],
    ready_by: tuple[time | None, ...],
    minimum: float | None,
) -> None:
    with pytest.raises(ValidationError):
        enrolment.enrol(
            make_vehicle(),
            program=program,
            consent_wording="2026-01",
            consent_source="web",
            now=NOW,
            ready_by=ready_by,
            minimum_charge_percent=minimum,
        )


def test_a_car_takes_part_once(program: Program, ada: Vehicle) -> None:
    with pytest.raises(ValidationError):
        enrolment.enrol(
            ada,
            program=program,
            consent_wording="2026-01",
            consent_source="web",
            now=NOW,
        )


def test_a_car_may_come_back(program: Program, ben: Vehicle) -> None:
    enrolment.enrol(
        ben, program=program, consent_wording="2026-01", consent_source="web", now=NOW
    )

    assert ben.enrolments.filter(status=EnrolmentStatus.ACTIVE).count() == 1


def test_many_enrol_at_once_and_those_who_take_part_stay_as_they_are(
    program: Program, ada: Vehicle, make_vehicle: Callable[..., Vehicle]
) -> None:
    wishes = {make_vehicle().pk: Wishes(ALL_DAYS, 40.0) for _ in range(5)}
    wishes[ada.pk] = Wishes((), 90.0)

    new = enrolment.enrol_all(
        wishes,
        program=program,
        consent_wording="2026-01",
        consent_source="web",
        now=NOW,
    )

    assert new == 5
    assert ada.enrolments.get().minimum_charge_percent is None
    assert Enrolment.objects.filter(minimum_charge_percent=40.0).count() == 5


def test_a_withdrawal_is_told_after_the_commit(
    ada: Vehicle,
    ended: list[list[int]],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    mine = ada.enrolments.get()

    with django_capture_on_commit_callbacks() as callbacks:
        assert enrolment.withdraw(mine, now=NOW)
    assert ended == []
    for callback in callbacks:
        callback()

    assert (mine.status, mine.withdrawn_at) == (EnrolmentStatus.WITHDRAWN, NOW)
    assert ended == [[mine.pk]]


def test_the_second_withdrawal_changes_nothing(ada: Vehicle) -> None:
    mine = ada.enrolments.get()
    enrolment.withdraw(mine, now=NOW)

    assert not enrolment.withdraw(mine, now=NOW + timedelta(hours=1))
    assert mine.withdrawn_at == NOW


def test_a_program_keeps_time_by_a_zone_that_exists(program: Program) -> None:
    program.time_zone = "Mars/X"

    with pytest.raises(ValidationError, match="Mars/X is no time zone"):
        program.full_clean()
