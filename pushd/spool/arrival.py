"""One file on its way in: written and hashed in the same pass. All of it blocks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pushd.errors import Code, RequestError
from pushd.oci.digest import Digest
from pushd.spool.faults import disk
from pushd.spool.shelf import NEW_FILE, OLD_FILE
from pushd.work import FileIdentity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushd.oci.digest import Hasher
    from pushd.spool.shelf import Shelf

_READ = 1 << 20


class Arrival:
    """A file of an entry that bytes are added to.

    Args:
        shelf: where it is.
        entry: whose it is.
        name: under which it arrives.
        expected: the digest it is to have; None when nobody knows yet.
        hasher: the hash of what is there; None to find out from the disk.

    Attributes:
        offset: bytes that are there.
        hashed: bytes that went through `hasher`; after all went well, `offset`.

    Raises:
        StoreError: as all that touches the disk does.
    """

    def __init__(
        self, shelf: Shelf, entry: str, name: str, *, expected: Digest | None, offset: int, hasher: Hasher | None
    ) -> None:
        self._shelf = shelf
        self._entry = entry
        self._name = name
        self._expected = expected
        self._algorithm = expected.algorithm if expected is not None else "sha256"
        self._fd = -1
        self.offset = offset
        self.hashed = offset if hasher is not None else 0
        self.hasher = hasher or Digest(self._algorithm, "").hasher()

    def open(self) -> None:
        """Open the file, or make it."""
        path = self._shelf.incoming(self._entry, self._name)
        with disk(path):
            try:
                self._fd = os.open(path, OLD_FILE)
            except FileNotFoundError:
                self._fd = os.open(path, NEW_FILE, 0o600)
            self.offset = os.fstat(self._fd).st_size

    def append(self, pieces: Sequence[bytes]) -> None:
        """Write bytes at the end, and hash them. When the disk refuses, what was written is there."""
        views = [memoryview(piece) for piece in pieces]
        with disk(self._shelf.incoming(self._entry, self._name)):
            while views:
                written = os.pwritev(self._fd, views, self.offset)
                self.offset += written
                while views and written >= len(views[0]):
                    written -= len(views.pop(0))
                if views:
                    views[0] = views[0][written:]
        for piece in pieces:
            self.hasher.update(piece)
        self.hashed = self.offset

    def catch_up(self, most: int) -> bool:
        """Hash at most `most` bytes of what is there and was not hashed yet; give whether nothing is left to hash."""
        stop = min(self.offset, self.hashed + most)
        with disk(self._shelf.incoming(self._entry, self._name)):
            while self.hashed < stop:
                piece = os.pread(self._fd, min(_READ, stop - self.hashed), self.hashed)
                if not piece:
                    raise OSError(None, "ends before its end")
                self.hasher.update(piece)
                self.hashed += len(piece)
        return self.hashed == self.offset

    @property
    def digest(self) -> Digest:
        """What is there so far has this digest."""
        return Digest(self._algorithm, self.hasher.hexdigest())

    def check(self) -> None:
        """Compare what came with the name it came under.

        Raises:
            RequestError: `request.invalid_digest`.
        """
        if self._expected is not None and self.digest != self._expected:
            raise RequestError(
                Code.REQUEST_INVALID_DIGEST,
                self._name,
                f"what came under this name, {self.offset} bytes, is {self.digest}, and was dropped",
                hint="send the file again from its start; if it is the same again, the file is damaged",
            )

    def sync(self) -> None:
        """Make the bytes durable. When that fails, nobody knows any more what of the file is on the disk.

        The kernel tells of it once, and takes what it could not write for written from then on.
        """
        with disk(self._shelf.incoming(self._entry, self._name)):
            os.fdatasync(self._fd)

    def settle(self) -> FileIdentity:
        """Put it where its digest says, durably; give what it can be told by from then on."""
        with disk(self._shelf.incoming(self._entry, self._name)):
            self._shelf.settle(self._entry, self._name, self.digest)
            it = os.fstat(self._fd)
        return FileIdentity(
            device=it.st_dev,
            inode=it.st_ino,
            size=it.st_size,
            mtime_ns=it.st_mtime_ns,
            ctime_ns=it.st_mtime_ns,  # as it is read: what is the daemon's own may get and lose names
            offset=0,
            length=it.st_size,
        )

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
