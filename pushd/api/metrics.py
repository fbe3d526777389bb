"""The metrics, for Prometheus and whoever reads what it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from pushd.api import parameters
from pushd.api.accept import preferred
from pushd.api.access import PRINCIPAL
from pushd.errors import Code, RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushd.api.ports import Metrics

_TEXT: Final = "text/plain"
_OPENMETRICS: Final = "application/openmetrics-text"
CONTENT_TYPES: Final = {
    _TEXT: "text/plain; version=0.0.4; charset=utf-8",
    _OPENMETRICS: "application/openmetrics-text; version=1.0.0; charset=utf-8",
}
"""The forms there are, and how each is told on the wire; the first one for who does not care."""


async def exposition(metrics: Metrics, accept: Sequence[str]) -> tuple[str, bytes]:
    """Give the metrics in the form that `Accept` headers weigh most: the content type, and the bytes.

    Raises:
        StoreError: how things stand cannot be read.
    """
    form = preferred(accept, tuple(CONTENT_TYPES))
    return CONTENT_TYPES[form], await metrics.exposition(openmetrics=form == _OPENMETRICS)


class MetricRoutes:
    """Give the metrics to administrators: they are of everybody's work."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def routes(self) -> list[web.RouteDef]:
        """Give the table of routes."""
        return [web.get("/v1/metrics", self.metrics, allow_head=False)]

    async def metrics(self, request: web.Request) -> web.Response:
        """Give them as they are now."""
        parameters.nothing(request.query.items())
        if not request[PRINCIPAL].administrator:
            detail = "are of everybody's work, and for administrators"
            raise RequestError(Code.REQUEST_FORBIDDEN, "metrics", detail, hint="/v1/status tells of your own")
        content_type, body = await exposition(self._metrics, request.headers.getall("Accept", []))
        return web.Response(body=body, headers={"Content-Type": content_type})
