"""A stretch of an open file, read at any place: what a blob is, in a directory and in an archive alike."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pushd.errors import Code, SourceError
from pushd.oci.digest import Digest
from pushd.source.faults import unreadable
from pushd.source.handle import Handle
from pushd.work import FileIdentity

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE: Final = 1 << 20
_RANGE: Final = 1 << 30  # the kernel takes at most 2 GiB at once
_NO_SENDFILE: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EIO})


@dataclass(frozen=True, slots=True)
class Identity:
    """What changes when a file does: its inode, its size in bytes, and its times in nanoseconds."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        """Take it from `fstat`."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class OwnIdentity(Identity):
    """The same of a file of the daemon's own, which is written once: it may get names and lose them while it is read.

    The filesystem counts that as a change (`ctime`), and no program but the daemon can set back when it was written.
    """

    @classmethod
    def of(cls, status: os.stat_result) -> OwnIdentity:
        """Take it from `fstat`."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_mtime_ns)


class Extent:
    """`size` bytes of a file from `start` on. Threads may share it; its methods block.

    After every read the file's identity is compared with the one it had when its bytes were measured. That is one
    `fstat` (about a microsecond) for a piece of a mebibyte, and finds a change at the piece it happened under, not
    gigabytes later. Of somebody's file it sees what `ctime` sees: also that it was removed or linked meanwhile. A
    change too quick for the filesystem's clock is left to the digest.

    Read with `pread` and not mapped: a mapped file that is truncated kills the process with SIGBUS.
    """

    __slots__ = ("_handle", "_identity", "_size", "_start", "_subject")

    def __init__(self, fd: int, identity: Identity, start: int, size: int, subject: str) -> None:
        """Take over `fd`; `subject` is what errors name."""
        self._handle = Handle(fd)
        self._identity = identity
        self._start = start
        self._size = size
        self._subject = subject

    @property
    def size(self) -> int:
        """Bytes in it."""
        return self._size

    @property
    def identity(self) -> FileIdentity:
        """What it can be told by without reading it."""
        it = self._identity
        return FileIdentity(
            device=it.device,
            inode=it.inode,
            size=it.size,
            mtime_ns=it.modified,
            ctime_ns=it.changed,
            offset=self._start,
            length=self._size,
        )

    def read(self, offset: int, length: int) -> bytes:
        """Read exactly `length` bytes at `offset`, as fresh `bytes` never written to again.

        Raises:
            SourceError: `source.changed`, the file is not what was opened; `source.unreadable`, the disk failed.
            ValueError: the bytes asked for are not within it, or it is closed.
        """
        self._check_within(offset, length)
        with self._handle.use() as fd:
            try:
                content = _pread(fd, length, self._start + offset)
                check_unchanged(fd, self._identity, self._subject)
            except OSError as error:
                raise unreadable(error, self._subject) from error
        if len(content) < length:
            raise changed(self._subject)
        return content

    def pieces(self) -> Iterator[bytes]:
        """Read all of it, piece by piece, each as `read` does."""
        for offset in range(0, self._size, _PIECE):
            yield self.read(offset, min(_PIECE, self._size - offset))

    def whole(self) -> bytes:
        """Read all of it, and close it; for what is known to be small. Raises as `read` does."""
        try:
            return self.read(0, self._size)
        finally:
            self.close()

    def digest(self) -> Digest:
        """Read all of it, and close it; give its sha256. Raises as `read` does."""
        hasher = hashlib.sha256(usedforsecurity=False)
        try:
            for piece in self.pieces():
                hasher.update(piece)
        finally:
            self.close()
        return Digest("sha256", hasher.hexdigest())

    def copy_to(self, target: int) -> None:
        """Write all of it to the descriptor `target`, from its offset on.

        The kernel copies, and where the filesystem can (XFS, Btrfs) nothing but a reference.

        Raises:
            SourceError: as in `read`; what was written is worth nothing then.
            OSError: writing failed.
            ValueError: it is closed.
        """
        self._check()
        with self._handle.use() as fd:
            done = _copy_range(fd, target, self._size, self._start)
        while done < self._size:
            piece = memoryview(self.read(done, min(_PIECE, self._size - done)))
            done += len(piece)
            while piece:
                piece = piece[os.write(target, piece) :]
        self._check()

    def send_to(self, connection: int, offset: int, length: int) -> int:
        """Hand at most `length` bytes at `offset` to the socket `connection`; give how many it took, at least one.

        The kernel moves them; they never come here.

        Raises:
            SourceError: as in `read`; what was sent is worth nothing then.
            OSError: sending failed; BlockingIOError, there is no room.
            ValueError: the bytes asked for are not within it, or it is closed.
        """
        self._check_within(offset, length)
        try:
            with self._handle.use() as fd:
                sent = os.sendfile(connection, fd, self._start + offset, length)
        except OSError as error:
            if error.errno not in _NO_SENDFILE:
                raise
            # This way it goes from every file, and tells whose fault an error is.
            return os.write(connection, self.read(offset, length))
        self._check()
        if not sent:
            raise changed(self._subject)
        return sent

    def close(self) -> None:
        """Release the descriptor. Idempotent."""
        self._handle.close()

    def _check_within(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self._size:
            raise ValueError(f"bytes {offset} to {offset + length} of {self._size}")

    def _check(self) -> None:
        with self._handle.use() as fd:
            try:
                check_unchanged(fd, self._identity, self._subject)
            except OSError as error:
                raise unreadable(error, self._subject) from error


def _copy_range(fd: int, target: int, size: int, start: int) -> int:
    """Let the kernel copy as far as it goes; give how many bytes it copied.

    It does not go between some filesystems (EXDEV), nor to some targets (EINVAL, EOPNOTSUPP), nor before Linux 4.5
    (ENOSYS), and here and there it stops at nothing (0). Reading and writing goes on from there: that also tells
    whose fault an error is, the source's or the target's.
    """
    done = 0
    with contextlib.suppress(OSError):
        while done < size:
            copied = os.copy_file_range(fd, target, min(size - done, _RANGE), start + done)
            if not copied:
                break
            done += copied
    return done


def check_unchanged(fd: int, identity: Identity, subject: str) -> None:
    """Check that the open file still is what it was.

    Raises:
        SourceError: `source.changed`; it is not.
        OSError: the operating system cannot tell.
    """
    if identity.of(os.fstat(fd)) != identity:
        raise changed(subject)


def changed(subject: str) -> SourceError:
    """Tell that a file is not what it was: `source.changed`."""
    hint = "leave the files alone until the push is over, then push again"
    return SourceError(Code.SOURCE_CHANGED, subject, "was changed or removed while it was being pushed", hint=hint)


def _pread(fd: int, length: int, position: int) -> bytes:
    """Read until `length` bytes are there or the file ends: one call gives at most 2 GiB, and may give less."""
    content = os.pread(fd, length, position)
    if len(content) == length:
        return content
    parts = [content]
    have = len(content)
    while parts[-1] and have < length:
        parts.append(os.pread(fd, length - have, position + have))
        have += len(parts[-1])
    return b"".join(parts)
