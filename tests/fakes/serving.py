"""Serve an aiohttp application on a unix socket, as the daemon does."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from pushd.api import make_runner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def serving(app: web.Application, path: Path) -> AsyncIterator[web.AppRunner]:
    """Serve an application on a unix socket."""
    runner = make_runner(app, shutdown_timeout=60)
    await runner.setup()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o777)  # noqa: ASYNC240 (a test may block for a moment)
    await web.SockSite(runner, listener).start()
    try:
        yield runner
    finally:
        await runner.cleanup()
        path.unlink()  # noqa: ASYNC240 (the same)
