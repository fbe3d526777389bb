"""Files on their way in."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from pushd.errors import OffsetError, PushdError, StoreError
from pushd.spool.arrival import Arrival
from pushd.spool.faults import unknown
from pushd.spool.inlet import Inlet
from pushd.spool.name import file_digest
from pushd.spool.threads import in_thread
from pushd.work import SpoolFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from concurrent.futures import Executor

    from pushd.oci.digest import Digest, Hasher
    from pushd.spool.account import Accounts
    from pushd.spool.entry import Entry
    from pushd.spool.shelf import Shelf
    from pushd.work import FileIdentity

_HASHERS: Final = 64
"""Hashes of files half arrived that are kept between requests; others are made again from the disk."""
_SLICE: Final = 32 << 20
"""Bytes hashed again in one hop to a thread, so that others get their turn."""


class Intake:
    """Brings bytes into files, one request after the other.

    Args:
        shelf: where the files are.
        accounts: whose they are.
        validated: told of each file whose digest was checked, once it is durable.
        threads: where files are written and hashed.
    """

    def __init__(
        self,
        shelf: Shelf,
        accounts: Accounts,
        *,
        validated: Callable[[FileIdentity, Digest], Awaitable[None]],
        threads: Executor,
    ) -> None:
        self._shelf = shelf
        self._accounts = accounts
        self._validated = validated
        self._threads = threads
        self._hashers: OrderedDict[tuple[str, str], Hasher] = OrderedDict()

    async def receive(
        self, it: Entry, name: str, *, offset: int, pieces: AsyncIterator[bytes], complete: bool
    ) -> SpoolFile:
        """Append bytes to a file; see `api.ports.Spool`."""
        expected = file_digest(name)
        async with it.writer(name):
            try:
                there = it.whole(name)
                if there is not None:
                    if name in it.incoming:  # it came under another name meanwhile
                        await self._drop(it, name)
                    return there
                async with self._accounts.of(it.record.uid).receiving:
                    arrival = self._arrival(it, name, expected, offset)
                    try:
                        await self._open(arrival)
                        await self._fill(it, name, arrival, pieces)
                        if complete:
                            return await self._complete(it, name, arrival)
                        return SpoolFile(name=name, offset=arrival.offset, complete=False)
                    finally:
                        arrival.close()
            except StoreError as error:
                if it.leaving:  # its directory went away under the file
                    raise unknown(it.id) from error
                raise

    def forget(self, entry: str) -> None:
        """Keep nothing of an entry that is gone."""
        for key in [key for key in self._hashers if key[0] == entry]:
            del self._hashers[key]

    def _arrival(self, it: Entry, name: str, expected: Digest | None, offset: int) -> Arrival:
        """Give the file that is to go on at `offset`.

        Raises:
            OffsetError: it does not end there.
            RequestError: `request.limit`, it is one file too many.
        """
        it.check_there()
        length = it.incoming.get(name, 0)
        if offset != length:
            raise OffsetError(name, length)
        if name not in it.incoming:
            it.check_files()
            self._accounts.admit_files(it.record.uid, 1)
            it.incoming[name] = 0
        hasher = self._hashers.pop((it.id, name), None)
        return Arrival(self._shelf, it.id, name, expected=expected, offset=length, hasher=hasher)

    async def _open(self, arrival: Arrival) -> None:
        """Open the file, and bring its hash to its end."""
        await in_thread(self._threads, arrival.open)
        while arrival.hashed < arrival.offset:
            await in_thread(self._threads, partial(arrival.catch_up, _SLICE))

    async def _fill(self, it: Entry, name: str, arrival: Arrival, pieces: AsyncIterator[bytes]) -> None:
        """Bring the pieces into the file, as far as they fit into what is reserved."""
        before, taken = arrival.offset, 0
        inlet = Inlet(arrival, self._threads)
        try:
            try:
                async for piece in pieces:
                    it.check_there()
                    fits = piece[: it.room]
                    it.used += len(fits)
                    taken += len(fits)
                    await inlet.put(fits)
                    if len(fits) < len(piece):
                        raise it.exceeded()
            finally:
                await inlet.settle()
        finally:
            written = arrival.offset - before
            it.used -= taken - written
            it.incoming[name] = arrival.offset
            if arrival.hashed == arrival.offset:
                self._remember(it, name, arrival)

    def _remember(self, it: Entry, name: str, arrival: Arrival) -> None:
        """Keep the hash of all that is there for the next request of this file."""
        if it.leaving:
            return
        self._hashers[it.id, name] = arrival.hasher
        while len(self._hashers) > _HASHERS:
            self._hashers.popitem(last=False)

    async def _complete(self, it: Entry, name: str, arrival: Arrival) -> SpoolFile:
        """Check a file that ends here, make it durable, and let it be found under its digest."""
        self._hashers.pop((it.id, name), None)
        it.check_there()
        try:
            arrival.check()
            await in_thread(self._threads, arrival.sync)
        except PushdError:
            with suppress(StoreError):  # what is told is why it is dropped
                await self._drop(it, name)
            raise
        digest = arrival.digest
        there = str(digest)
        if there in it.blobs:
            if name != there:
                await in_thread(self._threads, partial(self._shelf.label, it.id, name, digest))
                it.labels[name] = there
            await self._drop(it, name)
            return SpoolFile(name=there, offset=arrival.offset, complete=True)

        def settled(_: FileIdentity) -> None:
            if not it.settled(name, there):
                self._accounts.of(it.record.uid).files -= 1

        identity = await in_thread(self._threads, arrival.settle, then=settled)
        if there in it.incoming and not it.written(there):
            await self._drop(it, there)
        with suppress(StoreError):  # then the push hashes it once more
            await self._validated(identity, digest)
        return SpoolFile(name=there, offset=identity.size, complete=True)

    async def _drop(self, it: Entry, name: str) -> None:
        """Remove a file that is on its way in."""

        def dropped(_: None) -> None:
            it.used -= it.incoming.pop(name)
            self._hashers.pop((it.id, name), None)
            if not it.leaving:
                self._accounts.of(it.record.uid).files -= 1

        await in_thread(self._threads, partial(self._shelf.drop, it.id, name), then=dropped)
