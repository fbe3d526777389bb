"""The files of an image in an uncompressed tar, read where they lie: nothing is unpacked."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Protocol

from pushd.oci.magic import HEAD, Format, format_of
from pushd.oci.tar import MalformedTarError
from pushd.oci.text import printable
from pushd.source.extent import Extent, Identity, check_unchanged
from pushd.source.faults import IrregularFileError, invalid, malformed, missing, unreadable
from pushd.source.handle import Handle
from pushd.source.name import SHOWN
from pushd.source.tar import read_members
from pushd.source.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushd.oci.tar import Member
    from pushd.source.permission import Peer


class Members(Protocol):
    """Which members of an archive are files of an image."""

    def admit(self, member: Member) -> tuple[str, ...] | None:
        """Give the components of a file's path; None for what is passed over.

        Raises:
            MalformedTarError: the archive is to be refused.
        """


class Archive:
    """A tar whose headers were read once; its members are read at their offsets."""

    __slots__ = ("_handle", "_identity", "_members")

    def __init__(self, path: str, subject: str, peer: Peer | None, members: Members) -> None:
        """Open the archive at `path`, which errors name `subject`, as far as `peer` may, and read its headers.

        `members` says of each which file it is.

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
            self._members = _table(fd, status.st_size, subject, members)
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

    def __contains__(self, path: tuple[str, ...]) -> bool:
        """Whether there is a file of that path."""
        return path in self._members

    def close(self) -> None:
        """Release the archive. Idempotent."""
        self._handle.close()


def _opened(path: str, walk: Walk, subject: str) -> tuple[int, os.stat_result]:
    found, place = walk.to(path)
    try:
        return walk.read(found, place)
    except IrregularFileError as error:
        if stat.S_ISDIR(os.fstat(found).st_mode):
            hint = "a directory with a layout is named oci:DIR[:REF], one that skopeo copy wrote dir:DIR"
            raise invalid(subject, "is a directory", hint=hint) from error
        raise invalid(subject, "is not a regular file") from error
    finally:
        os.close(found)


def _table(fd: int, total: int, subject: str, members: Members) -> Mapping[tuple[str, ...], Member]:
    """List the members that are files, by the components of their paths."""
    table: dict[tuple[str, ...], Member] = {}
    try:
        for member in read_members(lambda length, offset: os.pread(fd, length, offset), total):
            path = members.admit(member)
            if path is not None:
                table[path] = member
    except MalformedTarError as error:
        compression = format_of(os.pread(fd, HEAD, 0))
        if compression is not None:
            hint = f"blobs are read where they lie in the archive: run {compression.undo} on it first"
            if compression is Format.GZIP:
                hint += ", or push it with pushctl push - <FILE, which undoes it on the way"
            raise invalid(subject, f"is compressed with {compression}", hint=hint) from error
        raise malformed(subject, printable(str(error), SHOWN)) from error
    return table
