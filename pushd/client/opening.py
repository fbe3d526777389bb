"""What lies under a name the caller gives, opened as the caller; what is wrong with it is told to them."""

from __future__ import annotations

import os
import stat
from typing import Final

from pushd.errors import Code, SourceError
from pushd.source.extent import Extent, Identity, check_unchanged
from pushd.source.faults import unreadable

# Whoever writes to a FIFO that was put there a moment ago is not waited for, and no terminal becomes ours.
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
_OTHERS: Final = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a symbolic link",
}


def open_at(directory: int | None, name: str, subject: str, *, follow: bool = False) -> tuple[int, os.stat_result]:
    """Open a regular file or a directory for reading, and give its descriptor, which is the caller's, and its status.

    Args:
        directory: where the name is; None for the directory of this process.
        name: relative to that.
        subject: what errors name.
        follow: whether a symbolic link is gone through.

    Raises:
        FileNotFoundError: there is nothing of that name.
        SourceError: `source.blob_not_regular`, it is something else; `source.unreadable`.
    """
    try:
        # Looked at before it is opened: there are devices that act when they are.
        _check_kind(os.stat(name, dir_fd=directory, follow_symlinks=follow).st_mode, subject)
        fd = os.open(name, _FLAGS if follow else _FLAGS | os.O_NOFOLLOW, dir_fd=directory)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise refused(error, subject) from error
    try:
        status = os.fstat(fd)
        _check_kind(status.st_mode, subject)
    except BaseException:
        os.close(fd)
        raise
    return fd, status


def whole(fd: int, status: os.stat_result, subject: str) -> Extent:
    """Take over an open regular file, all of it.

    Raises:
        SourceError: `source.changed`; `source.unreadable`; `source.blob_not_regular`, its size is none, as in /proc.
    """
    identity = Identity.of(status)
    try:
        _check_end(fd, identity, subject)
    except BaseException:
        os.close(fd)
        raise
    return Extent(fd, identity, 0, identity.size, subject)


def refused(error: OSError, subject: str) -> SourceError:
    """Tell the caller why `subject` could not be opened or read: `source.unreadable`.

    Raise what is given `from error`.
    """
    if isinstance(error, PermissionError):
        hint = f"you are uid {os.geteuid()}: see who may read it, and pass the directories above"
        return SourceError(Code.SOURCE_UNREADABLE, subject, "may not be read", hint=hint)
    return unreadable(error, subject)


def irregular(subject: str, detail: str, *, hint: str = "") -> SourceError:
    """Tell what cannot be part of an artifact: `source.blob_not_regular`."""
    return SourceError(Code.SOURCE_BLOB_NOT_REGULAR, subject, detail, hint=hint)


def _check_kind(mode: int, subject: str) -> None:
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kind = _OTHERS.get(stat.S_IFMT(mode), "something else")
        raise irregular(subject, f"is {kind}: only regular files and directories can be pushed")


def _check_end(fd: int, identity: Identity, subject: str) -> None:
    try:
        more = os.pread(fd, 1, identity.size)
        check_unchanged(fd, identity, subject)
    except OSError as error:
        raise refused(error, subject) from error
    if more:
        raise irregular(subject, "has more bytes than its size says", hint="copy it, and push the copy")
