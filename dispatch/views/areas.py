"""The doors to area hold-offs: declare one, lift one."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods

from dispatch import area_hold_offs
from dispatch.forms import AreaForm, WhyForm
from dispatch.lifecycle import AreaKind
from dispatch.models import AreaHoldOff
from dispatch.views import confirm, done, let_operate
from fleets import clock


@login_required
@require_http_methods(["GET", "POST"])
def declare(request: HttpRequest) -> HttpResponse:
    """Ask where and why, then keep an area free of holds from now on."""
    let_operate(request)
    form = AreaForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        asked = form.cleaned_data
        now = clock.now()
        hours = asked["hours"]
        return done(
            request,
            lambda: area_hold_offs.declare(
                kind=AreaKind(asked["kind"]),
                program=asked["program"],
                feeders=list(asked["feeders"]),
                substations=list(asked["substations"]),
                starts_at=None,
                ends_at=now + timedelta(hours=hours) if hours else None,
                reason=asked["why"],
                actor=request.user.get_username(),
                now=now,
            ),
            "No car is held there from now on.",
        )
    return confirm(
        request,
        form,
        title="Keep an area free of holds",
        verb="Keep it free",
        consequences=(
            "No car there is stopped any more by any event, and what is held goes back "
            "at once, least slack first, by the program's ramp.",
            "In an outage nothing is commanded until it is over; then what was held "
            "returns by the ramp for picking up.",
        ),
    )


@login_required
@require_http_methods(["GET", "POST"])
def lift(request: HttpRequest, hold_off_id: int) -> HttpResponse:
    """Ask once more, then let events hold cars there again."""
    let_operate(request)
    hold_off = get_object_or_404(
        area_hold_offs.lasting(clock.now()).select_related("program"), pk=hold_off_id
    )
    form = WhyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return done(
            request,
            lambda: area_hold_offs.lift(
                hold_off,
                actor=request.user.get_username(),
                why=form.cleaned_data["why"],
                now=clock.now(),
            ),
            "Lifted.",
        )
    return confirm(
        request,
        form,
        title=f"Lift the {hold_off.kind} {area_hold_offs.where(hold_off)}",
        verb="Lift it",
        consequences=(_consequence(hold_off),),
    )


def _consequence(hold_off: AreaHoldOff) -> str:
    if hold_off.kind == AreaKind.OUTAGE:
        return (
            "Power must be back: what was held when it went returns now, one after the "
            "other by the ramp for picking up."
        )
    return "Running events hold cars there again, as often as each car's day allows."
