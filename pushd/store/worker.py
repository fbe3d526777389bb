"""A thread that owns a connection, and the way from the event loop to it and back."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pushd.errors import Code, StoreError
from pushd.store.answer import Answer

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from pushd.telemetry.events import Event

_GROUP = 256
"""The most operations that share a commit: enough to make a flush cheap, few enough that none waits long."""

Given = TypeVar("Given")
"""What the operations of a thread are given: a connection, or a transaction on it."""

Result = TypeVar("Result")


_CROWD = 4
"""Operations in the last group from which on those who have patience wait for one another."""
_GATHER = 0.002
"""Seconds they wait at most. The threads of one interpreter get in each other's way with every statement: when many
callers come at once, it is quicker to let them all come, and then to serve them in one go."""


@dataclass(frozen=True, slots=True)
class _Call(Generic[Given]):
    operation: Callable[[Given], object]
    future: asyncio.Future[Any]
    lost: Callable[[Any], object]
    patient: bool


class Worker(Generic[Given]):
    """Runs what it is handed, in order, on one thread that alone uses the connection.

    What was handed over is done whether or not its caller still waits: a caller that is cancelled loses the answer,
    never half of the work.
    """

    def __init__(
        self,
        name: str,
        connection: sqlite3.Connection,
        serve: Callable[[Sequence[Callable[[Given], object]]], Sequence[Answer]],
        publish: Callable[[Sequence[Event]], None],
    ) -> None:
        """Start the thread. Call it on the event loop that will wait for the answers.

        Args:
            name: the thread's.
            connection: closed by the thread when it ends.
            serve: runs a group of operations and gives an answer for each; raises nothing it can help.
            publish: is given, on the event loop, the events a group wrote, before any caller goes on.
        """
        self._connection = connection
        self._serve = serve
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._calls: queue.SimpleQueue[_Call[Given] | None] = queue.SimpleQueue()
        self._closing = False
        self._ended: asyncio.Future[None] = self._loop.create_future()
        # A daemon thread: an interpreter that ends without `close` must not wait for it, and what is committed stays.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def send(
        self,
        operation: Callable[[Given], Result],
        *,
        lost: Callable[[Result], object] = lambda _: None,
        patient: bool = False,
    ) -> asyncio.Future[Result]:
        """Hand an operation over; it has begun, or will, once this returns.

        Args:
            operation: what to do on the thread.
            lost: is given, on the event loop, what the operation gave when its future was cancelled before.
            patient: whether it may wait a moment for others of its kind, when there are many.

        Returns:
            A future of what the operation gives. Cancelling it does not stop the operation.

        Raises:
            StoreError: `store.unavailable`, it is closed.
        """
        if self._closing:
            raise StoreError(Code.STORE_UNAVAILABLE, "", "the store is closed", hint="the daemon is stopping")
        future: asyncio.Future[Result] = self._loop.create_future()
        self._calls.put(_Call(operation, future, lost, patient))
        return future

    async def close(self) -> None:
        """Do what was handed over, close the connection, end the thread. Idempotent."""
        if not self._closing:
            self._closing = True
            self._calls.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()  # at its last line: this takes no time

    def _run(self) -> None:
        going_on, crowd = True, 0
        while going_on:
            group, going_on = self._gathered(crowd)
            crowd = len(group)
            if group:
                self._tell_loop(self._settle, group, self._answers(group))
        self._connection.close()
        self._tell_loop(self._ended.set_result, None)

    def _gathered(self, crowd: int) -> tuple[list[_Call[Given]], bool]:
        """Wait for calls, and give those that are served together, and whether there will be more.

        Args:
            crowd: how many were served together the last time.
        """
        group: list[_Call[Given]] = []
        until = None
        try:
            call = self._calls.get()
            while call is not None:
                group.append(call)
                if len(group) == _GROUP:
                    break
                if not call.patient or crowd < _CROWD:
                    call = self._calls.get_nowait()
                else:
                    until = until or time.monotonic() + _GATHER
                    call = self._calls.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            return group, True
        return group, call is not None

    def _answers(self, group: Sequence[_Call[Given]]) -> Sequence[Answer]:
        try:
            return self._serve([call.operation for call in group])
        except BaseException as error:  # noqa: BLE001 (a thread that dies leaves every caller waiting for ever)
            return [Answer(error=error)] * len(group)

    def _tell_loop(self, callback: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop is closed: nobody waits any more, and the disk has it
            return

    def _settle(self, group: Sequence[_Call[Given]], answers: Sequence[Answer]) -> None:
        for call, answer in zip(group, answers, strict=True):
            if answer.error is None:
                if call.future.cancelled():
                    call.lost(answer.value)
                else:
                    call.future.set_result(answer.value)
            elif not call.future.cancelled():
                call.future.set_exception(answer.error)
        # Callers are woken by a later turn of the loop: what they do next comes after what is published here.
        told = [event for answer in answers for event in answer.told]
        if told:
            self._publish(told)
