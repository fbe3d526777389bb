"""What the service manager hears while nothing else happens: that the daemon is alive, and what it does."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio

from pushd.errors import StoreError
from pushd.service.notify import notify

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from pushd.push.progress import Board
    from pushd.service.compose import House

_EXTENSION: Final = 15.0
"""Seconds more that are asked for where something takes its time."""
_STEP: Final = 5.0
"""Seconds between two such requests."""
_STATUS: Final = 10.0
"""Seconds between two looks at what the daemon does."""


def watchdog(environ: Mapping[str, str]) -> float | None:
    """Give the seconds within which the manager wants a sign of life (sd_watchdog_enabled(3)); None for never."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 1_000_000 if text.isascii() and text.isdigit() and int(text) > 0 else None


async def keep_alive(environ: Mapping[str, str], house: House) -> None:
    """Give a sign of life twice in the time the manager waits for one, until cancelled.

    None is given while the event loop is held up, which is when this is not run, or while the threads of the store do
    not answer. A registry that is stuck is no reason to start everybody over: its own deadlines see to that.
    """
    interval = watchdog(environ)
    if interval is None:
        return
    while True:
        with anyio.move_on_after(interval / 2) as waiting:
            await _answering(house)
        if not waiting.cancelled_caught:
            notify(environ, "WATCHDOG=1")
            await anyio.sleep(interval / 2)


async def _answering(house: House) -> None:
    """Wait until both threads of the store have answered; that it fails is an answer as well."""
    try:
        await house.store.answers()
    except StoreError:
        return


async def tell_status(environ: Mapping[str, str], house: House, serving: str) -> None:
    """Tell what the daemon does, whenever that has changed, until cancelled; nobody, where there is nobody to tell."""
    before = serving
    while "NOTIFY_SOCKET" in environ:
        await anyio.sleep(_STATUS)
        news = house.engine.hub.news()
        status, moving = await _status(house, serving)
        if status != before:
            notify(environ, f"STATUS={status}")
            before = status
        if not moving:
            await news.wait()


async def _status(house: House, serving: str) -> tuple[str, bool]:
    """Give what the daemon does, and whether that may change with no event told."""
    try:
        queue = await house.store.queue()
    except StoreError:
        return f"{serving}; its database does not answer", True
    total = {state: sum(states[state] for states in queue.values()) for state in ("running", "queued", "held")}
    rate = sum(house.board.rate(name, anyio.current_time()) for name in queue)
    if not any(total.values()):
        return serving, False
    counts = ", ".join(f"{count} {state}" for state, count in total.items() if count)
    return f"{serving}; deliveries: {counts}; {rate / 1e6:.1f} MB/s", total["running"] > 0 or rate > 0


@asynccontextmanager
async def taking_time(environ: Mapping[str, str]) -> AsyncIterator[None]:
    """Ask the manager for more time, again and again, while this lasts: a start that recovers a lot has not failed."""

    async def ask() -> None:
        while True:
            await anyio.sleep(_STEP)
            notify(environ, f"EXTEND_TIMEOUT_USEC={int(_EXTENSION * 1_000_000)}")

    failure: Exception | None = None
    async with anyio.create_task_group() as asking:
        asking.start_soon(ask)
        try:
            yield
        except Exception as error:  # noqa: BLE001 (raised below, by itself and in no group)
            failure = error
        asking.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def extend_while_moving(environ: Mapping[str, str], board: Board) -> None:
    """Ask for more time to stop while bytes still move, until cancelled."""
    while True:
        version = board.version
        await anyio.sleep(_STEP)
        if board.version != version:
            notify(environ, f"EXTEND_TIMEOUT_USEC={int(_EXTENSION * 1_000_000)}")
