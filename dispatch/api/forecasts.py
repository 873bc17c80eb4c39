"""Forecasts over REST, to be read: nobody changes what was issued."""

from __future__ import annotations

from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request
from rest_framework.response import Response

from dispatch.api import schema
from dispatch.api.access import GridAuthentication, MachineOrViewer
from dispatch.api.filters import ForecastFilter, ForecastPages
from dispatch.api.forecast_shapes import ForecastShape
from dispatch.api.views import GridView
from dispatch.models import Forecast


class ForecastsView(GridView):
    queryset = Forecast.objects.select_related("program", "feeder", "score")
    serializer_class = ForecastShape
    filter_backends = (DjangoFilterBackend,)
    filterset_class = ForecastFilter
    pagination_class = ForecastPages
    authentication_classes = (GridAuthentication, SessionAuthentication)
    permission_classes = (MachineOrViewer,)

    @schema.LIST_FORECASTS
    def get(self, request: Request) -> Response:
        """List forecasts with their scores, the newest first: what cars will do in the
        24 hours from `issued_at` if nobody holds them, with 50 % and 90 % intervals.
        """
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(ForecastShape(page, many=True).data)
