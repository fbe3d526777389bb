"""Claims deliveries as places become free, runs them side by side, and writes down how each ended.

Each registry has its own number of deliveries that run at once, so that one that stalls holds up nobody else; one that
asked to be left alone gets none.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio

from pushd.errors import Code, PushdError, StoreError
from pushd.job import DeliveryState, Failure
from pushd.push.retry import GiveUp, Hold, decide, past_deadline
from pushd.push.run import DrainedError, Ready, Stop
from pushd.telemetry.faults import fault, store_failed
from pushd.work import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import TaskGroup

    from pushd.push.delivery import Deliverer
    from pushd.push.gate import Gates
    from pushd.push.ports.emit import Emit
    from pushd.push.ports.store import JobStore
    from pushd.push.progress import Board
    from pushd.push.retry import Policy
    from pushd.work import Claim

_STORE_PAUSE = 2.0
"""Seconds between tries to write down how a delivery ended, while the disk is full."""
_STILL = 3.0
"""Seconds without a byte after which a drain waits no longer."""
_INTERRUPT = 15.0
"""Seconds an interrupted delivery gets to reach a boundary, before it is cut short where it stands."""
_IN_VAIN = 4
"""Looks at the queue that found nothing, after which the next one waits a little."""
_BREATH = 0.02
"""Seconds it waits: a thousand submissions a second for a registry that is full or paused are no reason for as many."""
_AT_ONCE = 16
"""Deliveries that are claimed in one transaction."""
_LOOK = 300.0
"""Seconds after which the queue is looked at though nobody called."""


@dataclass(frozen=True, slots=True, eq=False)
class _Running:
    """A delivery under way, and how to stop it."""

    claim: Claim
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    stop: Stop = field(default_factory=Stop)


class Scheduler:
    """Runs deliveries.

    Args:
        gates: the doors of the registries.
        per_registry: deliveries that run at once to one registry.
        policy: how patient they are.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        deliverer: Deliverer,
        board: Board,
        gates: Gates,
        emit: Emit,
        per_registry: int,
        policy: Policy,
        rng: Callable[[], float],
    ) -> None:
        self._store = store
        self._deliverer = deliverer
        self._board = board
        self._gates = gates
        self._emit = emit
        self._rng = rng
        self._running: dict[int, _Running] = {}
        self._claimed = 0
        self._called = anyio.Event()
        self._ended = anyio.Event()
        self._draining = False
        self.configure(per_registry=per_registry, policy=policy)

    def configure(self, *, per_registry: int, policy: Policy) -> None:
        """Run as many, as patiently, from now on."""
        self._per_registry = per_registry
        self._policy = policy
        self.wake()

    @property
    def running(self) -> Counter[str]:
        """How many deliveries run, by registry."""
        return Counter(running.claim.registry for running in self._running.values())

    def wake(self) -> None:
        """Say that there may be something to claim."""
        self._called.set()

    def cancel(self, delivery_id: int) -> None:
        """Stop a running delivery for good: what it began is cleaned up at the registry."""
        running = self._running.get(delivery_id)
        if running is not None:
            running.stop.abandoned = True
            running.scope.cancel()

    def interrupt(self, delivery_id: int) -> None:
        """Stop a running delivery at its next boundary: the store says whether it is paused then, or queued."""
        running = self._running.get(delivery_id)
        if running is not None and not running.stop.draining:
            running.stop.draining = True
            running.scope.deadline = min(running.scope.deadline, anyio.current_time() + _INTERRUPT)

    async def drain(self, patience: float) -> None:
        """Claim no more, and wait for what runs to reach a boundary and the queue.

        For at most `patience` seconds, and no longer than something moves: an upload that stalls has no boundary.
        """
        self._draining = True
        for running in self._running.values():
            running.stop.draining = True
        with anyio.move_on_after(patience):
            while self._running:
                version = self._board.version
                with anyio.move_on_after(_STILL):
                    await self._ended.wait()
                    continue
                if self._board.version == version:
                    break

    async def run(self) -> None:
        """Claim and run until cancelled. What runs then is cut short, and goes on in the daemon's next life."""
        async with anyio.create_task_group() as deliveries:
            in_vain = 0
            while True:
                self._called = anyio.Event()
                before = self._claimed
                pause = await self._claim_all(deliveries)
                in_vain = in_vain + 1 if self._claimed == before else 0
                if in_vain > _IN_VAIN:
                    await anyio.sleep(_BREATH)
                with anyio.move_on_after(pause):
                    await self._called.wait()

    async def _claim_all(self, deliveries: TaskGroup) -> float:
        """Claim what may run; give the seconds after which to look again."""
        shut = self._gates.shut()
        due = None
        try:
            while not self._draining:
                free = {name: max(0, self._per_registry - count) for name, count in self.running.items()}
                claims, due = await self._store.claim_all(
                    datetime.now(UTC), free=free, default=self._per_registry, most=_AT_ONCE, shut=shut
                )
                self._claimed += len(claims)
                for claim in claims:
                    running = self._running[claim.delivery_id] = _Running(claim)
                    deliveries.start_soon(self._run, running)
                if len(claims) < _AT_ONCE:
                    break
        except StoreError as error:
            self._emit(store_failed(error, where="claiming the next delivery"))
            return _STORE_PAUSE
        pauses = [_LOOK, *shut.values()]
        if due is not None:
            pauses.append((due - datetime.now(UTC)).total_seconds())
        return max(0.01, min(pauses))

    async def _run(self, running: _Running) -> None:
        claim = running.claim
        ending: Outcome | Ready | Hold | None = None  # None: cut short, to go on in the daemon's next life
        try:
            ending = await self._ending(running)
        finally:
            await self._write(claim, ending)
            del self._running[claim.delivery_id]
            self._board.clear(claim.delivery_id)
            self._ended.set()
            self._ended = anyio.Event()
            self.wake()

    async def _ending(self, running: _Running) -> Outcome | Ready | Hold | None:
        """Run a delivery; give how it ended, that it waits for others, until when it is held, or None.

        That is when it is to go on in another life.
        """
        claim, scope = running.claim, running.scope
        left = (claim.deadline_at - datetime.now(UTC)).total_seconds()
        scope.deadline = min(scope.deadline, anyio.current_time() + left)
        try:
            with scope:
                return await self._deliverer.deliver(claim, running.stop)
        except DrainedError:
            return None
        except Exception as error:  # noqa: BLE001 (a defect of ours ends one delivery, never the daemon)
            return await self._failed(claim, error)
        if running.stop.abandoned:
            return Outcome(state=DeliveryState.CANCELLED)
        if running.stop.draining:
            return None  # no boundary came in time; what stands on the disk is where it goes on
        return Outcome(state=DeliveryState.FAILED, failure=past_deadline())

    async def _failed(self, claim: Claim, error: Exception) -> Outcome | Hold:
        """Decide what becomes of a delivery that ended in `error`."""
        if not isinstance(error, PushdError):
            self._emit(fault(error, where=f"delivery to {claim.destination}"))
            message = f"a defect in pushd ended this delivery ({type(error).__name__}); the log has the details"
            failure = Failure(code=str(Code.DAEMON_INTERNAL), message=message, retryable=False)
            return Outcome(state=DeliveryState.FAILED, failure=failure)
        decision = decide(
            error,
            attempt=claim.tries,
            met=await self._met(claim.registry),
            now=datetime.now(UTC),
            deadline=claim.deadline_at,
            policy=self._policy,
            rng=self._rng,
        )
        if isinstance(decision, GiveUp):
            return Outcome(state=DeliveryState.FAILED, failure=decision.failure)
        return decision

    async def _met(self, registry: str) -> bool:
        try:
            return await self._store.met(registry)
        except StoreError:
            return True  # not known: be patient

    async def _write(self, claim: Claim, ending: Outcome | Ready | Hold | None) -> None:
        """Write down how a delivery ended, for as long as it takes: what happened must not be lost."""
        while True:
            try:
                with anyio.CancelScope(shield=True):
                    if ending is None:
                        await self._store.release(claim)
                    elif isinstance(ending, Hold):
                        await self._store.hold(claim, ending.until, ending.failure)
                    elif isinstance(ending, Ready):
                        await self._store.ready(claim, datetime.now(UTC))
                    else:
                        for delivery_id in await self._store.finish(claim, ending, datetime.now(UTC)):
                            self.interrupt(delivery_id)  # its tag was to move with this one, and will not
            except StoreError as error:
                if error.code is Code.STORE_CLAIM_LOST:
                    return  # somebody ended it meanwhile, and theirs is what counts
                self._emit(store_failed(error, where=f"writing down how the delivery to {claim.destination} ended"))
                await anyio.sleep(_STORE_PAUSE)
            else:
                return
