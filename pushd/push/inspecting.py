"""Images looked into on request: once for each job, by whichever delivery comes first, before anything is sent."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from pushd.errors import Code, DaemonError, SourceError
from pushd.inspection.image import make_worklist
from pushd.inspection.layer import Bounds, LayerCheck, check_head
from pushd.oci.magic import HEAD
from pushd.push import survey
from pushd.push.hashing import mismatch
from pushd.push.locks import KeyedLocks
from pushd.push.run import DrainedError
from pushd.work import Inspection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Executor

    from pushd.inspection.layer import Layer
    from pushd.oci.descriptor import Descriptor
    from pushd.oci.image import Image
    from pushd.push.ports.source import BlobReader, Source
    from pushd.push.ports.store import JobStore
    from pushd.push.run import Stop
    from pushd.work import Claim, FileIdentity

T = TypeVar("T")

_PIECE: Final = 256 << 10
"""Bytes read at once; between two of them it is seen whether to stop."""
_LASTING: Final = frozenset(
    {
        Code.SOURCE_LAYER_MEDIA_TYPE,
        Code.SOURCE_LAYER_INVALID,
        Code.SOURCE_LAYER_BOMB,
        Code.SOURCE_LAYER_DIFF_ID,
        Code.SOURCE_MANIFEST_INVALID,
        Code.SOURCE_MANIFEST_TOO_LARGE,
    }
)
"""What is wrong with the very bytes that were asked for: it will be wrong again for every delivery."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspector:
    """Looks into images.

    Attributes:
        threads: where, and how many layers at once; nobody else's, so that nobody's reading waits behind it.
        alone: one delivery of a job looks, and the others take what it found; for plans, one of each user.
        bounds: how much may come out of a layer.
    """

    store: JobStore
    threads: Executor
    alone: KeyedLocks[str] = field(default_factory=KeyedLocks)
    bounds: Bounds = field(default_factory=Bounds)
    _closed: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None:
        """Have whatever is being looked into end at its next piece: the daemon is about to be gone."""
        self._closed.set()

    async def ensure(
        self, claim: Claim, image: Image, open_source: Callable[[Claim], Awaitable[Source]], stop: Stop
    ) -> None:
        """Make sure that the image of a claim's job was looked into, and is as it should be.

        Raises:
            SourceError: it is not: `source.layer_invalid`, `.layer_media_type`, `.layer_bomb`, `.layer_diff_id`,
                `.manifest_invalid`, `.blob_digest`; or it cannot be read.
            StoreError: what was found could not be written down.
            DrainedError: the delivery is to stop.
        """
        async with self.alone.holding(claim.job_id):
            found = await self.store.inspection(claim.job_id)
            if found is None:
                await self._inspect(claim, image, open_source, stop)
            elif found.code:
                raise SourceError(Code(found.code), "", found.message)

    async def _inspect(
        self, claim: Claim, image: Image, open_source: Callable[[Claim], Awaitable[Source]], stop: Stop
    ) -> None:
        """Look, and write down what was found."""
        source = await open_source(claim)
        try:
            found = await self.look(source, image, halted=lambda: stop.draining)
        except SourceError as error:
            if error.code in _LASTING:
                await self.store.inspected(claim, Inspection(code=str(error.code), message=str(error)))
            raise
        finally:
            source.close()
        await self.store.inspected(claim, found)

    async def judge(self, source: Source, image: Image, *, uid: int) -> SourceError | None:
        """Give what the deliveries of a job would find wrong with an image. One is looked into at a time for a user.

        Raises:
            DaemonError: `daemon.unreachable`, the daemon is about to stop.
        """
        async with self.alone.holding(f"uid {uid}"):
            try:
                await self.look(source, image)
            except SourceError as error:
                return error
            except DrainedError as error:
                hint = "ask again in a moment"
                raise DaemonError(Code.DAEMON_UNREACHABLE, "pushd", "is about to stop", hint=hint) from error
        return None

    async def look(self, source: Source, image: Image, *, halted: Callable[[], bool] = lambda: False) -> Inspection:
        """Look into an image: all its layers side by side, as far as there are threads.

        Cancelling it ends the threads' work within a piece of a layer, as does `halted`, which is asked there.

        Raises:
            SourceError: as `ensure` does.
            DrainedError: it was halted, or this was closed.
        """
        begun = anyio.current_time()
        left = threading.Event()
        sizes: list[int] = []

        async def one(layer: Layer) -> None:
            looking = _Looking(source, layer, self.bounds, lambda: left.is_set() or self._closed.is_set() or halted())
            identity, size = await self._hop(looking.run)
            sizes.append(size)
            if identity is not None and await self.store.validated(identity) != layer.blob.digest:
                await self.store.validate(identity, layer.blob.digest, datetime.now(UTC))

        try:
            work = await self._hop(partial(make_worklist, image, partial(_whole, source)))
            async with anyio.create_task_group() as looking:
                for layer in work.layers:
                    looking.start_soon(one, layer)
        except BaseExceptionGroup as group:
            raise survey.first(group) from None
        finally:
            left.set()
        seconds = round(anyio.current_time() - begun, 3)
        return Inspection(layers=len(work.layers), skipped=work.skipped, size=sum(sizes), seconds=seconds)

    async def _hop(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self.threads.submit(work))


@dataclass(frozen=True, slots=True)
class _Looking:
    """One layer, looked into on a thread."""

    source: Source
    layer: Layer
    bounds: Bounds
    halted: Callable[[], bool]

    def run(self) -> tuple[FileIdentity | None, int]:
        """Look; give the identity of what was hashed on the way, if all of it was, and the bytes that came out."""
        if self.halted():
            raise DrainedError
        blob, diff_id = self.layer.blob, self.layer.diff_id
        reader = self.source.open(blob)
        try:
            if diff_id is None:
                check_head(self.layer, reader.read(0, min(HEAD, blob.size)))
                return None, 0
            check = LayerCheck(self.layer, diff_id, self.bounds)
            self._feed(check, reader)
            return reader.identity, check.size
        finally:
            reader.close()

    def _feed(self, check: LayerCheck, reader: BlobReader) -> None:
        """Feed it all. Bytes that are not what their digest says are told as that, whatever else they look like."""
        blob = self.layer.blob
        hasher = blob.digest.hasher()
        wrong: SourceError | None = None
        for offset in range(0, blob.size, _PIECE):
            if self.halted():
                raise DrainedError
            piece = reader.read(offset, min(_PIECE, blob.size - offset))
            hasher.update(piece)
            if wrong is None:
                wrong = _wrong(partial(check.feed, piece))
        found = hasher.hexdigest()
        if found != blob.digest.encoded:
            raise mismatch(blob.digest, found)
        wrong = wrong or _wrong(check.finish)
        if wrong is not None:
            raise wrong


def _wrong(step: Callable[[], None]) -> SourceError | None:
    """Take a step of a check; give what is wrong, if anything is."""
    try:
        step()
    except SourceError as error:
        return error
    return None


def _whole(source: Source, blob: Descriptor) -> bytes:
    """Read a blob that is known to be small."""
    reader = source.open(blob)
    try:
        return reader.read(0, blob.size)
    finally:
        reader.close()
