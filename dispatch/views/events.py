"""The doors to events that are to come: look, write, amend, approve, call off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from dispatch import grid_events
from dispatch.event_rules import AIMS, EventError, Invalid
from dispatch.forms import (
    AmendEventForm,
    ApproveForm,
    EventChangesForm,
    EventForm,
    NewEventForm,
    WhyForm,
)
from dispatch.lifecycle import EventKind, EventStatus
from dispatch.models import GridEvent, Occurrence
from dispatch.tasks import tick
from dispatch.views import (
    confirm,
    done,
    let_operate,
    let_watch,
    may_approve,
    may_operate,
)
from fleets import clock
from fleets.models import Program
from fleets.wake import wake

Asked = TypeVar("Asked", bound=EventForm)

NOT_BEGUN = (EventStatus.PENDING, EventStatus.SCHEDULED)
AMENDABLE = (*NOT_BEGUN, EventStatus.ACTIVE)
# Days of recurring windows without an event that the page still shows.
SKIPPED_SHOWN = 20


@dataclass(frozen=True)
class Entry:
    """One event of the list, and what can be done about it."""

    event: GridEvent
    window: str
    target: str
    aim: str

    @property
    def is_amendable(self) -> bool:
        return self.event.status in AMENDABLE

    @property
    def is_pending(self) -> bool:
        return self.event.status == EventStatus.PENDING

    @property
    def is_restoring(self) -> bool:
        return self.event.status == EventStatus.RESTORING

    @property
    def has_begun(self) -> bool:
        return self.event.status not in NOT_BEGUN


@login_required
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """Show what runs and will run, and which days of windows were skipped and why."""
    let_watch(request)
    events = (
        GridEvent.objects.filter(status__in=(*AMENDABLE, EventStatus.RESTORING))
        .select_related("program")
        .prefetch_related("feeders", "substations", "groups")
        .order_by("starts_at", "pk")
    )
    skipped = Occurrence.objects.filter(event=None).select_related("window__program")
    return render(
        request,
        "dispatch/events.html",
        {
            "entries": [entry_of(event) for event in events],
            "skipped": skipped.order_by("-on", "-pk")[:SKIPPED_SHOWN],
            "programs": Program.objects.order_by("name"),
            "may_operate": may_operate(request.user),
            "may_approve": may_approve(request.user),
            "sheets": ("css/envelopes.css",),
        },
    )


@login_required
@require_http_methods(["GET", "POST"])
def write(request: HttpRequest, program_id: int) -> HttpResponse:
    """Ask what is wanted, then write a new event of this program."""
    let_operate(request)
    program = get_object_or_404(Program, pk=program_id)

    def act(form: EventChangesForm) -> GridEvent:
        asked = form.cleaned_data
        return grid_events.schedule(
            program,
            kind=EventKind(asked["kind"]),
            starts_at=asked["starts_at"],
            ends_at=asked["ends_at"],
            target_kw=asked["target_kw"],
            feeders=list(asked["feeders"]),
            substations=list(asked["substations"]),
            groups=list(asked["groups"]),
            vehicles=[],
            priority=asked["priority"],
            reason=asked["why"],
            signal=None,
            actor=request.user.get_username(),
            now=clock.now(),
        )

    with timezone.override(program.zone):
        return ask(
            request,
            NewEventForm(request.POST or None),
            act,
            title=f"New event of {program}",
            verb="Write it",
            consequences=(_clock_of(program),),
        )


@login_required
@require_http_methods(["GET", "POST"])
def amend(request: HttpRequest, event_id: int) -> HttpResponse:
    """Show an event as it is, then change what was changed in the form."""
    let_operate(request)
    event = get_object_or_404(
        GridEvent.objects.filter(status__in=AMENDABLE).select_related("program"),
        pk=event_id,
    )
    initial = {
        name: getattr(event, name)
        for name in ("starts_at", "ends_at", "target_kw", "priority", "version")
    } | {name: getattr(event, name).all() for name in AIMS}

    def act(form: EventChangesForm) -> GridEvent:
        asked = form.cleaned_data
        event.version = asked["version"]  # what this person looked at
        changed = set(form.changed_data) - {"why", "version"}
        return grid_events.amend(
            event,
            cast(grid_events.Changes, {name: asked[name] for name in changed}),
            actor=request.user.get_username(),
            why=asked["why"],
            now=clock.now(),
        )

    with timezone.override(event.program.zone):
        return ask(
            request,
            AmendEventForm(request.POST or None, initial=initial),
            act,
            title=f"Amend {event.kind} event {event.pk} of {event.program}",
            verb="Amend it",
            consequences=(
                _clock_of(event.program),
                "Cars that it no longer aims at are given back. A running event keeps "
                "its start, and cannot grow beyond its envelope.",
            ),
        )


@login_required
@require_http_methods(["GET", "POST"])
def approve(request: HttpRequest, event_id: int) -> HttpResponse:
    """Show an event that is larger than its envelope, and let a second person agree."""
    if not may_approve(request.user):
        raise PermissionDenied
    event = get_object_or_404(
        GridEvent.objects.select_related("program"),
        pk=event_id,
        status=EventStatus.PENDING,
    )

    def act(form: ApproveForm) -> GridEvent:
        event.version = form.cleaned_data["version"]  # what this person looked at
        return grid_events.approve(
            event,
            actor=request.user.get_username(),
            why=form.cleaned_data["why"],
            now=clock.now(),
        )

    return ask(
        request,
        ApproveForm(request.POST or None, initial={"version": event.version}),
        act,
        title=f"Approve event {event.pk} of {event.program}",
        verb="Approve",
        consequences=(
            f"{event.kind.title()} event, {_window(event)}, {_target(event)}; asked "
            f"for by {event.created_by}. {event.reason}",
            event.pending_reason,
        ),
        preview_of=event,
    )


@login_required
@require_http_methods(["GET", "POST"])
def cancel(request: HttpRequest, event_id: int) -> HttpResponse:
    """Ask once more, then call off an event that has not begun."""
    let_operate(request)
    event = get_object_or_404(
        GridEvent.objects.select_related("program"),
        pk=event_id,
        status__in=NOT_BEGUN,
    )
    form = WhyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return done(
            request,
            lambda: grid_events.cancel(
                event,
                actor=request.user.get_username(),
                why=form.cleaned_data["why"],
                now=clock.now(),
            ),
            f"Event {event.pk} is called off.",
            to="event-list",
        )
    return confirm(
        request,
        form,
        title=f"Call off event {event.pk} of {event.program}",
        verb="Call it off",
        consequences=(
            f"{event.kind.title()} event, {_window(event)}, {_target(event)}. It "
            "never happens, and cannot be taken up again.",
        ),
        back="event-list",
    )


def ask(
    request: HttpRequest,
    form: Asked,
    act: Callable[[Asked], GridEvent],
    *,
    title: str,
    verb: str,
    consequences: tuple[str, ...],
    said: str = "",
    preview_of: GridEvent | None = None,
) -> HttpResponse:
    """Act when the form is in order; else show it, with all that is wrong."""
    if request.method == "POST" and form.is_valid():
        try:
            event = act(form)
        except Invalid as error:
            form.refuse(error.findings)
        except EventError as error:
            messages.error(request, str(error))
            return redirect("event-list")
        else:
            note = event.pending_reason or "It starts by itself."
            note = said or f"Event {event.pk} is {event.status}. {note}"
            messages.success(request, note)
            wake(tick)
            return redirect("event-list")
    return confirm(
        request, form, title=title, verb=verb, consequences=consequences,
        back="event-list", preview_of=preview_of, is_grave=False,
    )  # fmt: skip


def _clock_of(program: Program) -> str:
    return f"Times are those of {program.time_zone}."


def entry_of(event: GridEvent) -> Entry:
    """Return an event as the pages show it."""
    return Entry(event, _window(event), _target(event), _aim(event))


def _window(event: GridEvent) -> str:
    zone = event.program.zone
    begin, end = event.starts_at.astimezone(zone), event.ends_at.astimezone(zone)
    return f"{begin:%a %Y-%m-%d %H:%M} to {end:%a %H:%M %Z}"


def _target(event: GridEvent) -> str:
    return "all it can hold" if event.target_kw is None else f"{event.target_kw:,g} kW"


def _aim(event: GridEvent) -> str:
    named = [
        *(f"substation {station.code}" for station in event.substations.all()),
        *(f"feeder {feeder.code}" for feeder in event.feeders.all()),
        *(f"group {group.code}" for group in event.groups.all()),
    ]
    return ", ".join(named)
