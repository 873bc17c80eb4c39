"""Moving an envelope's bounds takes two people, both in the audit trail.

A program's or a feeder's rules for giving back move load as well, so they are bounds of
its envelope here. This is the only code that writes any of them: pages, back office and
REST have no other way. What an envelope has before its first change is the
installation's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime

from django.db import transaction

from dispatch import audit
from dispatch.event_rules import (
    MOST_KW,
    Finding,
    Invalid,
    NotAllowed,
    Stale,
    WrongMoment,
)
from dispatch.lifecycle import EnvelopeChangeStatus
from dispatch.models import Envelope, EnvelopeChange
from fleets.models import Feeder, Program, User

Values = Mapping[str, float | int | None]

# By column, in words.
ENVELOPE_BOUNDS = {
    "max_kw": "Holding, kW",
    "max_cars": "Holding, cars",
    "max_kw_per_minute": "Holding, kW a minute",
    "restoring_max_kw": "Giving back, kW",
    "restoring_max_cars": "Giving back, cars",
    "restoring_max_kw_per_minute": "Giving back, kW a minute",
}
PROGRAM_BOUNDS = {
    "restore_cap_kw": "Restore cap, kW of its charging cars",
    "restore_ramp_kw_per_minute": "Restore ramp, kW a minute",
    "pick_up_ramp_kw_per_minute": "Pick-up ramp after an outage, kW a minute",
    "max_holds_per_day": "Holds per car and day",
}
FEEDER_BOUNDS = {
    "restore_cap_kw": "Restore cap, kW of all cars that charge on it",
    "restore_ramp_kw_per_minute": "Restore ramp, kW a minute",
}
WHOLE = ("max_cars", "restoring_max_cars", "max_holds_per_day")
# What no number means, where there may be none.
OF_HOLDING = dict.fromkeys(
    ("restoring_max_kw", "restoring_max_cars", "restoring_max_kw_per_minute"),
    "as for holding",
)
MOST_CARS = 10_000_000
MOST_HOLDS_PER_DAY = 24


def bounds_of(envelope: Envelope) -> dict[str, float | int | None]:
    """Return an envelope's bounds by name, with its program's or its feeder's."""
    bounds = {name: getattr(envelope, name) for name in ENVELOPE_BOUNDS}
    return bounds | {name: getattr(envelope.of, name) for name in _own_words(envelope)}


def words_of(envelope: Envelope) -> dict[str, str]:
    """Return the names of an envelope's bounds in words."""
    return ENVELOPE_BOUNDS | _own_words(envelope)


def may_be_empty(envelope: Envelope) -> dict[str, str]:
    """Return what no number means, for the bounds that need none."""
    if envelope.program is not None:
        return OF_HOLDING | {"restore_cap_kw": "the lowest that gives all back in time"}
    if envelope.feeder is not None:
        return OF_HOLDING | dict.fromkeys(FEEDER_BOUNDS, "no bound of its own")
    return OF_HOLDING


def _own_words(envelope: Envelope) -> dict[str, str]:
    """Return the names of what stands with its program or feeder."""
    if envelope.program is not None:
        return PROGRAM_BOUNDS
    return {} if envelope.feeder is None else FEEDER_BOUNDS


def propose(
    envelope: Envelope, values: Values, *, proposer: User, why: str, now: datetime
) -> EnvelopeChange:
    """Write down what the bounds are to be; nothing moves until a second agrees."""
    with transaction.atomic():
        locked = _lock(envelope)
        before = bounds_of(locked)
        findings = list(_findings(locked, values))
        if not findings and all(
            before[name] == value for name, value in values.items()
        ):
            findings.append(Finding("", "same", "This changes nothing."))
        if findings:
            raise Invalid(findings)
        change = EnvelopeChange.objects.create(
            envelope=locked,
            before=before,
            after=before | dict(values),
            why=why,
            proposed_by=proposer,
            proposed_at=now,
        )
        EnvelopeChange.objects.all().record([(change.pk, "")], change.status, now=now)
        _tell("propose envelope change", change, proposer, now, why)
    return change


def approve(
    change: EnvelopeChange, *, approver: User, why: str, now: datetime
) -> EnvelopeChange:
    """Let proposed bounds hold from now on.

    1. Lock the envelope, then the proposal: two approvers come one after the other.
    2. Refuse the proposer's own hand.
    3. Refuse what was proposed on other bounds than those of now: nobody judged that.
    4. Write the bounds; proposals beside it are overtaken with that.
    """
    with transaction.atomic():
        envelope = _lock(change.envelope)
        locked = _open(change)
        if locked.proposed_by_id == approver.pk:
            raise NotAllowed("Whoever proposed a change cannot approve it.")
        stale = locked.before != bounds_of(envelope)
        if stale:
            _overtake(envelope, now=now)
        else:
            _apply(envelope, locked)
            _decide(locked, EnvelopeChangeStatus.APPROVED, approver, now, why)
            _tell("approve envelope change", locked, approver, now, why)
            _overtake(envelope, now=now)
    if stale:
        raise Stale("The bounds changed since this was proposed: propose it anew.")
    return locked


def refuse(
    change: EnvelopeChange, *, approver: User, why: str, now: datetime
) -> EnvelopeChange:
    """Turn a proposal down; the bounds stay."""
    with transaction.atomic():
        _lock(change.envelope)
        locked = _open(change)
        _decide(locked, EnvelopeChangeStatus.REFUSED, approver, now, why)
        _tell("refuse envelope change", locked, approver, now, why)
    return locked


def withdraw(
    change: EnvelopeChange, *, proposer: User, why: str, now: datetime
) -> EnvelopeChange:
    """Take one's own proposal back."""
    with transaction.atomic():
        _lock(change.envelope)
        locked = _open(change)
        if locked.proposed_by_id != proposer.pk:
            raise NotAllowed("Only whoever proposed a change can withdraw it.")
        _decide(locked, EnvelopeChangeStatus.WITHDRAWN, proposer, now, why)
        _tell("withdraw envelope change", locked, proposer, now, why)
    return locked


def _lock(envelope: Envelope) -> Envelope:
    return (
        Envelope.objects.select_related("program", "feeder")
        .select_for_update(no_key=True, of=("self",))
        .get(pk=envelope.pk)
    )


def _open(change: EnvelopeChange) -> EnvelopeChange:
    """Return the proposal as it is now, locked; raise unless it waits."""
    locked = EnvelopeChange.objects.select_for_update(no_key=True, of=("self",)).get(
        pk=change.pk
    )
    if locked.status != EnvelopeChangeStatus.PROPOSED:
        raise WrongMoment(f"The proposal is {locked.status} already.")
    return locked


def _decide(
    change: EnvelopeChange, to: str, person: User, now: datetime, why: str
) -> None:
    EnvelopeChange.objects.filter(pk=change.pk).move(
        to, now=now, reason=why, decided_by=person, decided_at=now, decision=why[:200]
    )
    change.refresh_from_db()


def _overtake(envelope: Envelope, *, now: datetime) -> None:
    """Close the proposals that were written on bounds that hold no more."""
    EnvelopeChange.objects.filter(envelope=envelope).exclude(
        before=bounds_of(_lock(envelope))
    ).move(
        EnvelopeChangeStatus.OVERTAKEN,
        now=now,
        reason="the bounds changed meanwhile",
        decided_at=now,
    )


def _apply(envelope: Envelope, change: EnvelopeChange) -> None:
    """Write the bounds, and no other column."""
    Envelope.objects.filter(pk=envelope.pk).update(
        **{name: change.after[name] for name in ENVELOPE_BOUNDS}
    )
    if envelope.program_id is not None:
        Program.objects.filter(pk=envelope.program_id).update(
            **{name: change.after[name] for name in PROGRAM_BOUNDS}
        )
    if envelope.feeder_id is not None:
        Feeder.objects.filter(pk=envelope.feeder_id).update(
            **{name: change.after[name] for name in FEEDER_BOUNDS}
        )


def _findings(envelope: Envelope, values: Values) -> Iterator[Finding]:
    words, optional = words_of(envelope), may_be_empty(envelope)
    for name, value in values.items():
        if name not in words:
            yield Finding(name, "unknown", f"This envelope has no {name}.")
        elif value is None:
            if name not in optional:
                yield Finding(name, "required", "A number is needed.")
        elif not math.isfinite(value) or value <= 0:
            yield Finding(name, "not_positive", "It must be above 0.")
        elif name in WHOLE and value != int(value):
            yield Finding(name, "not_whole", "It must be a whole number.")
        elif value > _most(name):
            yield Finding(
                name, "enormous", f"More than {_most(name):g}: a typing error?"
            )


def _most(name: str) -> float:
    if name == "max_holds_per_day":
        return MOST_HOLDS_PER_DAY
    return MOST_CARS if name in WHOLE else MOST_KW


def _tell(
    act: str, change: EnvelopeChange, person: User, now: datetime, why: str
) -> None:
    changed = [
        name for name in change.after if change.after[name] != change.before[name]
    ]
    audit.write(
        act,
        subject=audit.scope_of(change.envelope.program, change.envelope.feeder),
        actor=person.get_username(),
        now=now,
        why=why,
        change=change.pk,
        before={name: change.before[name] for name in changed},
        after={name: change.after[name] for name in changed},
    )
