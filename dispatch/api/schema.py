"""What the OpenAPI page says beyond what the code says by itself."""

from __future__ import annotations

from typing import Any

from drf_spectacular.contrib.django_oauth_toolkit import DjangoOAuthToolkitScheme
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
)

from dispatch.api.forecast_shapes import ForecastShape
from dispatch.api.idempotency import HEADER, LONGEST_KEY
from dispatch.api.problems import CONTENT_TYPE, Problem, problem
from dispatch.api.serializers import (
    Amendment,
    Approval,
    AreaHoldOffShape,
    Cancellation,
    EventDetail,
    EventSummary,
    Lifting,
    NewAreaHoldOff,
    NewEvent,
    NewOptOut,
    OptOut,
)


class GridScheme(DjangoOAuthToolkitScheme):  # type: ignore[no-untyped-call]
    """Machine clients' OAuth2, as the page's security scheme."""

    target_class = "dispatch.api.access.GridAuthentication"
    name = "oauth2"


class StrictShape(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Inputs that refuse names they do not know say so."""

    target_class = "dispatch.api.fields.StrictSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> Any:
        """Return the shape as it is, closed."""
        shape = auto_schema._map_serializer(
            self.target, direction, bypass_extensions=True
        )
        return {**shape, "additionalProperties": False}


KEY = OpenApiParameter(
    HEADER,
    {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY,
     "pattern": "^[ -~]+$"},
    OpenApiParameter.HEADER,
    required=True,
    description="Names this request. Repeated with the same key and body it changes "
    "nothing and gets the same answer; with another body it is refused (422). Only "
    "answers that changed something are kept: a refused request may be put right and "
    "sent with the same key.",
    examples=[OpenApiExample("a key", "peak-2026-01-12-evening")],
)  # fmt: skip
IF_MATCH = OpenApiParameter(
    "If-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The ETag of the version that you saw, in place of `version`.",
)
ETAG = OpenApiParameter(
    "ETag", OpenApiTypes.STR, OpenApiParameter.HEADER, response=[200, 201]
)
MEANINGS = {
    400: "Something is wrong with the request: `errors` names each field, and each "
    "rule of the event's policy that it would break.",
    401: "No valid access token.",
    403: "The token lacks the scope, or the person the right.",
    404: "There is nothing with this number.",
    405: "Not this method here.",
    406: "Only JSON is spoken here.",
    409: "The event's version or status does not allow it.",
    413: "The body is too large.",
    415: "The body must be application/json.",
    422: "The key was used for another request.",
    429: "Too many requests.",
    500: "Something went wrong here.",
    503: "The database does not answer.",
}
ALWAYS = (400, 401, 403, 405, 406, 429, 500, 503)
WITH_BODY = (*ALWAYS, 413, 415)


def _problems(*statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    return {
        (status, CONTENT_TYPE): OpenApiResponse(
            Problem,
            MEANINGS[status],
            examples=[
                OpenApiExample(
                    str(status),
                    problem(status, MEANINGS[status]),
                    status_codes=[str(status)],
                    media_type=CONTENT_TYPE,
                )
            ],
        )
        for status in statuses
    }


def _answers(good: dict[int, Any], *statuses: int) -> dict[Any, Any]:
    return {**good, **_problems(*statuses)}


NEW_EVENT = OpenApiExample(
    "evening peak",
    {
        "program": "evening-peak",
        "kind": "economic",
        "priority": 0,
        "starts_at": "2026-01-12T17:00:00+01:00",
        "ends_at": "2026-01-12T19:00:00+01:00",
        "target_kw": 400,
        "substations": ["north"],
        "groups": ["pilot-2026"],
        "reason": "Day-ahead peak",
    },
    request_only=True,
)
LATER = OpenApiExample(
    "half an hour longer",
    {"version": 1, "ends_at": "2026-01-12T19:30:00+01:00"},
    request_only=True,
)

LIST = extend_schema(
    operation_id="list_events",
    tags=["events"],
    responses=_answers({200: EventSummary(many=True)}, *ALWAYS),
)
READ = extend_schema(
    operation_id="read_event",
    tags=["events"],
    parameters=[ETAG],
    responses=_answers({200: EventDetail}, *ALWAYS, 404),
)
CREATE = extend_schema(
    operation_id="create_event",
    tags=["events"],
    parameters=[KEY, ETAG],
    request=NewEvent,
    responses=_answers({201: EventDetail}, *WITH_BODY, 422),
    examples=[NEW_EVENT],
)
AMEND = extend_schema(
    operation_id="amend_event",
    tags=["events"],
    parameters=[IF_MATCH, ETAG],
    request=Amendment,
    responses=_answers({200: EventDetail}, *WITH_BODY, 404, 409),
    examples=[LATER],
)
CANCEL = extend_schema(
    operation_id="cancel_event",
    tags=["events"],
    parameters=[KEY],
    request=Cancellation,
    responses=_answers({200: EventDetail}, *WITH_BODY, 404, 409, 422),
)
OPT_OUT = extend_schema(
    operation_id="opt_out_of_event",
    tags=["events"],
    parameters=[KEY],
    request=NewOptOut,
    responses=_answers({201: OptOut}, *WITH_BODY, 404, 409, 422),
)
APPROVE = extend_schema(
    operation_id="approve_event",
    tags=["events"],
    request=Approval,
    responses=_answers({200: EventDetail}, *WITH_BODY, 404, 409),
)

STORM = OpenApiExample(
    "storm on two feeders",
    {"kind": "storm", "feeders": ["N1", "N2"], "reason": "gusts of 40 m/s"},
    request_only=True,
)
LIST_AREAS = extend_schema(
    operation_id="list_area_hold_offs",
    tags=["areas"],
    responses=_answers({200: AreaHoldOffShape(many=True)}, *ALWAYS),
)
DECLARE_AREA = extend_schema(
    operation_id="declare_area_hold_off",
    tags=["areas"],
    parameters=[KEY],
    request=NewAreaHoldOff,
    responses=_answers({201: AreaHoldOffShape}, *WITH_BODY, 422),
    examples=[STORM],
)
LIFT_AREA = extend_schema(
    operation_id="lift_area_hold_off",
    tags=["areas"],
    parameters=[KEY],
    request=Lifting,
    responses=_answers({200: AreaHoldOffShape}, *WITH_BODY, 404, 409, 422),
)

LIST_FORECASTS = extend_schema(
    operation_id="list_forecasts",
    tags=["forecasts"],
    responses=_answers({200: ForecastShape(many=True)}, *ALWAYS),
)
