"""The daemon's life: recover, listen, say so, serve, and stop when told to."""

from __future__ import annotations

import os
import signal
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio
from aiohttp import web

from pushd import __version__
from pushd.api import make_app, make_runner
from pushd.push.progress import report
from pushd.registry.profiles import PROFILES
from pushd.service.access import doors
from pushd.service.compose import compose
from pushd.service.listener import BACKLOG
from pushd.service.metrics_port import bound, serve_metrics
from pushd.service.notify import notify
from pushd.service.pulse import extend_while_moving, keep_alive, taking_time, tell_status
from pushd.service.reload import Reloader
from pushd.telemetry.events import DAEMON_STARTED, DAEMON_STOPPED, DAEMON_STOPPING, Event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushd.config import Config
    from pushd.push.ports.emit import Emit
    from pushd.service.listener import Listeners
    from pushd.telemetry.events import Kind, Level, Value
    from pushd.telemetry.metrics import Meter

_DRAIN = 20.0
"""Seconds uploads get to reach a boundary: with what follows it stays under the 30 s of the unit's TimeoutStopSec."""
_SHUTDOWN = 5.0
"""Seconds requests under way get to end when the daemon stops."""


async def serve(
    config: Config,
    listeners: Listeners,
    *,
    emit: Emit,
    meter: Meter | None = None,
    environ: Mapping[str, str],
    reread: Callable[[], Config] | None = None,
    relevel: Callable[[Level], None] = lambda _: None,
) -> None:
    """Serve until SIGTERM or SIGINT. A second signal ends the process where it stands.

    Args:
        config: to go by.
        listeners: to serve on.
        emit: hears every event.
        meter: has counted them; None where nobody reads the metrics.
        environ: tells the service manager's socket, the usual places of credentials, and proxies.
        reread: gives the configuration as it is written when SIGHUP comes; None to go on with this one.
        relevel: sets how much is logged.

    Raises:
        DaemonError: `daemon.socket`, the port for metrics cannot be listened on.
        StoreError: the state cannot be used.
    """
    async with AsyncExitStack() as stack:
        port = None if config.metrics.listen is None else stack.enter_context(bound(config.metrics.listen))
        async with taking_time(environ):
            house = await stack.enter_async_context(compose(config, emit=emit, meter=meter, environ=environ))
        addresses = {name: other.getsockname() for name, other in listeners.others.items()}
        admitted = doors(config, addresses)
        app = make_app(
            house.engine,
            house.spool,
            house.logins,
            house.metrics,
            emit=emit,
            doors=admitted,
            streams_per_user=config.limits.streams_per_user,
            request_size=config.limits.request_size,
        )
        runner = make_runner(app, shutdown_timeout=_SHUTDOWN)
        reloader = Reloader(
            config=config,
            house=house,
            doors=admitted,
            addresses=addresses,
            environ=environ,
            profiles=PROFILES,
            emit=emit,
            reread=reread or (lambda: config),
            relevel=relevel,
        )
        await runner.setup()
        try:
            async with anyio.create_task_group() as running:
                with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
                    running.start_soon(house.scheduler.run)
                    running.start_soon(report, house.board, emit)
                    running.start_soon(house.housekeeping.run)
                    if port is not None:
                        running.start_soon(serve_metrics, port, house.metrics, emit)
                    for listener in (listeners.main, *listeners.others.values()):
                        await web.SockSite(runner, listener, backlog=BACKLOG).start()
                    serving = f"serving {config.daemon.socket}"
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
                    notify(environ, "READY=1", f"STATUS={serving}")
                    running.start_soon(keep_alive, environ, house)
                    running.start_soon(tell_status, environ, house, serving)
                    async for number in signals:
                        if number != signal.SIGHUP:
                            break
                        await reloader.reload()
                # The signals have their own effects again, but for Python's of SIGINT: an exception is not an end; and
                # for that of SIGHUP, which would end what is about to end well.
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
                stopping_at = anyio.current_time()
                notify(environ, "STOPPING=1")
                running.start_soon(extend_while_moving, environ, house.board)
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
