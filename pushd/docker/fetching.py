"""Images fetched out of an engine into the spool, as they come and never onto another disk."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

import anyio

from pushd.docker.export import exported
from pushd.errors import Code, RequestError, SourceError, StoreError
from pushd.job import Spooled
from pushd.oci.platform import Platform
from pushd.source.cargo import FIRST, LEAST, NO_ROOM, Cargo, put_together
from pushd.source.engine_answer import answered, blamed
from pushd.source.engine_name import image_in_engine
from pushd.source.forward import SUBJECT, Forward

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from pushd.docker.export import Export
    from pushd.oci.descriptor import Descriptor
    from pushd.work import SpoolEntry, SpoolFile

AT_ONCE: Final = 4
"""Images fetched at once: each has a thread, and some 16 MiB in memory."""

T = TypeVar("T")


class Spool(Protocol):
    """What of the spool is needed; it raises as `api.ports.Spool` says."""

    async def create(self, *, uid: int, size: int, ttl: float | None) -> SpoolEntry:
        """Make an entry, with its bytes reserved."""

    async def resize(self, entry: str, *, uid: int, size: int) -> SpoolEntry:
        """Reserve another number of bytes for an entry, never less than are there."""

    async def receive(
        self, entry: str, name: str, *, uid: int, offset: int, pieces: AsyncIterator[bytes], complete: bool
    ) -> SpoolFile:
        """Append bytes to a file of an entry."""

    def using(self, entry: str, *, uid: int) -> AbstractContextManager[None]:
        """Keep an entry from being removed while the context lasts."""

    async def discard(self, entry: str, reason: str) -> None:
        """Remove an entry. Idempotent."""


@dataclass(slots=True, kw_only=True)
class Docker:
    """An engine, wherever it is found.

    Attributes:
        sockets: paths it may be behind, in the order in which they are tried.
        threads: where archives are taken in; `AT_ONCE` of them.
        fetching: who does not fit in waits.
    """

    spool: Spool
    sockets: Sequence[str]
    threads: Executor
    fetching: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(AT_ONCE))

    async def fetch(self, source: str, *, uid: int, platforms: Collection[str]) -> Spooled:
        """Bring the image that `source` names, `docker-daemon:IMAGE`, to the spool; give where it is. It is durable.

        Of an index only what is for `platforms` has to be there, if there are any, and is the image. Cancelled or
        failed, nothing is left of it.

        Args:
            source: its name.
            uid: whose the bytes are.
            platforms: as in `JobSpec`.

        Raises:
            RequestError: `request.invalid_reference`, `source` names no single image; `request.limit`, the owner's
                quota is used up.
            SourceError: `source.not_found`, `source.unreadable`, and their kind.
            StoreError: `store.full`, `store.budget`.
        """
        image = image_in_engine(source)
        chosen = [Platform.parse(platform) for platform in platforms]
        async with self.fetching, exported(image, self.sockets) as export:
            entry = await self._make(uid)
            try:
                with self.spool.using(entry.id, uid=uid):
                    root = await self._taken(export, _Entry(self.spool, entry, uid), image, chosen)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await self.spool.discard(entry.id, "its image was not fetched")
                raise
        return Spooled(entry=entry.id, media_type=root.media_type, digest=str(root.digest), size=root.size)

    async def _taken(self, export: Export, hold: _Entry, image: str, platforms: Collection[Platform]) -> Descriptor:
        """Take an archive in, in a thread, and give the image's root; the thread ends with whoever waits for it."""
        taking = asyncio.wrap_future(self.threads.submit(_take, export, hold, image, platforms))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            export.stop()
            with anyio.CancelScope(shield=True):  # until the piece is written that it is at
                await asyncio.wait([taking])
            taking.exception()  # nobody will hear of it
            raise

    async def _make(self, uid: int) -> SpoolEntry:
        try:
            return await self.spool.create(uid=uid, size=FIRST, ttl=None)
        except (RequestError, StoreError) as error:
            if error.code not in NO_ROOM:
                raise
            return await self.spool.create(uid=uid, size=LEAST, ttl=None)


def _take(export: Export, hold: _Entry, image: str, platforms: Collection[Platform]) -> Descriptor:
    """Take the archive in, and put the image together from it; give its root. Blocks."""
    cargo = Cargo(hold)
    try:
        cargo.take_all(Forward(cast("BinaryIO", _Stream(export, hold))))
        _, root = put_together(cargo, lambda documents: answered(documents, image), platforms)
    except SourceError as error:
        if not error.subject.endswith(SUBJECT):
            raise
        said = hold.ask(export.regret()) if error.code is Code.SOURCE_ARCHIVE_INVALID else ""
        raise blamed(error, image, export.engine, said) from error
    cargo.trim()
    return root


class _Stream:
    """An export, read from a thread."""

    def __init__(self, export: Export, hold: _Entry) -> None:
        self._export = export
        self._hold = hold
        self._left = memoryview(b"")

    def read(self, length: int) -> bytes:
        """Give up to `length` of the next bytes; none at the end."""
        if not self._left:
            self._left = memoryview(self._hold.ask(self._export.piece()))
        part = bytes(self._left[:length])
        self._left = self._left[length:]
        return part


class _Entry:
    """An entry of the spool, filled from a thread."""

    def __init__(self, spool: Spool, entry: SpoolEntry, uid: int) -> None:
        self.reserved = entry.size
        self._spool = spool
        self._id = entry.id
        self._uid = uid
        self._loop = asyncio.get_running_loop()

    def resize(self, size: int) -> None:
        self.ask(self._spool.resize(self._id, uid=self._uid, size=size))
        self.reserved = size

    def bring(self, name: str, content: bytes, at: int, *, last: bool) -> str:
        pieces = _only(content)
        received = self._spool.receive(self._id, name, uid=self._uid, offset=at, pieces=pieces, complete=last)
        return self.ask(received).name

    def ask(self, answer: Coroutine[Any, Any, T]) -> T:
        """Wait, in the thread, for something that is done in the loop."""
        return asyncio.run_coroutine_threadsafe(answer, self._loop).result()


async def _only(content: bytes) -> AsyncIterator[bytes]:
    yield content
