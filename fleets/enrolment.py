"""How cars come in and take part: connections, consent, withdrawal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from itertools import islice

import structlog
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from fleets import clock
from fleets.models import (
    Customer,
    Enrolment,
    EnrolmentStatus,
    Program,
    ProviderAccount,
    Vehicle,
    VehicleBucket,
)
from fleets.providers import makes
from fleets.providers.base import Connection, Provider, TokenStale
from fleets.signals import consent_ended, overnight_consent_changed

log = structlog.get_logger(__name__)

PROVIDER = "smartcar"
BATCH = 1000
CONTROL = "control_charge"  # without it, no command is taken


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a customer prefers; what is left out is the program's."""

    ready_by: tuple[time | None, ...] = ()  # local times, Monday first; 7 or none
    minimum_charge_percent: float | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """How many connections were seen, and how many cars of them were new."""

    seen: int = 0
    new: int = 0


def import_connections(provider: Provider, *, region: str, now: datetime) -> Imported:
    """Bring every connected car in, with its customer, account and abilities.

    May be repeated at any time: known cars get their make, model and abilities anew and
    keep the rest. Each batch is one transaction. Sync, with an event loop of its own;
    raises one of the provider's family.
    """
    try:
        return _import(provider, region, now)
    except TokenStale:
        provider.renew_token(clock.now())
        return _import(provider, region, now)


def bring_in(batch: Sequence[Connection], *, region: str, now: datetime) -> int:
    """Store one batch of connections; return how many cars are new."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            # One importer at a time, so no customer comes in twice.
            cursor.execute("select pg_advisory_xact_lock(hashtext('fleets.import'))")
        accounts = _accounts({c.key.user_id for c in batch}, now)
        by_id = {c.key.vehicle_id: c for c in batch}
        known = {
            vehicle.external_id: vehicle
            for vehicle in Vehicle.objects.filter(external_id__in=by_id)
        }
        cars = [_vehicle(c, accounts[c.key.user_id], region) for c in by_id.values()]
        for car in cars:
            before = known.get(car.external_id)
            if before is not None and before.account_id != car.account_id:
                # Consent belongs to a person: a car never changes hands in silence.
                log.warning("vehicle_under_two_accounts", vehicle_id=before.pk)
        Vehicle.objects.bulk_create(
            cars,
            update_conflicts=True,
            unique_fields=["external_id"],
            update_fields=[
                "make",
                "model",
                "year",
                "region",
                "can_stop",
                "can_start",
                "can_set_limit",
                "commands_from_soc_percent",
            ],
        )
        month = now.date().replace(day=1)
        VehicleBucket.objects.bulk_create(
            [VehicleBucket(vehicle=c, refilled_at=now, month=month) for c in cars],
            ignore_conflicts=True,
        )
    return len(cars) - len(known)


def enrol(
    vehicle: Vehicle,
    *,
    program: Program,
    consent_wording: str,
    consent_source: str,
    now: datetime,
    ready_by: Sequence[time | None] = (),
    minimum_charge_percent: float | None = None,
    overnight_consent_wording: str = "",
) -> Enrolment:
    """Record a customer's consent for one car; raise ValidationError.

    `consent_wording` is the version of the text agreed to, `consent_source` where that
    was; `ready_by` holds seven local times (None: the program's), Monday first, or
    nothing. A car takes part in one program at a time. `overnight_consent_wording` is
    the text agreed to for being managed overnight; empty: not agreed.
    """
    if len(ready_by) not in {0, 7}:
        raise ValidationError({"ready_by": "One time of day for each weekday."})
    enrolment = Enrolment(
        vehicle=vehicle,
        program=program,
        consented_at=now,
        consent_wording=consent_wording,
        consent_source=consent_source,
        ready_by=list(ready_by),
        minimum_charge_percent=minimum_charge_percent,
        overnight_consented_at=now if overnight_consent_wording else None,
        overnight_consent_wording=overnight_consent_wording,
    )
    with transaction.atomic():
        # Two clicks at once wait for one another here; the second one is refused.
        Vehicle.objects.select_for_update(no_key=True).get(pk=vehicle.pk)
        enrolment.full_clean()
        enrolment.save(force_insert=True)
    return enrolment


def enrol_all(
    wishes: Mapping[int, Wishes],
    *,
    program: Program,
    consent_wording: str,
    consent_source: str,
    now: datetime,
) -> int:
    """Record consents by vehicle id; return how many are new.

    A car that takes part already, in whatever program, stays as it is.
    """
    new = 0
    with transaction.atomic():
        for batch in _batches(sorted(wishes), BATCH):
            taken = set(
                Enrolment.objects.active()
                .filter(vehicle__in=batch)
                .values_list("vehicle_id", flat=True)
            )
            rows = [
                Enrolment(
                    vehicle_id=vehicle_id,
                    program=program,
                    consented_at=now,
                    consent_wording=consent_wording,
                    consent_source=consent_source,
                    ready_by=list(wishes[vehicle_id].ready_by),
                    minimum_charge_percent=wishes[vehicle_id].minimum_charge_percent,
                )
                for vehicle_id in batch
                if vehicle_id not in taken
            ]
            Enrolment.objects.bulk_create(rows, ignore_conflicts=True)
            new += len(rows)
    return new


def withdraw(enrolment: Enrolment, *, now: datetime) -> bool:
    """Take a consent back; False when it was back already.

    Listeners of `consent_ended` hear of it after the commit.
    """
    with transaction.atomic():
        changed = (
            Enrolment.objects.active()
            .filter(pk=enrolment.pk)
            .update(status=EnrolmentStatus.WITHDRAWN, withdrawn_at=now)
        )
        if changed:
            ids = [enrolment.pk]
            transaction.on_commit(
                lambda: consent_ended.send(sender=Enrolment, enrolment_ids=ids),
                robust=True,  # the row says it; a tick finds what a listener missed
            )
    enrolment.refresh_from_db(fields=["status", "withdrawn_at"])
    return changed == 1


def consent_overnight(
    enrolment: Enrolment, *, wording: str, source: str, actor: str, now: datetime
) -> bool:
    """Record a customer's consent to be managed overnight; raise ValidationError.

    False when it was on record in this wording already, or the customer has left.
    `source` is where it was given, `actor` who records it.
    """
    if not wording:
        raise ValidationError({"wording": "Say which text was agreed to."})
    return _change_overnight(
        enrolment, wording=wording, source=source, actor=actor, now=now
    )


def withdraw_overnight(
    enrolment: Enrolment, *, source: str, actor: str, now: datetime
) -> bool:
    """Take back the consent to be managed overnight alone; False when there is none.

    The car is due within its program's hours again.
    """
    return _change_overnight(enrolment, wording="", source=source, actor=actor, now=now)


def _change_overnight(
    enrolment: Enrolment, *, wording: str, source: str, actor: str, now: datetime
) -> bool:
    """Write what is agreed to now, and tell what was: the row forgets it."""
    with transaction.atomic():
        locked = (
            Enrolment.objects.active()
            .select_for_update(no_key=True)
            .filter(pk=enrolment.pk)
            .exclude(overnight_consent_wording=wording)
            .first()
        )
        if locked is None:
            return False
        was_wording = locked.overnight_consent_wording
        was_consented_at = locked.overnight_consented_at
        locked.overnight_consented_at = now if wording else None
        locked.overnight_consent_wording = wording
        locked.clean_fields()
        locked.save(
            update_fields=["overnight_consented_at", "overnight_consent_wording"]
        )
        overnight_consent_changed.send(
            Enrolment,
            enrolment=locked,
            was_wording=was_wording,
            was_consented_at=was_consented_at,
            source=source,
            actor=actor,
            now=now,
        )
    return True


def _import(provider: Provider, region: str, now: datetime) -> Imported:
    seen = new = 0
    for batch in _walk(provider):
        seen += len(batch)
        new += bring_in(batch, region=region, now=now)
    log.info("connections_imported", seen=seen, new=new)
    return Imported(seen, new)


def _walk(provider: Provider) -> Iterator[list[Connection]]:
    """Yield the connections in batches; the loop stands still while one is stored."""
    provider.fresh_token(clock.now())
    with asyncio.Runner() as runner:
        connections = provider.connections()
        while batch := runner.run(_take(connections, BATCH)):
            yield batch
            # A long walk outlives a token, so its age is looked at between batches.
            provider.fresh_token(clock.now())


async def _take(connections: AsyncIterator[Connection], limit: int) -> list[Connection]:
    taken: list[Connection] = []
    async for one in connections:
        taken.append(one)
        if len(taken) == limit:
            break
    return taken


def _accounts(user_ids: Iterable[str], now: datetime) -> dict[str, ProviderAccount]:
    """Return the accounts of these users; make those that are new."""
    wanted = set(user_ids)
    accounts = {
        account.external_id: account
        for account in ProviderAccount.objects.filter(
            provider=PROVIDER, external_id__in=wanted
        )
    }
    missing = sorted(wanted - accounts.keys())
    # The provider does not say names; the customer gives one when they sign up.
    customers = Customer.objects.bulk_create(
        [Customer(name=f"Customer {name[-8:]}", created_at=now) for name in missing]
    )
    for account in ProviderAccount.objects.bulk_create(
        [
            ProviderAccount(
                customer=customer,
                provider=PROVIDER,
                external_id=user_id,
                connected_at=now,
            )
            for user_id, customer in zip(missing, customers, strict=True)
        ]
    ):
        accounts[account.external_id] = account
    return accounts


def _vehicle(found: Connection, account: ProviderAccount, region: str) -> Vehicle:
    abilities = makes.abilities(found.make, region=region)
    # An empty list means that it was not told, not that nothing was granted.
    is_granted = not found.permissions or CONTROL in found.permissions
    return Vehicle(
        account=account,
        external_id=found.key.vehicle_id,
        make=found.make,
        model=found.model,
        year=found.year,
        region=region,
        can_stop=is_granted and abilities.can_stop,
        can_start=is_granted and abilities.can_start,
        can_set_limit=is_granted and abilities.can_set_limit,
        commands_from_soc_percent=abilities.commands_from_soc_percent,
    )


def _batches(ids: Iterable[int], size: int) -> Iterator[list[int]]:
    rest = iter(ids)
    while batch := list(islice(rest, size)):
        yield batch
