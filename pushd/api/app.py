"""The API as one aiohttp application."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from aiohttp import web

from pushd.api.access import access
from pushd.api.callers import add_routes
from pushd.api.correlation import correlated, give_back
from pushd.api.daemon import DaemonRoutes
from pushd.api.held import Held
from pushd.api.jobs import JobRoutes
from pushd.api.logins import LoginRoutes
from pushd.api.metrics import MetricRoutes
from pushd.api.patience import Patience
from pushd.api.problems import problems
from pushd.api.registries import RegistryRoutes
from pushd.api.spool import SpoolRoutes
from pushd.api.streams import EventRoutes

if TYPE_CHECKING:
    from pushd.api.access import Doors
    from pushd.api.ports import Jobs, Logins, Metrics, Spool
    from pushd.push.ports.emit import Emit

_PATIENCE = Patience()


def make_app(
    jobs: Jobs,
    spool: Spool,
    logins: Logins,
    metrics: Metrics,
    *,
    emit: Emit,
    doors: Doors,
    streams_per_user: int,
    request_size: int,
    patience: Patience = _PATIENCE,
) -> web.Application:
    """Build the application, to be served on unix sockets.

    Args:
        jobs: what the routes speak to,
        spool: where bytes are brought to,
        logins: where credentials are stored,
        metrics: and what is measured.
        emit: where a defect is told.
        doors: who is served.
        streams_per_user: event streams one user may have open.
        request_size: bytes of a request's body; what goes to the spool is limited there.
        patience: how long to wait for callers.
    """
    held = Held(patience.look)
    app = web.Application(middlewares=[correlated(), problems(emit), access(doors)], client_max_size=request_size)
    rooms = (
        JobRoutes(jobs, held, patience),
        RegistryRoutes(jobs, patience),
        LoginRoutes(logins, patience),
        EventRoutes(jobs, held, emit, per_user=streams_per_user, patience=patience),
        SpoolRoutes(spool, held, patience),
        DaemonRoutes(jobs),
        MetricRoutes(metrics),
    )
    add_routes(app, chain.from_iterable(room.routes() for room in rooms))
    app.on_response_prepare.append(give_back)
    app.on_shutdown.append(held.release)
    return app
