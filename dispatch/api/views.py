"""Grid events over REST: each view reads, calls one activity, answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, cast

from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import serializers as drf
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import ValidationError
from rest_framework.generics import GenericAPIView, get_object_or_404
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from dispatch import grid_events, tasks
from dispatch.api import figures, idempotency, schema
from dispatch.api.access import (
    GridAuthentication,
    MachineHasScope,
    MachineOrViewer,
    MayApprove,
    actor_of,
    client_of,
)
from dispatch.api.filters import EventFilter, EventPages
from dispatch.api.parsers import StrictJSONParser
from dispatch.api.serializers import (
    Amendment,
    Approval,
    Cancellation,
    EventDetail,
    EventSummary,
    NewEvent,
    NewOptOut,
    OptOut,
)
from dispatch.grid_events import Changes
from dispatch.models import GridEvent, GridSignal
from fleets import clock
from fleets.wake import wake

ETAG = re.compile(r'(?:W/)?"?(\d{1,9})"?')


class GridView(GenericAPIView[Any]):
    """What all doors of grid systems share."""

    authentication_classes: Sequence[type[BaseAuthentication]] = (GridAuthentication,)
    permission_classes: Sequence[type[BasePermission]] = (MachineHasScope,)
    parser_classes = (StrictJSONParser,)

    def checked(self, serializer_class: type[drf.Serializer[Any]]) -> dict[str, Any]:
        """Return the body's values, or raise everything that is wrong with it."""
        serializer = serializer_class(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        return cast(dict[str, Any], serializer.validated_data)

    def signal(self, now: Any) -> GridSignal:
        """Keep the message as it came."""
        return GridSignal.objects.create(
            source="rest",
            client=client_of(self.request),
            body=self.request.data,
            received_at=now,
        )


class EventView(GridView):
    """What all doors to events share."""

    lookup_url_kwarg = "event_id"

    def get_queryset(self) -> QuerySet[GridEvent]:
        return GridEvent.objects.select_related("program").prefetch_related(
            "feeders", "substations", "groups"
        )

    def event(self) -> GridEvent:
        """Return the event of this address, or raise 404."""
        return get_object_or_404(self.get_queryset(), pk=self.kwargs["event_id"])

    def shown(self, event: GridEvent) -> dict[str, Any]:
        """Return the event's body, with what has come of it."""
        event.live = figures.live(event)  # type: ignore[attr-defined]
        return dict(EventDetail(event).data)

    def shown_anew(self, event: GridEvent) -> dict[str, Any]:
        """Return the body of an event that was just written."""
        return self.shown(self.get_queryset().get(pk=event.pk))

    def once(self, act: Callable[[Any], tuple[int, dict[str, Any]]]) -> Response:
        """Do `act` once for this request's key, and wake the loop after it."""
        now = clock.now()
        response = idempotency.once(self.request, lambda: act(now), now=now)
        wake_loop()
        return response


class EventsView(EventView):
    queryset = GridEvent.objects.none()  # for the schema's filters
    serializer_class = EventSummary
    filter_backends = (DjangoFilterBackend,)
    filterset_class = EventFilter
    pagination_class = EventPages
    authentication_classes = (GridAuthentication, SessionAuthentication)
    permission_classes = (MachineOrViewer,)

    @schema.LIST
    def get(self, request: Request) -> Response:
        """List events, the latest start first."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(EventSummary(page, many=True).data)

    @schema.CREATE
    def post(self, request: Request) -> Response:
        """Ask for an event. What is larger than its program's envelope is stored as
        `pending approval` and moves nothing until a second person agrees.
        """

        def act(now: Any) -> tuple[int, dict[str, Any]]:
            wanted = self.checked(NewEvent)
            event = grid_events.schedule(
                wanted["program"],
                kind=wanted["kind"],
                starts_at=wanted["starts_at"],
                ends_at=wanted["ends_at"],
                target_kw=wanted.get("target_kw"),
                feeders=wanted.get("feeders", []),
                substations=wanted.get("substations", []),
                groups=wanted.get("groups", []),
                vehicles=wanted.get("vehicles", []),
                priority=wanted.get("priority", 0),
                reason=wanted.get("reason", ""),
                signal=self.signal(now),
                actor=actor_of(request),
                now=now,
            )
            return 201, self.shown_anew(event)

        response = self.once(act)
        body = cast(dict[str, Any], response.data)
        response["Location"] = reverse("event", args=[body["id"]])
        response["ETag"] = f'"{body["version"]}"'
        return response


class OneEventView(EventView):
    serializer_class = EventDetail
    authentication_classes = (GridAuthentication, SessionAuthentication)
    permission_classes = (MachineOrViewer,)

    @schema.READ
    def get(self, request: Request, event_id: int) -> Response:
        """Read an event and what has come of it so far."""
        return self.answer(self.shown(self.event()))

    @schema.AMEND
    def patch(self, request: Request, event_id: int) -> Response:
        """Amend an event that nobody changed since you read it. A running event that
        would grow beyond its envelope is refused, any other waits for approval.
        """
        now = clock.now()
        wanted = self.checked(Amendment)
        event = self.event()
        event.version = self.version(wanted)
        with transaction.atomic():
            self.signal(now)
            event = grid_events.amend(
                event,
                cast(Changes, wanted),
                actor=actor_of(request),
                now=now,
                why=wanted.get("reason", ""),
            )
        wake_loop()
        return self.answer(self.shown_anew(event))

    def answer(self, body: dict[str, Any]) -> Response:
        """Answer with a body and its version as ETag."""
        return Response(body, headers={"ETag": f'"{body["version"]}"'})

    def version(self, wanted: dict[str, Any]) -> int:
        """Return the version that the client saw: from the body or from If-Match."""
        said: int | None = wanted.pop("version", None)
        if header := self.request.headers.get("If-Match"):
            match = ETAG.fullmatch(header.strip())
            if match is None or said not in {None, int(match[1])}:
                raise ValidationError(
                    {"If-Match": "If-Match must be the ETag of the version you saw."}
                )
            said = int(match[1])
        if said is None:
            raise ValidationError(
                {"version": "Send the version that you saw, here or as If-Match."},
                code="required",
            )
        return said


class CancelView(EventView):
    serializer_class = EventDetail

    @schema.CANCEL
    def post(self, request: Request, event_id: int) -> Response:
        """Call an event off. What it holds is given back; what it did not begin never
        happens. Cancelling what is being given back already changes nothing.
        """

        def act(now: Any) -> tuple[int, dict[str, Any]]:
            wanted = self.checked(Cancellation)
            event = self.event()
            self.signal(now)
            event = grid_events.cancel(
                event, actor=actor_of(request), now=now, why=wanted.get("reason", "")
            )
            return 200, self.shown_anew(event)

        return self.once(act)


class OptOutsView(EventView):
    serializer_class = OptOut

    @schema.OPT_OUT
    def post(self, request: Request, event_id: int) -> Response:
        """Take a car out of an event for good; it gets back what it is owed."""

        def act(now: Any) -> tuple[int, dict[str, Any]]:
            wanted = self.checked(NewOptOut)
            event = self.event()
            self.signal(now)
            participation = grid_events.opt_out(
                wanted["vehicle"], event=event, actor=actor_of(request), now=now
            )
            return 201, dict(OptOut(participation).data)

        return self.once(act)


class ApproveView(EventView):
    """Needs no key: the version makes it safe to repeat."""

    serializer_class = EventDetail
    authentication_classes = (GridAuthentication, SessionAuthentication)
    permission_classes = (MayApprove,)

    @schema.APPROVE
    def post(self, request: Request, event_id: int) -> Response:
        """Agree to an event that is larger than its envelope. Only for signed-in people
        with the right to approve, and never for whoever wrote or amended it. It is
        judged again: what waited until it breaks its program's policy is refused (400).
        """
        wanted = self.checked(Approval)
        event = self.event()
        event.version = wanted["version"]
        event = grid_events.approve(event, actor=actor_of(request), now=clock.now())
        wake_loop()
        return Response(self.shown_anew(event))


def wake_loop() -> None:
    """Let the control loop look now instead of at its next tick."""
    transaction.on_commit(lambda: wake(tasks.tick))
