"""The way to a file, gone on descriptors and with somebody else's rights beside the daemon's own.

What a path leads to is true for no longer than it takes to look: whoever may write to a directory on the way can put
a link there meanwhile. So each component is opened by itself in the directory that is held already (with `O_PATH`,
which opens no file and asks no more than passage); what was opened is judged, and is what the way goes on from.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from pushd.errors import Code, SourceError
from pushd.oci.text import printable
from pushd.source.faults import IrregularFileError
from pushd.source.name import SHOWN
from pushd.source.permission import Right

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pushd.source.permission import Peer

# With O_DIRECTORY the kernel also mounts what mounts itself when it is entered (autofs), which O_PATH alone does not.
_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
_ANYTHING: Final = os.O_PATH | os.O_NOFOLLOW
# A lease or a mandatory lock of somebody's does not hold us up.
_READ: Final = os.O_RDONLY | os.O_NONBLOCK
_ACL: Final = "system.posix_acl_access"
_WITHOUT_ACL: Final = frozenset({errno.ENODATA, errno.EOPNOTSUPP})

MAX_LINKS: Final = 40
"""Symbolic links on one way: as many as Linux follows."""
MAX_STEPS: Final = 4_096
"""Components of one way, those of links included: with links alone it could be made to take a second."""
_PATH_MAX: Final = 4_096  # include/uapi/linux/limits.h, with its NUL


class Walk:
    """Opens directories and files as far as `peer` may go, telling of what `subject` names.

    Every descriptor given is the caller's to close. The peer is judged before anything of a directory is looked up
    with the daemon's rights, so that no error tells what lies beneath one that the peer may not search.
    """

    __slots__ = ("_peer", "_subject")

    def __init__(self, peer: Peer | None, subject: str) -> None:
        """Walk with the rights of `peer`; with None, among the daemon's own files, with the daemon's alone."""
        self._peer = peer
        self._subject = subject

    def to(self, path: str) -> tuple[int, str]:
        """Go to what an absolute path names, through symbolic links, and give it, opened with O_PATH, and where it is.

        Directories may be searched. What is no directory is not judged yet: `read` does that.

        Raises:
            SourceError: `source.forbidden`.
            OSError: as the operating system says; ELOOP for too many links, or too long a way.
        """
        if len(os.fsencode(path)) >= _PATH_MAX:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        way = _Way(self, path)
        try:
            while way.ahead:
                way.step()
        except BaseException:
            os.close(way.at)
            raise
        return way.at, way.place

    def root(self) -> int:
        """Open the directory all ways begin in; raises as `enter` does."""
        return self._judged(os.open("/", _DIRECTORY), "/")

    def enter(self, above: int, name: str, place: str) -> int:
        """Open the directory `name` in `above`, which becomes `place`; no link is followed.

        Raises:
            SourceError: `source.forbidden`.
            NotADirectoryError: it is none, or a link to one.
            OSError: as the operating system says.
        """
        return self._judged(os.open(name, _DIRECTORY, dir_fd=above), place)

    def find(self, above: int, name: str) -> int:
        """Open whatever `name` is in `above`, with O_PATH; no link is followed."""
        return os.open(name, _ANYTHING, dir_fd=above)

    def read(self, found: int, place: str) -> tuple[int, os.stat_result]:
        """Open for reading the regular file that was found at `place`, and give its status.

        Nothing but a regular file is ever opened: opening a FIFO wakes who waits at its other end, and there are
        devices that act when they are opened.

        It is opened anew through /proc/self/fd, which leads to the very file that was judged, whatever its name
        means by now; `ProtectProc=` and `ProcSubset=pid` hide neither that nor anything else of a process's own.

        Raises:
            SourceError: `source.forbidden`; `source.unreadable`, there is no /proc.
            IrregularFileError: it is no regular file.
            OSError: as the operating system says.
        """
        status = os.fstat(found)
        if not stat.S_ISREG(status.st_mode):
            raise IrregularFileError
        self._check(found, status, Right.READ, place)
        try:
            return os.open(f"/proc/self/fd/{found}", _READ), status
        except FileNotFoundError as error:
            raise self._without_proc() from error

    def _judged(self, directory: int, place: str) -> int:
        """Give a directory if the peer may search it; close it otherwise."""
        try:
            self._check(directory, os.fstat(directory), Right.SEARCH, place)
        except BaseException:
            os.close(directory)
            raise
        return directory

    def _check(self, fd: int, status: os.stat_result, right: Right, place: str) -> None:
        peer = self._peer
        if peer is None or peer.may(right, status, None if peer.owns(status) else self._acl(fd)):
            return
        deed = "search the directory" if right is Right.SEARCH else "read the file"
        hint = f"let uid {peer.uid} {deed} {printable(place, SHOWN)}"
        raise SourceError(Code.SOURCE_FORBIDDEN, self._subject, f"may not be read by uid {peer.uid}", hint=hint)

    def _acl(self, fd: int) -> bytes | None:
        try:
            # fgetxattr takes no descriptor opened with O_PATH.
            return os.getxattr(f"/proc/self/fd/{fd}", _ACL)
        except FileNotFoundError as error:
            raise self._without_proc() from error
        except OSError as error:
            if error.errno in _WITHOUT_ACL:
                return None
            raise

    def _without_proc(self) -> SourceError:
        detail = "cannot be opened with the caller's rights: there is no /proc"
        hint = "mount /proc where the daemon runs"
        return SourceError(Code.SOURCE_UNREADABLE, self._subject, detail, hint=hint)


class _Way:
    """Where a walk along one path stands.

    Attributes:
        at: what is held: a directory that was judged, or at the end a file that was not.
        ahead: the components still to go, the next one last.
    """

    __slots__ = ("_links", "_names", "_steps", "_walk", "ahead", "at")

    def __init__(self, walk: Walk, path: str) -> None:
        self._walk = walk
        self._names: list[str] = []
        self._links = 0
        self._steps = 0
        self.ahead = _ahead(path)
        self.at = walk.root()

    @property
    def place(self) -> str:
        """Where it stands, as a path without links."""
        return _place(self._names)

    def step(self) -> None:
        """Go one component further."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise _loop()
        name = self.ahead.pop()
        names = self._names[:-1] if name == ".." else [*self._names, name]
        try:
            self._move(self._walk.enter(self.at, name, _place(names)), names)
        except NotADirectoryError:
            self._pass(name, names)

    def _pass(self, name: str, names: list[str]) -> None:
        """Go on along a link, or end at a file."""
        found = self._walk.find(self.at, name)
        try:
            mode = os.fstat(found).st_mode
            if stat.S_ISLNK(mode):
                self._follow(os.readlink("", dir_fd=found))  # of the very link that is held
            elif stat.S_ISDIR(mode):  # since the moment before; it is to be entered as one
                self.ahead.append(name)
            elif self.ahead:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            else:
                self._move(os.dup(found), names)
        finally:
            os.close(found)

    def _follow(self, target: str) -> None:
        self._links += 1
        if self._links > MAX_LINKS:
            raise _loop()
        if target.startswith("/"):
            self._move(self._walk.root(), [])
        self.ahead += _ahead(target)

    def _move(self, fd: int, names: list[str]) -> None:
        os.close(self.at)
        self.at = fd
        self._names = names


def _ahead(path: str) -> list[str]:
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _place(names: Iterable[str]) -> str:
    return "/" + "/".join(names)


def _loop() -> OSError:
    return OSError(errno.ELOOP, os.strerror(errno.ELOOP))
