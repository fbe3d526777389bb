"""The API as one aiohttp application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from pushd.api.access import access
from pushd.api.held import Held
from pushd.api.jobs import JobRoutes
from pushd.api.patience import Patience
from pushd.api.problems import problems
from pushd.api.streams import EventRoutes
from pushd.api.submission import MAX_BODY

if TYPE_CHECKING:
    from pushd.api.ports import Jobs
    from pushd.push.ports import Emit

_PATIENCE = Patience()


def make_app(jobs: Jobs, *, emit: Emit, own_uid: int, patience: Patience = _PATIENCE) -> web.Application:
    """Build the application, to be served on a unix socket.

    Args:
        jobs: what the routes speak to.
        emit: where a defect is told.
        own_uid: the user the daemon runs as, served beside root.
        patience: how long to wait for callers.
    """
    held = Held()
    app = web.Application(middlewares=[problems(emit), access(own_uid)], client_max_size=MAX_BODY)
    app.add_routes(JobRoutes(jobs, held, patience).routes())
    app.add_routes(EventRoutes(jobs, held, emit, patience).routes())
    app.on_shutdown.append(held.release)
    return app
