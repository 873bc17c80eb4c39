"""The doors to what an event would do, and to under which cap it gives back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET, require_http_methods

from dispatch import preview as foresight
from dispatch import restore_caps
from dispatch.forms import RestoreCapForm
from dispatch.live.words import counted, kilowatts, sentence, span
from dispatch.models import GridEvent
from dispatch.rehearsal.frontier import Point
from dispatch.views import let_operate, let_watch, may_approve, may_operate
from dispatch.views.events import AMENDABLE, ask, entry_of
from fleets import clock


@dataclass(frozen=True)
class Choice:
    """A restore cap, and what it would cost, as it is read."""

    cap_kw: int
    peak_kw: str
    half: str
    all: str
    late: str


@dataclass(frozen=True)
class Look:
    """What is expected at one moment of an event, as it is read."""

    after: str
    kw: str
    interval: str


@login_required
@require_GET
def preview(request: HttpRequest, event_id: int) -> HttpResponse:
    """Show what an event would do if it began now; nothing is written."""
    let_watch(request)
    event = get_object_or_404(
        GridEvent.objects.filter(status__in=AMENDABLE).select_related("program"),
        pk=event_id,
    )
    now = clock.now()
    found = foresight.preview(event, now=now)
    return render(
        request,
        "dispatch/preview.html",
        {
            "event": event,
            "entry": entry_of(event),
            "at": f"{now.astimezone(event.program.zone):%H:%M %Z}",
            "found": found,
            "brings": _brings(found),
            "course": [_look(one) for one in found.course],
            "choices": [_choice(point) for point in found.restore],
            "cap": _cap(event),
            "may_operate": may_operate(request.user),
            "may_approve": may_approve(request.user),
            "sheets": ("css/envelopes.css",),
        },
    )


@login_required
@require_http_methods(["GET", "POST"])
def choose_cap(request: HttpRequest, event_id: int) -> HttpResponse:
    """Take down under which cap an event's cars are to be given back."""
    let_operate(request)
    event = get_object_or_404(
        GridEvent.objects.filter(status__in=restore_caps.CHOOSABLE).select_related(
            "program"
        ),
        pk=event_id,
    )

    def act(form: RestoreCapForm) -> GridEvent:
        return restore_caps.choose(
            event,
            form.cleaned_data["cap_kw"],
            actor=request.user.get_username(),
            now=clock.now(),
            why=form.cleaned_data["why"],
        )

    # A cap that was clicked on, else the one that was chosen before.
    initial = {"cap_kw": event.cap_kw if event.cap_by else None, **request.GET.dict()}
    return ask(
        request,
        RestoreCapForm(request.POST or None, initial=initial),
        act,
        title=f"Choose the restore cap of event {event.pk} of {event.program}",
        verb="Choose this cap",
        consequences=(
            f"Once the event is over, its program's cars charge under this cap while "
            f"they are given back. {_cap(event)}",
        ),
        said=f"The cap of event {event.pk} holds once it is over.",
    )


def _cap(event: GridEvent) -> str:
    """Return in words what bounds the restores now."""
    chosen, program_kw = restore_caps.chosen(event), event.program.restore_cap_kw
    if chosen is None and program_kw is None:
        return f"Nobody chose one: it is {restore_caps.BY_ITSELF}."
    parts = []
    if chosen is not None:
        parts.append(f"{kilowatts(chosen.kw)} kW are {chosen.chosen}")
    if program_kw is not None:
        parts.append(f"the program's cap is {kilowatts(program_kw)} kW")
    both = ", and the lower one holds" if len(parts) > 1 else ""
    return sentence(f"{', '.join(parts)}{both}.")


def _brings(found: foresight.Preview) -> list[tuple[str, str]]:
    """Return what an event would bring, line by line."""
    if not found.cars:
        return [("Called", "Nobody: it aims at no car that takes part.")]
    if not found.called:
        return [("Called", f"Nobody of {counted(found.cars, 'car')}.")]
    low, high = kilowatts(found.low_kw), kilowatts(found.high_kw)
    return [
        (
            "Expected",
            f"{kilowatts(found.expected_kw)} kW, nine times in ten between {low} and "
            f"{high} kW",
        ),
        (
            "Called",
            f"{found.called:,} of {counted(found.cars, 'car')}, which draw "
            f"{kilowatts(found.called_kw)} kW",
        ),
        ("Fan-out", f"{counted(found.calls, 'call')} in {span(found.takes)}"),
    ]


def _look(one: foresight.Expectation) -> Look:
    return Look(
        span(timedelta(minutes=one.minutes)),
        kilowatts(one.kw),
        f"{kilowatts(one.low_kw)} to {kilowatts(one.high_kw)}",
    )


def _choice(point: Point) -> Choice:
    return Choice(
        math.ceil(point.cap_kw),
        f"{point.peak_kw:,.0f}",
        _wait(point.hours_to_restore_p50),
        _wait(point.hours_to_restore_max),
        f"{point.late:.0f}",
    )


def _wait(hours: float) -> str:
    return span(timedelta(hours=hours)) if hours else "at once"
