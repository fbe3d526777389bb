"""The operating system's refusals, said in pushd's own codes."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pushd.errors import Code, RequestError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Say what an OSError raised in the block means for the spool at `path`.

    Raises:
        StoreError: `store.full`, what was written before is there; `store.unavailable`.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            hint = "what came before is kept; free some space and go on"
            raise StoreError(Code.STORE_FULL, str(path), "the disk is full", hint=hint) from error
        reason = os.strerror(error.errno) if error.errno is not None else "refused"
        raise StoreError(
            Code.STORE_UNAVAILABLE,
            str(path),
            f"cannot be used ({reason})",
            hint="the daemon's user must be able to write there",
        ) from error


def unknown(entry: str) -> RequestError:
    """Say that there is no such entry, or none for who asks."""
    subject = f"spool entry {entry}" if len(entry) <= 64 and entry.isalnum() else "spool entry"  # noqa: PLR2004 (shown)
    return RequestError(Code.REQUEST_NOT_FOUND, subject, "is not there, or is somebody else's")
