"""Area hold-offs over REST: each view reads, calls one activity, answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from dispatch import area_hold_offs
from dispatch.api import idempotency, schema
from dispatch.api.access import actor_of
from dispatch.api.serializers import AreaHoldOffShape, Lifting, NewAreaHoldOff
from dispatch.api.views import GridView, wake_loop
from dispatch.lifecycle import AreaKind
from dispatch.models import AreaHoldOff
from fleets import clock


class AreaView(GridView):
    """What the doors to area hold-offs share."""

    serializer_class = AreaHoldOffShape
    pagination_class = None
    filter_backends = ()

    def once(self, act: Callable[[datetime], tuple[int, AreaHoldOff]]) -> Response:
        """Do `act` once for this request's key, and wake the loop after it."""
        now = clock.now()

        def answer() -> tuple[int, dict[str, Any]]:
            status, hold_off = act(now)
            return status, dict(AreaHoldOffShape(hold_off).data)

        response = idempotency.once(self.request, answer, now=now)
        wake_loop()
        return response


class AreasView(AreaView):
    queryset = AreaHoldOff.objects.none()

    @schema.LIST_AREAS
    def get(self, request: Request) -> Response:
        """List the hold-offs that last now or will."""
        rows = area_hold_offs.lasting(clock.now()).select_related("program")
        shown = rows.prefetch_related("feeders").order_by("id")
        return Response(AreaHoldOffShape(shown, many=True).data)

    @schema.DECLARE_AREA
    def post(self, request: Request) -> Response:
        """Keep an area free of holds. What is held there goes back, in an outage when
        that is over.
        """

        def act(now: datetime) -> tuple[int, AreaHoldOff]:
            wanted = self.checked(NewAreaHoldOff)
            self.signal(now)
            return 201, area_hold_offs.declare(
                kind=AreaKind(wanted["kind"]),
                program=wanted.get("program"),
                feeders=wanted.get("feeders", []),
                substations=wanted.get("substations", []),
                starts_at=wanted.get("starts_at"),
                ends_at=wanted.get("ends_at"),
                reason=wanted["reason"],
                actor=actor_of(request),
                now=now,
            )

        return self.once(act)


class LiftView(AreaView):
    @schema.LIFT_AREA
    def post(self, request: Request, hold_off_id: int) -> Response:
        """End a hold-off now. Lifting what was lifted changes nothing."""

        def act(now: datetime) -> tuple[int, AreaHoldOff]:
            wanted = self.checked(Lifting)
            self.signal(now)
            hold_off = get_object_or_404(AreaHoldOff.objects.all(), pk=hold_off_id)
            return 200, area_hold_offs.lift(
                hold_off,
                actor=actor_of(request),
                now=now,
                why=wanted.get("reason", ""),
            )

        return self.once(act)
