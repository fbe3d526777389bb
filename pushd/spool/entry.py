"""An entry of the spool, as the daemon knows it while it lives. No IO."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from pushd.errors import Code, RequestError
from pushd.spool.faults import unknown
from pushd.work import SpoolEntry, SpoolFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from pushd.spool.record import Record
    from pushd.spool.shelf import Found

MAX_FILES: Final = 10_000
"""Files in one entry: an image has about ten."""


class Entry:
    """One entry.

    Attributes:
        record: what is to be written down of it.
        saved: what is written down.
        blobs: sizes in bytes of the files that are whole, by digest.
        incoming: bytes of the files on their way in, by name.
        labels: the digests of files that came without knowing them, by the names they came under.
        used: bytes of all files, those taken in and not yet written included.
        needed: how many want it kept: submissions, jobs under way, and those who bring its bytes.
        jobs: how many of these are no bringers.
        uses: how many jobs took it up, as far as is known: one that outlived a restart may have been taken up before.
        leaving: it is being removed, and nobody's any more.
        unwanted: the job it was for has ended.
    """

    def __init__(self, found: Found, record: Record, *, uses: int) -> None:
        self.id = found.id
        self.record = record
        self.saved = record
        self.blobs = found.blobs
        self.incoming = found.incoming
        self.labels = found.labels
        self.used = sum(found.blobs.values()) + sum(found.incoming.values())
        self.needed = 0
        self.jobs = 0
        self.uses = uses
        self.leaving = False
        self.unwanted = False
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @property
    def files(self) -> int:
        """How many files it has."""
        return len(self.blobs) + len(self.incoming)

    @property
    def room(self) -> int:
        """Bytes that still fit into what is reserved."""
        return max(self.record.size - self.used, 0)

    def check_there(self) -> None:
        """Check that it is not being removed.

        Raises:
            RequestError: `request.not_found`.
        """
        if self.leaving:
            raise unknown(self.id)

    def touch(self, now: datetime) -> None:
        """Begin its time to live anew, unless nobody wants it any more."""
        if not self.unwanted:
            self.record = self.record.touched(now)

    def whole(self, name: str) -> SpoolFile | None:
        """Give the file that is called so, or came under that name, if it is whole."""
        digest = self.labels.get(name, name)
        size = self.blobs.get(digest)
        return None if size is None else SpoolFile(name=digest, offset=size, complete=True)

    def settled(self, name: str, digest: str) -> bool:
        """Know that the file that came under `name` is whole; give whether it is one more.

        Another one of the same content may have been a moment quicker: it is replaced.
        """
        size = self.incoming.pop(name)
        if name != digest:
            self.labels[name] = digest
        if digest in self.blobs:
            self.used -= size
            return False
        self.blobs[digest] = size
        return True

    def written(self, name: str) -> bool:
        """Whether somebody writes the file `name`, or waits for it."""
        return name in self._locks

    def check_files(self) -> None:
        """Check that one more file may come.

        Raises:
            RequestError: `request.limit`.
        """
        if self.files >= MAX_FILES:
            detail = f"has {self.files} files, and more than {MAX_FILES} it may not have"
            raise RequestError(Code.REQUEST_LIMIT, f"spool entry {self.id}", detail)

    def exceeded(self) -> RequestError:
        """Give the error for more bytes than were reserved."""
        return RequestError(
            Code.REQUEST_LIMIT,
            f"spool entry {self.id}",
            f"has its {self.record.size} bytes, and more than these were not reserved",
            hint="reserve more, and go on where the file ends",
        )

    def shown(self) -> SpoolEntry:
        """Give it as callers see it."""
        blobs = [SpoolFile(name=name, offset=size, complete=True) for name, size in self.blobs.items()]
        incoming = [
            SpoolFile(name=name, offset=size, complete=False)
            for name, size in self.incoming.items()
            if name not in self.blobs
        ]
        return SpoolEntry(
            id=self.id,
            size=self.record.size,
            created_at=self.record.created_at,
            expires_at=self.record.expires_at,
            files=tuple(sorted(blobs + incoming, key=lambda file: file.name)),
        )

    @asynccontextmanager
    async def writer(self, name: str) -> AsyncIterator[None]:
        """Be the only one who writes the file `name`, after those who came before.

        A second writer waits instead of being refused: one that resumes after its connection broke may be here before
        the daemon has read the last bytes of the first. It is told the offset that is right then. Whoever stops
        sending is not waited for long, and two who bring the same file both end up with it.
        """
        lock, writers = self._locks.get(name, (asyncio.Lock(), 0))
        self._locks[name] = lock, writers + 1
        try:
            async with lock:
                yield
        finally:
            lock, writers = self._locks.pop(name)
            if writers > 1:
                self._locks[name] = lock, writers - 1
