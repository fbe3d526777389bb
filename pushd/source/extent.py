"""A stretch of an open file, read at any place: what a blob is, in a directory and in an archive alike."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pushd.errors import Code, SourceError
from pushd.source.faults import unreadable
from pushd.source.handle import Handle
from pushd.work import FileIdentity


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


class Extent:
    """`size` bytes of a file from `start` on. Threads may share it; its methods block.

    After every read the file's identity is compared with the one it had when its bytes were measured. That is one
    `fstat` (about a microsecond) for a piece of a mebibyte, and finds a change at the piece it happened under, not
    gigabytes later. It sees what `ctime` sees: also a file that was removed or linked meanwhile. A change too quick
    for the filesystem's clock is left to the digest.

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
        if offset < 0 or length < 0 or offset + length > self._size:
            raise ValueError(f"bytes {offset} to {offset + length} of {self._size}")
        with self._handle.use() as fd:
            try:
                content = _pread(fd, length, self._start + offset)
                check_unchanged(fd, self._identity, self._subject)
            except OSError as error:
                raise unreadable(error, self._subject) from error
        if len(content) < length:
            raise _changed(self._subject)
        return content

    def close(self) -> None:
        """Release the descriptor. Idempotent."""
        self._handle.close()


def check_unchanged(fd: int, identity: Identity, subject: str) -> None:
    """Check that the open file still is what it was.

    Raises:
        SourceError: `source.changed`; it is not.
        OSError: the operating system cannot tell.
    """
    if Identity.of(os.fstat(fd)) != identity:
        raise _changed(subject)


def _changed(subject: str) -> SourceError:
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
