"""A registry's door: shut while the registry asked to be left alone, then opened step by step.

One answer of 429 holds back everything that goes to that registry, and nothing that goes elsewhere. When its time is
over one request goes first, then two, then four: a hundred at once would only be told to go away again.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio

from pushd.errors import Code, RegistryError
from pushd.telemetry.events import REGISTRY_THROTTLED, Event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from pushd.oci.descriptor import Descriptor
    from pushd.oci.digest import Digest
    from pushd.oci.reference import Reference
    from pushd.oci.reply import Reply, Stored
    from pushd.oci.upload import Limits, Request
    from pushd.push.ports.emit import Emit
    from pushd.push.ports.registry import Body, Registries, Registry, Stream
    from pushd.telemetry.events import Value
    from pushd.work import Asker, Check

_PATIENCE = 15.0
"""Seconds a request waits before the door. Whoever would wait longer goes away, and gives its place to others."""
_PAUSE = 1.0
"""Seconds to stay away after a first refusal that names no time; doubled for each further one."""
_PAUSE_MAX = 60.0
_WIDE = 64
"""Requests at once from which on the door counts as open."""

_KEPT = 512
"""Doors from which on those that are open and idle go: callers may name any host, one after the other."""


class Gate:
    """One registry's door.

    Args:
        name: the registry, for errors.
        rng: gives numbers in [0, 1); spreads the time of those that were given none.
        emit: is told when it shuts.
    """

    def __init__(self, name: str, *, rng: Callable[[], float], emit: Emit) -> None:
        self._name = name
        self._rng = rng
        self._emit = emit
        self._opens_at = float("-inf")
        self._width: int | None = None
        self._strikes = 0
        self._running = 0
        self._moved = anyio.Event()

    @property
    def shut_for(self) -> float:
        """Seconds until the first request may go, 0 when one may now."""
        return max(0.0, self._opens_at - anyio.current_time())

    @property
    def idle(self) -> bool:
        """Whether it knows nothing that a new door would not: it is open, and nobody passes."""
        return self._width is None and self._running == 0 and self.shut_for == 0

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[None]:
        """Wait until a request may go, and count it while it runs.

        Raises:
            RegistryError: `registry.throttled`, the door stays shut for longer than is worth waiting in a place.
        """
        while True:
            shut_for = self.shut_for
            if shut_for > _PATIENCE:
                detail = f"the registry asked for patience; the next request goes in {shut_for:.0f} s"
                raise RegistryError(Code.REGISTRY_THROTTLED, self._name, detail, retry_after=shut_for)
            if shut_for > 0:
                await anyio.sleep(shut_for)
            elif self._width is not None and self._running >= self._width:
                await self._moved.wait()
            else:
                break
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._move()

    def refused(self, retry_after: float | None) -> None:
        """The registry refused a request as too many; `retry_after`: the seconds it named, or None."""
        shuts = self.shut_for == 0  # requests that were under way when it shut say nothing new
        self._strikes += shuts
        pause = min(_PAUSE * 2.0 ** (self._strikes - 1), _PAUSE_MAX) * (0.5 + self._rng() / 2)
        seconds = pause if retry_after is None else retry_after
        if shuts:
            self._tell_of_shutting(seconds, asked=retry_after is not None)
        self._opens_at = max(self._opens_at, anyio.current_time() + seconds)
        self._width = 1

    def answered(self) -> None:
        """The registry answered a request in any other way."""
        if self._width is None or self.shut_for > 0:
            return
        self._width *= 2
        if self._width > _WIDE:
            self._width = None
            self._strikes = 0
        self._move()

    def _tell_of_shutting(self, seconds: float, *, asked: bool) -> None:
        facts: dict[str, Value] = {"registry": self._name, "seconds": round(seconds, 3), "asked": asked}
        self._emit(Event(REGISTRY_THROTTLED, datetime.now(UTC), fields=facts))

    def _move(self) -> None:
        moved, self._moved = self._moved, anyio.Event()
        moved.set()


class Gates:
    """The doors of all registries.

    Args:
        rng: gives numbers in [0, 1).
        emit: is told when one shuts.
    """

    def __init__(self, rng: Callable[[], float], emit: Emit) -> None:
        self._rng = rng
        self._emit = emit
        self._gates: dict[str, Gate] = {}

    def of(self, name: str) -> Gate:
        """Give the door of the registry `host[:port]`."""
        if name not in self._gates:
            if len(self._gates) >= _KEPT:
                self._gates = {known: gate for known, gate in self._gates.items() if not gate.idle}
            self._gates[name] = Gate(name, rng=self._rng, emit=self._emit)
        return self._gates[name]

    async def connect(self, registries: Registries, reference: Reference, *, asker: Asker) -> Gated:
        """Give a destination's registry behind its door, with the credential that is the asker's to use there.

        No request is made.

        Raises:
            RegistryError, RequestError: as `Registries.connect` does.
        """
        registry = await registries.connect(reference.registry, repository=reference.repository, asker=asker)
        return Gated(registry, self.of(reference.registry))

    def shut(self) -> dict[str, float]:
        """Give the registries whose door is shut, and for how many seconds."""
        return {name: gate.shut_for for name, gate in self._gates.items() if gate.shut_for > 0}


class Gated:
    """A registry behind its door: what `ports.Registry` asks for, and no request that it asked not to get."""

    def __init__(self, registry: Registry, gate: Gate) -> None:
        self._registry = registry
        self._gate = gate

    @property
    def name(self) -> str:
        """`host[:port]`."""
        return self._registry.name

    @property
    def credential(self) -> str:
        """The credential's name."""
        return self._registry.credential

    @property
    def borrowed(self) -> bool:
        """Whether the credential is the submitter's own."""
        return self._registry.borrowed

    @property
    def accepted(self) -> bool:
        """Whether the credential was ever taken."""
        return self._registry.accepted

    @property
    def limits(self) -> Limits:
        """How uploads to it are done."""
        return self._registry.limits

    async def verify(self) -> bool | None:
        """As the registry does."""
        async with self._watched():
            return await self._registry.verify()

    async def head_manifest(self, repository: str, reference: str) -> Digest | None:
        """As the registry does."""
        async with self._watched():
            return await self._registry.head_manifest(repository, reference)

    async def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> Stored:
        """As the registry does."""
        async with self._watched():
            return await self._registry.put_manifest(repository, reference, content, media_type)

    async def get_manifest(self, repository: str, reference: str) -> tuple[str, bytes]:
        """As the registry does."""
        async with self._watched():
            return await self._registry.get_manifest(repository, reference)

    async def find_manifest(self, repository: str, reference: str) -> tuple[str, bytes] | None:
        """As the registry does."""
        async with self._watched():
            return await self._registry.find_manifest(repository, reference)

    async def get_referrers(self, repository: str, subject: Digest) -> Sequence[bytes] | None:
        """As the registry does."""
        async with self._watched():
            return await self._registry.get_referrers(repository, subject)

    async def has_blob(self, repository: str, blob: Descriptor) -> bool:
        """As the registry does."""
        async with self._watched():
            return await self._registry.has_blob(repository, blob)

    async def get_blob(self, repository: str, blob: Descriptor, offset: int) -> Stream:
        """As the registry does. What is read of it then has passed the door."""
        async with self._watched():
            return await self._registry.get_blob(repository, blob, offset)

    async def perform(self, repository: str, request: Request, body: Body | bytes | None = None) -> Reply:
        """As the registry does."""
        async with self._gate.passage():
            reply = await self._registry.perform(repository, request, body)
            if reply.throttled:
                self._gate.refused(reply.retry_after)
            else:
                self._gate.answered()
            return reply

    async def diagnose(self, repository: str | None) -> Sequence[Check]:
        """As the registry does."""
        return await self._registry.diagnose(repository)

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        async with self._gate.passage():
            try:
                yield
            except RegistryError as error:
                if error.code is Code.REGISTRY_THROTTLED or error.retry_after is not None:
                    self._gate.refused(error.retry_after)
                raise
            self._gate.answered()
