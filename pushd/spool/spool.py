"""The spool as the API and the engine know it."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import anyio

from pushd.errors import Code, PushdError, RequestError, StoreError
from pushd.spool.entry import Entry
from pushd.spool.faults import disk, unknown
from pushd.spool.filling import Filler, files_of, most
from pushd.spool.name import fresh_entry
from pushd.spool.record import Record
from pushd.spool.shelf import RECORD, Found
from pushd.spool.threads import in_thread
from pushd.telemetry.events import SPOOL_CREATED, SPOOL_REMOVED, Event

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Collection,
        Iterable,
        Iterator,
    )
    from concurrent.futures import Executor
    from datetime import datetime

    from pushd.oci.compression import Encoding
    from pushd.oci.digest import Digest
    from pushd.oci.image import Image
    from pushd.spool.account import Accounts
    from pushd.spool.copying import Source
    from pushd.spool.intake import Intake
    from pushd.spool.kept import Kept
    from pushd.spool.limits import Limits
    from pushd.spool.shelf import Shelf
    from pushd.telemetry.events import Value
    from pushd.work import Compressed, SpoolEntry, SpoolFile


class Spool:
    """Entries of bytes, each of one owner, who alone can tell that it is there."""

    def __init__(
        self,
        shelf: Shelf,
        accounts: Accounts,
        intake: Intake,
        kept: Kept,
        *,
        ttl: float,
        bound: Callable[[], Awaitable[Collection[str]]],
        emit: Callable[[Event], object],
        threads: Executor,
        now: Callable[[], datetime],
    ) -> None:
        self._shelf = shelf
        self._accounts = accounts
        self._intake = intake
        self._kept = kept
        self._filler = Filler(shelf, kept, threads)
        self._ttl = ttl
        self._bound = bound
        self._emit = emit
        self._threads = threads
        self._now = now
        self._entries: dict[str, Entry] = {}
        self._damaged: dict[str, int] = {}
        self._left: list[str] = []

    def configure(self, limits: Limits) -> None:
        """Go by these limits from now on. What is kept beyond them goes with the next sweep."""
        self._accounts.per_user = limits.per_user
        self._kept.limit = limits.keep
        self._ttl = limits.ttl

    def take_in(self, found: Iterable[Found], *, orphans: Iterable[Found], left: Iterable[str]) -> None:
        """Know what is on the disk already, what was put away of it, and what is left over there to be freed."""
        self._left += left
        for it in orphans:
            self._tell_removed(it.id, None if it.record is None else it.record.uid, "the daemon ended while it made it")
        for it in found:
            if it.record is None:
                self._damaged[it.id] = sum(it.blobs.values()) + sum(it.incoming.values())
                continue
            entry = self._entries[it.id] = Entry(it, it.record, uses=1)
            self._accounts.add(entry.record.uid, entry.record.size)
            self._accounts.of(entry.record.uid).files += 1 + entry.files

    def close(self) -> None:
        """Let go of the directory."""
        self._shelf.close()

    @property
    def entries(self) -> Collection[str]:
        """The ids of all entries."""
        return tuple(self._entries)

    @property
    def size(self) -> int:
        """Bytes of all entries, those reserved and not yet arrived included, and of what is kept for the next ones."""
        return self._accounts.size + self._kept.size + sum(self._damaged.values())

    # ---------------------------------------------------------------------------------------------- for the API

    async def create(self, *, uid: int, size: int, ttl: float | None) -> SpoolEntry:
        """Make an entry, with its bytes reserved; see `api.ports.Spool`, as for all of these."""
        return (await self._make(uid, size, self._ttl if ttl is None else min(ttl, self._ttl))).shown()

    async def get(self, entry: str, *, uid: int) -> SpoolEntry:
        """Give an entry as it is."""
        return self._of(entry, uid).shown()

    async def resize(self, entry: str, *, uid: int, size: int) -> SpoolEntry:
        """Reserve another number of bytes; fewer than are there mean those that are there."""
        it = self._of(entry, uid)
        with self._needed(it):
            await self._make_room(size - it.record.size)
            before, size = it.record.size, max(size, it.used)
            if size > before:
                self._accounts.reserve(uid, size - before)
            else:
                self._accounts.add(uid, size - before)
            it.record = replace(it.record, size=size)
            it.touch(self._now())
            await self._save(it)
        return it.shown()

    async def remove(self, entry: str, *, uid: int) -> None:
        """Remove an entry that no job needs."""
        it = self._of(entry, uid)
        # From here on no submission can take it up: what `bound` says stays so.
        it.leaving = True
        try:
            needed = it.jobs > 0 or entry in await self._bound()
        except BaseException:
            it.leaving = False
            raise
        if needed:
            it.leaving = False
            hint = "it goes when the job has ended; cancel the job first"
            raise RequestError(Code.REQUEST_STATE, f"spool entry {entry}", "is needed by a job", hint=hint)
        await self._remove(it, "its owner removed it")

    async def receive(
        self, entry: str, name: str, *, uid: int, offset: int, pieces: AsyncIterator[bytes], complete: bool
    ) -> SpoolFile:
        """Append bytes to a file of an entry; `pieces` are not touched when there is nothing to do with them."""
        it = self._of(entry, uid)
        with self._needed(it):
            async with aclosing(self._noticed(it, pieces)) as noticed:
                file = await self._intake.receive(it, name, offset=offset, pieces=noticed, complete=complete)
            await self._save_expiry(it)
        return file

    # ------------------------------------------------------------------------------------------- for the engine

    async def keep(self, source: Source, image: Image, *, uid: int) -> str:
        """Copy an image into a fresh entry; give the entry's id. It is durable, and not hashed: the push does that."""
        async with self._filled(uid, image, image.size) as it:
            await self._filler.copy(source, image, it.id)
        return it.id

    async def compress(
        self, source: Source, image: Image, encoding: Encoding, *, uid: int, boundary: Callable[[], None]
    ) -> Compressed:
        """Copy an image into a fresh entry with its plain layers compressed. It is durable, and these were hashed."""
        async with self._filled(uid, image, most(image, encoding)) as it:
            compressed = await self._filler.compress(source, image, encoding, it.id, uid=uid, boundary=boundary)
            files = files_of(compressed.image)
            self._accounts.of(uid).files += len(files) - it.files
            it.blobs = {str(digest): size for digest, size in files.items()}
            it.used = sum(files.values())
            self._accounts.add(uid, it.used - it.record.size)
            it.record = replace(it.record, size=it.used)
            await self._save(it)
        return compressed

    async def distrust(self, digests: Iterable[Digest]) -> None:
        """Give nobody again what is kept under these digests: bytes of theirs were found to be others."""
        await in_thread(self._threads, partial(self._kept.forget, frozenset(digests)))

    @asynccontextmanager
    async def _filled(self, uid: int, image: Image, size: int) -> AsyncIterator[Entry]:
        """Make an entry that is filled with an image while the context lasts; it goes when that fails."""
        files = files_of(image)
        it = await self._make(uid, size, self._ttl, own=True)
        with self._needed(it):
            try:
                self._accounts.admit_files(uid, len(files))
                it.blobs = {str(digest): size for digest, size in files.items()}
                it.used = sum(files.values())
                with disk(self._shelf.path(it.id)):
                    yield it
            except BaseException:
                it.leaving = True
                with anyio.CancelScope(shield=True), suppress(StoreError):  # what went wrong before is to be told
                    await self._remove(it, "it could not be filled")
                raise

    @contextmanager
    def using(self, entry: str, *, uid: int) -> Iterator[None]:
        """Keep an entry of `uid` while the context lasts, and for its time to live after that."""
        it = self._of(entry, uid)
        it.unwanted = False
        it.uses += 1
        it.jobs += 1
        try:
            with self._needed(it):
                yield
        finally:
            it.jobs -= 1

    async def discard(self, entry: str, reason: str) -> None:
        """Remove an entry whose job has ended. One that is still needed goes with the sweep after the last need."""
        it = self._entries.get(entry)
        if it is None or it.leaving:
            return
        it.unwanted = True
        it.record = replace(it.record, expires_at=min(it.record.expires_at, self._now()))
        # Another job may have taken it up after the caller saw that none needs it. That is asked only where there ever
        # was another: with ten thousand jobs it is no small question.
        if it.uses > 1 and entry in await self._bound():
            return
        if not it.needed and not it.leaving:
            await self._remove(it, reason)

    async def sweep(self, now: datetime, bound: Collection[str]) -> None:
        """Remove what has expired, but for what is in use and the entries in `bound`, which jobs need."""
        while self._left:
            await in_thread(self._threads, partial(self._shelf.free, self._left.pop()))
        await self._make_room()
        if self._kept.size > self._kept.limit:
            await in_thread(self._threads, self._kept.shrink)
        for it in tuple(self._entries.values()):
            if it.record.expires_at <= now and not it.needed and it.id not in bound and not it.leaving:
                await self._remove(it, "its job has ended" if it.unwanted else "nobody came for it in time")
        for entry in self._damaged.keys() - set(bound):
            await in_thread(self._threads, partial(self._shelf.remove, entry))
            del self._damaged[entry]
            self._tell_removed(entry, None, "its record is damaged")

    # ---------------------------------------------------------------------------------------------------- within

    def _of(self, entry: str, uid: int) -> Entry:
        it = self._entries.get(entry)
        if it is None or it.record.uid != uid or it.leaving:
            raise unknown(entry)
        return it

    @contextmanager
    def _needed(self, it: Entry) -> Iterator[None]:
        it.needed += 1
        it.touch(self._now())
        try:
            yield
        finally:
            it.needed -= 1
            it.touch(self._now())

    async def _make(self, uid: int, size: int, ttl: float, *, own: bool = False) -> Entry:
        record = Record.fresh(uid=uid, size=size, ttl=ttl, now=self._now(), own=own)
        await self._make_room(size)
        self._accounts.admit_files(uid, 1)
        try:
            self._accounts.reserve(uid, size)
        except PushdError:
            self._accounts.of(uid).files -= 1
            raise
        entry = fresh_entry()

        def made(_: None) -> None:
            self._entries[entry] = Entry(Found(entry, record), record, uses=0)
            fields: dict[str, Value] = {"entry": entry, "uid": uid, "size": size}
            self._emit(Event(SPOOL_CREATED, self._now(), fields=fields, uid=uid))

        try:
            await in_thread(self._threads, partial(self._shelf.make, entry, record), then=made)
        finally:
            if entry not in self._entries:
                self._accounts.add(uid, -size)
                self._accounts.of(uid).files -= 1
        return self._entries[entry]

    async def _make_room(self, size: int = 0) -> None:
        """Let go of what is only kept for the next image where `size` bytes more would not fit beside it."""
        if not self._kept.size:
            return
        try:
            self._accounts.admit(size)
        except StoreError:
            await in_thread(self._threads, self._kept.clear)

    async def _save(self, it: Entry) -> None:
        async with it.writer(RECORD):
            record = it.record
            await in_thread(self._threads, partial(self._shelf.save, it.id, record))
            it.saved = record

    async def _save_expiry(self, it: Entry) -> None:
        """Write down that it lives longer; only now and then."""
        it.touch(self._now())
        if it.record.outdated(it.saved) and not it.leaving:
            await self._save(it)

    async def _noticed(self, it: Entry, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Give the pieces; that they come keeps the entry alive, also when the daemon dies meanwhile."""
        async for piece in pieces:
            yield piece
            await self._save_expiry(it)

    async def _remove(self, it: Entry, reason: str) -> None:
        it.leaving = True

        def removed(_: None) -> None:
            del self._entries[it.id]
            self._intake.forget(it.id)
            self._accounts.add(it.record.uid, -it.record.size)
            self._accounts.of(it.record.uid).files -= 1 + it.files
            self._tell_removed(it.id, it.record.uid, reason)

        try:
            await in_thread(self._threads, partial(self._shelf.remove, it.id), then=removed)
        finally:
            it.leaving = it.id not in self._entries

    def _tell_removed(self, entry: str, uid: int | None, reason: str) -> None:
        fields: dict[str, Value] = {"entry": entry, "uid": uid, "reason": reason}
        self._emit(Event(SPOOL_REMOVED, self._now(), fields=fields, uid=uid))
