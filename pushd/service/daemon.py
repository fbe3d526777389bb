"""The daemon's life: recover, listen, say so, serve, and stop when told to."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio
from aiohttp import web

from pushd import __version__
from pushd.api import make_app, server_logger
from pushd.push.progress import report
from pushd.service.access import doors
from pushd.service.compose import compose
from pushd.service.listener import BACKLOG
from pushd.service.notify import notify
from pushd.telemetry.events import DAEMON_STARTED, DAEMON_STOPPED, DAEMON_STOPPING, Event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushd.config import Config
    from pushd.push.ports.emit import Emit
    from pushd.service.listener import Listeners
    from pushd.telemetry.events import Kind, Value

_DRAIN = 20.0
"""Seconds uploads get to reach a boundary: with what follows it stays under the 30 s of the unit's TimeoutStopSec."""
_SHUTDOWN = 5.0
"""Seconds requests under way get to end when the daemon stops."""


async def serve(config: Config, listeners: Listeners, *, emit: Emit, environ: Mapping[str, str]) -> None:
    """Serve until SIGTERM or SIGINT. A second signal ends the process where it stands.

    Raises:
        StoreError: the state cannot be used.
    """
    async with compose(config, emit=emit, environ=environ) as house:
        app = make_app(
            house.engine,
            house.spool,
            house.logins,
            emit=emit,
            doors=doors(config, {name: other.getsockname() for name, other in listeners.others.items()}),
            streams_per_user=config.limits.streams_per_user,
            request_size=config.limits.request_size,
        )
        runner = web.AppRunner(
            app, access_log=None, logger=server_logger(), shutdown_timeout=_SHUTDOWN, handle_signals=False
        )
        await runner.setup()
        try:
            async with anyio.create_task_group() as running:
                with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                    running.start_soon(house.scheduler.run)
                    running.start_soon(report, house.board, emit)
                    running.start_soon(house.housekeeping.run)
                    for listener in (listeners.main, *listeners.others.values()):
                        await web.SockSite(runner, listener, backlog=BACKLOG).start()
                    emit(
                        _event(
                            DAEMON_STARTED,
                            version=__version__,
                            pid=os.getpid(),
                            socket=str(config.daemon.socket),
                            state_dir=str(config.daemon.state_dir),
                            epoch=house.store.epoch,
                            requeued=house.store.requeued,
                        )
                    )
                    notify(environ, "READY=1", f"STATUS=serving {config.daemon.socket}")
                    number = await anext(aiter(signals))
                # The signals have their own effects again, but for Python's of SIGINT: an exception is not an end.
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                stopping_at = anyio.current_time()
                notify(environ, "STOPPING=1")
                running_now = house.scheduler.running.total()
                emit(_event(DAEMON_STOPPING, reason=signal.Signals(number).name, running=running_now))
                # Chunks in flight reach their boundary, or are cut short when that takes too long. Either way the
                # next life finds the checkpoints on the disk and the deliveries in the queue, and goes on.
                await house.scheduler.drain(_DRAIN)
                running.cancel_scope.cancel()
        finally:
            await runner.cleanup()
    emit(_event(DAEMON_STOPPED, seconds=round(anyio.current_time() - stopping_at, 3)))


def _event(kind: Kind, **fields: Value) -> Event:
    return Event(kind, datetime.now(UTC), fields=fields)
