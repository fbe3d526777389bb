"""The files of a layout in a directory."""

from __future__ import annotations

import errno
import os
import stat

from pushd.errors import Code, SourceError
from pushd.source.extent import Extent, Identity
from pushd.source.faults import IrregularFileError, missing, unreadable
from pushd.source.handle import Handle

# No link is followed, and a FIFO without a writer does not hold us up.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
# O_PATH asks of a directory no more than passage.
_DIRECTORY = os.O_PATH | os.O_DIRECTORY
# What open says of a link, of a way through a link or a file, of a socket, and of a device without a driver.
_IRREGULAR = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.ENODEV})


class Directory:
    """A directory whose files are opened component by component.

    The path to the directory is its owner's to choose and may lead through symbolic links (`/var/run`, a link to
    the newest build). What is inside may not: a link there would lead the daemon to files its submitter never
    named. So below the directory nothing but directories and regular files is opened.
    """

    __slots__ = ("_root",)

    def __init__(self, path: str, subject: str) -> None:
        """Open the directory at `path`, which errors name `subject`.

        Raises:
            SourceError: `source.not_found`, `source.layout_invalid` (no directory), `source.unreadable`.
        """
        try:
            self._root = Handle(os.open(path, _DIRECTORY))
        except FileNotFoundError as error:
            raise missing(subject) from error
        except NotADirectoryError as error:
            detail = "is not a directory"
            hint = "an archive of a layout is named oci-archive:FILE[:REF]"
            raise SourceError(Code.SOURCE_LAYOUT_INVALID, subject, detail, hint=hint) from error
        except OSError as error:
            raise unreadable(error, subject) from error

    def open(self, path: tuple[str, ...], subject: str) -> Extent:
        """Open a file by the components of its path; errors in reading it name `subject`.

        Raises:
            FileNotFoundError: there is none.
            IrregularFileError: something on the way, or at its end, is a link or another thing that is no file.
            OSError: whatever else the operating system says.
        """
        with self._root.use() as root:
            fd = _descend(root, path)
        try:
            identity = _regular(fd)
            return Extent(fd, identity, 0, identity.size, subject)
        except BaseException:
            os.close(fd)
            raise

    def close(self) -> None:
        """Release the directory. Idempotent."""
        self._root.close()


def _regular(fd: int) -> Identity:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise IrregularFileError
    return Identity.of(status)


def _descend(root: int, path: tuple[str, ...]) -> int:
    *directories, name = path
    at = root
    try:
        for directory in directories:
            below = os.open(directory, _DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            if at != root:
                os.close(at)
            at = below
        return os.open(name, _FILE, dir_fd=at)
    except OSError as error:
        if error.errno in _IRREGULAR:
            raise IrregularFileError from error
        raise
    finally:
        if at != root:
            os.close(at)
