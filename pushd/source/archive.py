"""The files of a layout in an uncompressed tar, read where they lie: nothing is unpacked."""

from __future__ import annotations

import os
import stat
import tarfile
from typing import TYPE_CHECKING, Final

from pushd.errors import Code, SourceError
from pushd.oci.text import printable
from pushd.source.extent import Extent, Identity, check_unchanged
from pushd.source.faults import IrregularFileError, missing, unreadable
from pushd.source.handle import Handle
from pushd.source.name import SHOWN
from pushd.source.tar import MalformedTarError, read_members
from pushd.source.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushd.source.permission import Peer
    from pushd.source.tar import Member

_COMPRESSIONS: Final = (
    (b"\x1f\x8b", "gzip", "gunzip"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd"),
    (b"\xfd7zXZ\0", "xz", "unxz"),
    (b"BZh", "bzip2", "bunzip2"),
)
_LAYOUT: Final = frozenset({"oci-layout", "index.json", "blobs"})
_REGULAR: Final = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE})
_KINDS: Final = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


class Archive:
    """A tar whose headers were read once; its members are read at their offsets.

    What does not belong to a layout is passed over, unless its name is absolute or leads upwards: an archive with
    such a name was made to do harm. What does belong to it must be a regular file of its own, once.
    """

    __slots__ = ("_handle", "_identity", "_members")

    def __init__(self, path: str, subject: str, peer: Peer | None) -> None:
        """Open the archive at `path`, which errors name `subject`, as far as `peer` may, and read its headers.

        Raises:
            SourceError: `source.not_found`, `source.archive_invalid`, `source.unreadable`, `source.forbidden`,
                `source.changed`.
        """
        try:
            fd, status = _opened(path, Walk(peer, subject), subject)
        except FileNotFoundError as error:
            raise missing(subject) from error
        except OSError as error:
            raise unreadable(error, subject) from error
        self._handle = Handle(fd)
        self._identity = Identity.of(status)
        try:
            self._members = _table(fd, status.st_size, subject)
            check_unchanged(fd, self._identity, subject)
        except OSError as error:
            self.close()
            raise unreadable(error, subject) from error
        except BaseException:
            self.close()
            raise

    def open(self, path: tuple[str, ...], subject: str) -> Extent:
        """Open a member by the components of its path; errors in reading it name `subject`.

        Raises:
            FileNotFoundError: there is none.
            SourceError: `source.changed`, the archive is not what its headers were read from.
            OSError: whatever else the operating system says.
        """
        member = self._members.get(path)
        if member is None:
            raise FileNotFoundError
        with self._handle.use() as shared:
            fd = os.dup(shared)
        try:
            check_unchanged(fd, self._identity, subject)
            return Extent(fd, self._identity, member.offset, member.size, subject)
        except BaseException:
            os.close(fd)
            raise

    def close(self) -> None:
        """Release the archive. Idempotent."""
        self._handle.close()


def _opened(path: str, walk: Walk, subject: str) -> tuple[int, os.stat_result]:
    found, place = walk.to(path)
    try:
        return walk.read(found, place)
    except IrregularFileError as error:
        if stat.S_ISDIR(os.fstat(found).st_mode):
            hint = "a directory with a layout is named oci:DIR[:REF]"
            raise SourceError(Code.SOURCE_ARCHIVE_INVALID, subject, "is a directory", hint=hint) from error
        raise SourceError(Code.SOURCE_ARCHIVE_INVALID, subject, "is not a regular file") from error
    finally:
        os.close(found)


def _table(fd: int, total: int, subject: str) -> Mapping[tuple[str, ...], Member]:
    """List the members of a layout, by the components of their paths."""
    table: dict[tuple[str, ...], Member] = {}
    try:
        for member in read_members(lambda length, offset: os.pread(fd, length, offset), total):
            path = _path(member)
            if path and path[0] in _LAYOUT and member.kind != tarfile.DIRTYPE:
                _check_new(path, table)
                table[path] = member
    except MalformedTarError as error:
        head = os.pread(fd, 6, 0)
        for magic, compression, command in _COMPRESSIONS:
            if head.startswith(magic):
                detail = f"is compressed with {compression}"
                hint = f"blobs are read where they lie in the archive: run {command} on it first"
                raise SourceError(Code.SOURCE_ARCHIVE_INVALID, subject, detail, hint=hint) from error
        raise SourceError(Code.SOURCE_ARCHIVE_INVALID, subject, printable(str(error), SHOWN)) from error
    return table


def _check_new(path: tuple[str, ...], table: Mapping[tuple[str, ...], Member]) -> None:
    if path in table:
        raise MalformedTarError(f"has {'/'.join(path)!r} more than once")


def _path(member: Member) -> tuple[str, ...]:
    """Give the components of a member's path, nothing for the archive's own directory."""
    path = tuple(part for part in member.name.split("/") if part not in ("", "."))
    if member.name.startswith("/") or ".." in path:
        raise MalformedTarError(f"has a name that leads out of it, {member.name!r}")
    if member.kind == tarfile.GNUTYPE_SPARSE or (
        path and path[0] in _LAYOUT and member.kind not in _REGULAR and member.kind != tarfile.DIRTYPE
    ):
        kind = _KINDS.get(member.kind, "no regular file")
        raise MalformedTarError(f"has {member.name!r}, which is {kind}")
    return path
