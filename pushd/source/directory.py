"""The files of an image in a directory."""

from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING

from pushd.errors import Code, SourceError
from pushd.source.extent import Extent, Identity, OwnIdentity
from pushd.source.faults import IrregularFileError, missing, unreadable
from pushd.source.handle import Handle
from pushd.source.walk import Walk

if TYPE_CHECKING:
    from pushd.source.permission import Peer


class Directory:
    """A directory whose files are opened component by component.

    The path to the directory is its owner's to choose and may lead through symbolic links (`/var/run`, a link to
    the newest build). What is inside may not: a link there would lead the daemon to files its submitter never
    named. So below the directory nothing but directories and regular files is opened.

    Directories inside stay open once they were entered. That the peer might search them was seen then, as the
    kernel sees it for a process that holds a directory; each file is judged anew.
    """

    __slots__ = ("_closed", "_held", "_lock", "_peer", "_place")

    def __init__(self, fd: int, place: str, peer: Peer | None) -> None:
        """Take over `fd`, the directory at `place`, whose files are opened as far as `peer` may.

        With None they are the daemon's own, and opened with its rights.
        """
        self._place = place
        self._peer = peer
        self._lock = threading.Lock()
        self._held: dict[tuple[str, ...], Handle] = {(): Handle(fd)}
        self._closed = False

    @classmethod
    def at(cls, path: str, subject: str, peer: Peer | None) -> Directory:
        """Open the directory at `path`, which errors name `subject`.

        Raises:
            SourceError: `source.not_found`, `source.layout_invalid` (no directory), `source.forbidden`,
                `source.unreadable`.
        """
        try:
            fd, place = Walk(peer, subject).to(path)
        except FileNotFoundError as error:
            raise missing(subject) from error
        except NotADirectoryError as error:
            raise _no_directory(subject) from error
        except OSError as error:
            raise unreadable(error, subject) from error
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            os.close(fd)
            raise _no_directory(subject)
        return cls(fd, place, peer)

    def open(self, path: tuple[str, ...], subject: str) -> Extent:
        """Open a file by the components of its path; errors in reading it name `subject`.

        Raises:
            FileNotFoundError: there is none.
            IrregularFileError: something on the way, or at its end, is a link or another thing that is no file.
            SourceError: `source.forbidden`.
            OSError: whatever else the operating system says.
        """
        walk = Walk(self._peer, subject)
        try:
            with self._entered(path[:-1], walk).use() as above:
                found = walk.find(above, path[-1])
            try:
                fd, status = walk.read(found, self._below(path))
            finally:
                os.close(found)
        except NotADirectoryError as error:
            raise IrregularFileError from error
        identity = (OwnIdentity if self._peer is None else Identity).of(status)
        return Extent(fd, identity, 0, identity.size, subject)

    def close(self) -> None:
        """Release the directory. Idempotent."""
        with self._lock:
            self._closed = True
            held = tuple(self._held.values())
        for handle in held:
            handle.close()

    def _entered(self, path: tuple[str, ...], walk: Walk) -> Handle:
        """Give a directory inside, entered now or before."""
        handle = self._held.get(path)
        if handle is not None:
            return handle
        with self._entered(path[:-1], walk).use() as above:
            entered = Handle(walk.enter(above, path[-1], self._below(path)))
        with self._lock:
            # Another thread may have been here, or closed the house.
            handle = entered if self._closed else self._held.setdefault(path, entered)
        if handle is not entered or self._closed:
            entered.close()
        return handle

    def _below(self, path: tuple[str, ...]) -> str:
        return "/".join([self._place.rstrip("/"), *path])


def _no_directory(subject: str) -> SourceError:
    hint = "an archive of a layout is named oci-archive:FILE[:REF], what docker save wrote docker-archive:FILE[:REF]"
    return SourceError(Code.SOURCE_LAYOUT_INVALID, subject, "is not a directory", hint=hint)
