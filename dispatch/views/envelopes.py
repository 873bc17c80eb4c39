"""The doors to the envelopes: look, propose, and let a second person decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from dispatch import audit, envelope_changes
from dispatch.forms import BoundsForm, EnvelopeOfForm, WhyForm
from dispatch.lifecycle import EnvelopeChangeStatus
from dispatch.models import Envelope, EnvelopeChange
from dispatch.views import confirm, done, let_watch
from fleets import clock
from fleets.models import User

# Decided ones that the page still shows.
DECIDED_SHOWN = 10


@dataclass(frozen=True)
class Line:
    """One bound in words."""

    name: str
    value: str
    wanted: str = ""


@dataclass(frozen=True)
class Proposal:
    """One change as the page tells it."""

    change: EnvelopeChange
    of: str
    lines: tuple[Line, ...]
    is_mine: bool


@dataclass(frozen=True)
class Bounds:
    """One envelope as the page tells it."""

    envelope: Envelope
    of: str
    lines: tuple[Line, ...]


@login_required
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """Show every envelope, what waits for a second person, and what was decided."""
    let_watch(request)
    rows = Envelope.objects.select_related("program", "feeder").order_by(
        "feeder__code", "program__name"
    )
    changes = EnvelopeChange.objects.select_related(
        "envelope__program", "envelope__feeder", "proposed_by", "decided_by"
    )
    waiting = changes.filter(status=EnvelopeChangeStatus.PROPOSED).order_by("id")
    decided = changes.exclude(status=EnvelopeChangeStatus.PROPOSED)
    return render(
        request,
        "dispatch/envelopes.html",
        {
            "envelopes": [Bounds(row, _of(row), _bounds(row)) for row in rows],
            "waiting": [_proposal(request, change) for change in waiting],
            "decided": [
                _proposal(request, change)
                for change in decided.order_by("-decided_at", "-id")[:DECIDED_SHOWN]
            ],
            "may_propose": _may(request, "propose"),
            "may_approve": _may(request, "approve"),
            "of_form": EnvelopeOfForm(),
            "sheets": ("css/envelopes.css",),
        },
    )


@login_required
@require_http_methods(["POST"])
def make(request: HttpRequest) -> HttpResponse:
    """Give a program or a feeder an envelope as the installation's settings say.

    It bounds what nothing bounded, so one person may.
    """
    _let(request, "propose")
    form = EnvelopeOfForm(request.POST)
    if not form.is_valid():
        return redirect("envelopes")
    program, feeder = form.cleaned_data["program"], form.cleaned_data["feeder"]
    with transaction.atomic():
        row = Envelope.objects.of(program, feeder=feeder)
        audit.write(
            "make envelope",
            subject=audit.scope_of(program, feeder),
            actor=request.user.get_username(),
            now=clock.now(),
        )
    return redirect("propose-bounds", row.pk)


@login_required
@require_http_methods(["GET", "POST"])
def propose(request: HttpRequest, envelope_id: int) -> HttpResponse:
    """Take down what the bounds are to be."""
    _let(request, "propose")
    row = get_object_or_404(
        Envelope.objects.select_related("program", "feeder"), pk=envelope_id
    )
    form = BoundsForm(request.POST or None, envelope=row)
    if request.method == "POST" and form.is_valid():
        return done(
            request,
            lambda: envelope_changes.propose(
                row,
                form.bounds(),
                proposer=_person(request),
                why=form.cleaned_data["why"],
                now=clock.now(),
            ),
            "Proposed. Nothing moves until a second person agrees.",
            to="envelopes",
        )
    return confirm(
        request,
        form,
        title=f"Propose other bounds for {_of(row)}",
        verb="Propose",
        consequences=("A second person must agree; until then all stays as it is.",),
        back="envelopes",
    )


@login_required
@require_http_methods(["GET", "POST"])
def approve(request: HttpRequest, change_id: int) -> HttpResponse:
    """Show what would change, and let a second person agree."""
    _let(request, "approve")
    return _decide(
        request,
        change_id,
        lambda change, person, why: envelope_changes.approve(
            change, approver=person, why=why, now=clock.now()
        ),
        verb="Approve",
        done_words="The new bounds hold from now on.",
    )


@login_required
@require_http_methods(["GET", "POST"])
def refuse(request: HttpRequest, change_id: int) -> HttpResponse:
    """Let a person with the right to approve turn a proposal down."""
    _let(request, "approve")
    return _decide(
        request,
        change_id,
        lambda change, person, why: envelope_changes.refuse(
            change, approver=person, why=why, now=clock.now()
        ),
        verb="Refuse",
        done_words="Refused; the bounds stay.",
    )


@login_required
@require_http_methods(["GET", "POST"])
def withdraw(request: HttpRequest, change_id: int) -> HttpResponse:
    """Let a person take the own proposal back."""
    _let(request, "propose")
    return _decide(
        request,
        change_id,
        lambda change, person, why: envelope_changes.withdraw(
            change, proposer=person, why=why, now=clock.now()
        ),
        verb="Withdraw",
        done_words="Withdrawn; the bounds stay.",
    )


def _decide(
    request: HttpRequest,
    change_id: int,
    act: Callable[[EnvelopeChange, User, str], object],
    *,
    verb: str,
    done_words: str,
) -> HttpResponse:
    change = get_object_or_404(
        EnvelopeChange.objects.select_related(
            "envelope__program", "envelope__feeder", "proposed_by"
        ),
        pk=change_id,
        status=EnvelopeChangeStatus.PROPOSED,
    )
    form = WhyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return done(
            request,
            lambda: act(change, _person(request), form.cleaned_data["why"]),
            done_words,
            to="envelopes",
        )
    proposal = _proposal(request, change)
    return confirm(
        request,
        form,
        title=f"{verb} other bounds for {proposal.of}",
        verb=verb,
        consequences=(
            *(
                f"{line.name}: {line.value}, to be {line.wanted}"
                for line in proposal.lines
            ),
            f"Proposed by {change.proposed_by.get_username()}: {change.why}",
        ),
        back="envelopes",
    )


def _proposal(request: HttpRequest, change: EnvelopeChange) -> Proposal:
    row = change.envelope
    words = envelope_changes.words_of(row)
    lines = tuple(
        Line(
            words[name],
            _value(row, name, change.before[name]),
            _value(row, name, value),
        )
        for name, value in change.after.items()
        if value != change.before[name]
    )
    mine = change.proposed_by_id == request.user.pk
    return Proposal(change, _of(row), lines, mine)


def _bounds(row: Envelope) -> tuple[Line, ...]:
    words = envelope_changes.words_of(row)
    bounds = envelope_changes.bounds_of(row)
    return tuple(
        Line(words[name], _value(row, name, value)) for name, value in bounds.items()
    )


def _value(row: Envelope, name: str, value: float | None) -> str:
    if value is None:
        return envelope_changes.may_be_empty(row)[name]
    return f"{value:,.12g}"  # a bound is shown whole, never as 1e+06


def _of(row: Envelope) -> str:
    return str(row.of or "Everything")


def _person(request: HttpRequest) -> User:
    return cast(User, request.user)


def _may(request: HttpRequest, what: str) -> bool:
    user = request.user
    return user.is_active and user.has_perm(f"dispatch.{what}_envelopechange")


def _let(request: HttpRequest, what: str) -> None:
    if not _may(request, what):
        raise PermissionDenied
