"""The operator's doors: look at what happens, stop new holds, end an event early."""

from __future__ import annotations

from collections.abc import Callable

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from dispatch import grid_events, holds, live, switch
from dispatch.event_rules import EventError
from dispatch.forms import WhichHoldsForm, WhyForm
from dispatch.lifecycle import (
    OPEN_HOLD,
    EventStatus,
    HoldStatus,
    ParticipationStatus,
)
from dispatch.models import GridEvent, Hold, Participation
from dispatch.tasks import tick
from fleets import clock
from fleets.models import Program, User
from fleets.wake import wake

SHEETS = (
    "css/live.css", "css/strip.css", "css/figures.css", "css/chart.css",
    "css/lists.css",
)  # fmt: skip


@login_required
@require_GET
def live_page(request: HttpRequest) -> HttpResponse:
    """Show what happens now; the stream keeps it so."""
    let_watch(request)
    picture = live.picture(clock.now())
    return render(
        request,
        "dispatch/live.html",
        {
            "picture": picture,
            "actions": picture.actions,
            "may_operate": may_operate(request.user),
            "sheets": SHEETS,
        },
    )


@login_required
@require_GET
def actions(request: HttpRequest) -> HttpResponse:
    """Show the buttons alone: asked for when what can be done has changed."""
    let_watch(request)
    return render(
        request,
        "dispatch/actions.html",
        {"actions": live.actions(), "may_operate": may_operate(request.user)},
    )


@require_GET
async def stream(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """Send a picture a tick for as long as somebody looks."""
    user = await request.auser()
    if not await sync_to_async(may_watch)(user):
        # No redirect: a page for people would be noise to an event source.
        return HttpResponse(status=403)
    # Engine rule 12: a stream lasts half an hour, and connections are few.
    await sync_to_async(connections.close_all)()
    return StreamingHttpResponse(
        live.pictures(),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@login_required
@require_http_methods(["GET", "POST"])
def stop_new_holds(request: HttpRequest) -> HttpResponse:
    """Ask once more, then take nothing more from anybody."""
    return _switch(
        request,
        switch.stop_new_holds,
        title="Stop new holds",
        consequences=(
            "No car is stopped any more, in running and in coming events. Stops that "
            "were not sent yet are called off.",
            "Cars that are held stay held until their event ends; whatever is due is "
            "given back as always.",
        ),
        message="No new holds from now on.",
    )


@login_required
@require_http_methods(["GET", "POST"])
def allow_new_holds(request: HttpRequest) -> HttpResponse:
    """Ask once more, then let events hold cars again."""
    return _switch(
        request,
        switch.allow_new_holds,
        title="Allow new holds",
        consequences=("Running events hold cars again, from the next tick on.",),
        message="New holds are allowed again.",
    )


@login_required
@require_http_methods(["GET", "POST"])
def end_early(request: HttpRequest, event_id: int) -> HttpResponse:
    """Ask once more, then end a running event and give back what it took."""
    let_operate(request)
    event = get_object_or_404(
        GridEvent.objects.running().select_related("program"), pk=event_id
    )
    form = WhyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return done(
            request,
            lambda: grid_events.end_early(
                event,
                actor=request.user.get_username(),
                why=form.cleaned_data["why"],
                now=clock.now(),
            ),
            f"Event {event.pk} ends now; its cars are being given back.",
        )
    held = event.participations.filter(hold__status__in=OPEN_HOLD)
    kept = held.filter(
        hold__participations__in=Participation.objects.filter(
            status=ParticipationStatus.CLAIMED, event__status=EventStatus.ACTIVE
        ).exclude(event=event)
    )
    kept_count = kept.distinct().count()
    return confirm(
        request,
        form,
        title=f"End event {event.pk} of {event.program} early",
        verb="End early",
        consequences=(
            f"Cars to be given back: {held.count() - kept_count}. They start one after "
            "the other, within the program's ramp and cap.",
            *([f"Cars that another event keeps: {kept_count}."] if kept_count else []),
            "An event that has ended cannot be taken up again.",
        ),
    )


@login_required
@require_http_methods(["GET", "POST"])
def try_again(request: HttpRequest, hold_id: int) -> HttpResponse:
    """Ask once more, then start a car again that could not be given back."""
    return _resolve(
        request,
        hold_id,
        holds.try_again,
        title="Try again to give back {car}",
        verb="Try again",
        consequences=(
            "The car gets one more start. If it ignores that one too, it comes back "
            "to this list.",
        ),
        message="{car} is being started again.",
    )


@login_required
@require_http_methods(["GET", "POST"])
def close_hold(request: HttpRequest, hold_id: int) -> HttpResponse:
    """Ask once more, then close what somebody has cleared up with the customer."""
    return _resolve(
        request,
        hold_id,
        holds.close_by_hand,
        title="Close what is owed to {car}",
        verb="Close it",
        consequences=(
            "Nothing is owed to the car any more and its alarm goes out. Do this only "
            "when the car was seen to charge, or its customer said that all is well.",
        ),
        message="Nothing is owed to {car} any more.",
    )


def may_watch(user: User | AnonymousUser) -> bool:
    """Say whether this person may see what happens."""
    allowed = ("view_gridevent", "operate_gridevent", "approve_gridevent")
    return user.is_active and (
        user.is_staff or any(user.has_perm(f"dispatch.{one}") for one in allowed)
    )


def may_operate(user: User | AnonymousUser) -> bool:
    """Say whether this person may move load."""
    return user.is_active and user.has_perm("dispatch.operate_gridevent")


def may_approve(user: User | AnonymousUser) -> bool:
    """Say whether this person may be the second one to agree to an event."""
    return user.is_active and user.has_perm("dispatch.approve_gridevent")


def let_watch(request: HttpRequest) -> None:
    if not may_watch(request.user):
        raise PermissionDenied


def let_operate(request: HttpRequest) -> None:
    if not may_operate(request.user):
        raise PermissionDenied


def _switch(
    request: HttpRequest,
    act: Callable[..., None],
    *,
    title: str,
    consequences: tuple[str, ...],
    message: str,
) -> HttpResponse:
    let_operate(request)
    form = WhichHoldsForm(request.POST or None, initial=request.GET.dict())
    if request.method == "POST" and form.is_valid():
        program: Program | None = form.cleaned_data["program"]
        return done(
            request,
            lambda: act(
                program=program,
                feeder=form.cleaned_data["feeder"],
                actor=request.user.get_username(),
                why=form.cleaned_data["why"],
                now=clock.now(),
            ),
            message,
        )
    return confirm(request, form, title=title, verb=title, consequences=consequences)


def _resolve(
    request: HttpRequest,
    hold_id: int,
    act: Callable[..., bool],
    *,
    title: str,
    verb: str,
    consequences: tuple[str, ...],
    message: str,
) -> HttpResponse:
    let_operate(request)
    hold = get_object_or_404(
        Hold.objects.select_related("vehicle", "event"),
        pk=hold_id,
        status=HoldStatus.UNRESOLVED,
    )
    form = WhyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return done(
            request,
            lambda: act(
                hold,
                actor=request.user.get_username(),
                why=form.cleaned_data["why"],
                now=clock.now(),
            ),
            message.format(car=hold.vehicle),
        )
    return confirm(
        request,
        form,
        title=title.format(car=hold.vehicle),
        verb=verb,
        consequences=consequences,
    )


def confirm(
    request: HttpRequest,
    form: WhyForm,
    *,
    title: str,
    verb: str,
    consequences: tuple[str, ...],
    back: str = "live",
    preview_of: GridEvent | None = None,
    is_grave: bool = True,
) -> HttpResponse:
    """Ask once more, with all that follows."""
    return render(
        request,
        "dispatch/confirm.html",
        {
            "form": form, "title": title, "verb": verb, "consequences": consequences,
            "back": back, "preview_of": preview_of, "is_grave": is_grave,
        },
    )  # fmt: skip


def done(
    request: HttpRequest, act: Callable[[], object], message: str, to: str = "live"
) -> HttpResponse:
    """Act, wake the loop, and go back to the page that shows what comes of it."""
    try:
        act()
    except EventError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, message)
        wake(tick)
    return redirect(to)
