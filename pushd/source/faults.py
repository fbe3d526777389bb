"""The operating system's errors, told as errors of a source."""

from __future__ import annotations

import errno
import os

from pushd.errors import Code, SourceError
from pushd.source.name import COLONS

_DETAILS = {
    errno.ENAMETOOLONG: "is a longer name than the filesystem can have",
    errno.ELOOP: "leads through too many symbolic links",
    errno.EMFILE: "cannot be opened, the daemon has too many files open",
    errno.ENFILE: "cannot be opened, the system has too many files open",
}


class IrregularFileError(OSError):
    """What is there is no regular file, or the way to it leads through what is no directory."""


def missing(subject: str) -> SourceError:
    """Tell that there is nothing at the path a source was named by: `source.not_found`."""
    hint = f"the daemon may not see /home and /tmp, and {COLONS}"
    return SourceError(Code.SOURCE_NOT_FOUND, subject, "is not there", hint=hint)


def invalid(subject: str, detail: str, *, hint: str = "") -> SourceError:
    """Tell what is wrong with an archive: `source.archive_invalid`."""
    return SourceError(Code.SOURCE_ARCHIVE_INVALID, subject, detail, hint=hint)


def malformed(subject: str, detail: str) -> SourceError:
    """Tell of an archive that no program writes so: `source.archive_invalid`."""
    return invalid(subject, detail, hint="it is damaged, or was made by hand: save the image again")


def damaged(subject: str) -> SourceError:
    """Tell that something is not what its digest says: `source.blob_digest`."""
    hint = "it is damaged, or was changed while it was read: export the image again"
    return SourceError(Code.SOURCE_BLOB_DIGEST, subject, "is not what its digest says", hint=hint)


def unreadable(error: OSError, subject: str) -> SourceError:
    """Tell why `subject` could not be opened or read: `source.unreadable`.

    Raise what is given `from error`.
    """
    if error.errno in (errno.EACCES, errno.EPERM):
        hint = f"the daemon runs as uid {os.geteuid()}: let it read the file and pass the directories above"
        return SourceError(Code.SOURCE_UNREADABLE, subject, "may not be read by the daemon", hint=hint)
    code = error.errno or errno.EIO
    detail = _DETAILS.get(code, f"cannot be read: {os.strerror(code)}")
    return SourceError(Code.SOURCE_UNREADABLE, subject, detail)
