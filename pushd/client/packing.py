"""A directory as one layer, as oras packs it: a tar, compressed with gzip, with the directory's name before each.

The same files give the same bytes, whoever packs them, when, and wherever they lie: they are sorted, nobody's, and of
one time. Permissions are kept, but none to be somebody else (set-user-ID and its like): with the owner gone they would
mean another one. A hard link becomes a file of its own. A symbolic link stays one if it leads to a place within, also
where its way leads through another one: `oras push` packs that as well, but `oras pull` 1.3 refuses to write it out.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from pushd.client.opening import irregular, open_at, refused, whole
from pushd.errors import Code, SourceError
from pushd.oci.digest import Digest
from pushd.oci.text import quoted
from pushd.source.extent import Identity, changed, check_unchanged

if TYPE_CHECKING:
    from pushd.source.extent import Extent

MAX_DEPTH = 200
"""Levels of directories: one descriptor is open for each, and the way to a file may have no more than 4096 bytes."""
MAX_LINKS: Final = 40
"""Symbolic links on the way that one leads: as many as Linux follows."""
_BLOCK: Final = 512
_END: Final = bytes(2 * _BLOCK)
_PERMISSIONS: Final = 0o777
_GZIP: Final = 31  # zlib: gzip, the largest window; the header has neither a name nor a time
_LEVEL: Final = 6  # zlib's own choice, said so that it does not change with it


class FullError(Exception):
    """What is packed cannot be written: the text says why."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A directory's layer.

    Attributes:
        digest: of what was written.
        size: bytes of that.
        plain: the digest of the tar before it was compressed.
    """

    digest: Digest
    size: int
    plain: Digest


def pack(directory: int, name: str, target: BinaryIO, *, mtime: int) -> Packed:
    """Write the layer of an open directory to `target`; of its files no more than a piece is held at once.

    Args:
        directory: a descriptor, which stays the caller's.
        name: what the directory is called; `.` for none.
        target: written from where it stands.
        mtime: seconds since 1970, the time of everything in it.

    Raises:
        SourceError: `source.changed`, something in it was while it was read; `source.blob_not_regular`, a FIFO, a
            socket, a device, or a link that leads out of it; `source.unreadable`.
        FullError: `target` takes no more.
    """
    tar = _Tar(target, mtime)
    _Tree(directory, name, tar).add()
    return tar.end()


class _Tree:
    """The directory, gone through from the top."""

    def __init__(self, root: int, name: str, tar: _Tar) -> None:
        self._root = root
        self._name = name
        self._tar = tar

    def add(self) -> None:
        """Add everything."""
        self._add_directory(self._root, ())

    def _add_directory(self, fd: int, at: tuple[str, ...]) -> None:
        """Add an open directory, and what is in it; nothing may come or go meanwhile."""
        subject = self._called(at)
        if len(at) >= MAX_DEPTH:
            detail = f"lies more than {MAX_DEPTH} directories deep"
            raise SourceError(Code.SOURCE_UNREADABLE, subject, detail, hint="pack it with tar, and push that file")
        try:
            status = os.fstat(fd)
            self._tar.add(subject, tarfile.DIRTYPE, status.st_mode)
            for name in sorted(os.listdir(fd), key=os.fsencode):
                self._add(fd, name, (*at, name))
            check_unchanged(fd, Identity.of(status), subject)
        except OSError as error:
            raise refused(error, subject) from error

    def _add(self, above: int, name: str, at: tuple[str, ...]) -> None:
        subject = self._called(at)
        try:
            mode = os.stat(name, dir_fd=above, follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                self._add_link(os.readlink(name, dir_fd=above), mode, at)
                return
            fd, status = open_at(above, name, subject)
        except FileNotFoundError as error:
            raise changed(subject) from error
        except OSError as error:
            raise refused(error, subject) from error
        if stat.S_ISREG(status.st_mode):
            self._add_file(whole(fd, status, subject), status.st_mode, subject)
            return
        try:
            self._add_directory(fd, at)
        finally:
            os.close(fd)

    def _add_file(self, content: Extent, mode: int, subject: str) -> None:
        try:
            self._tar.add(subject, tarfile.REGTYPE, mode, content=content)
        finally:
            content.close()

    def _add_link(self, target: str, mode: int, at: tuple[str, ...]) -> None:
        subject = self._called(at)
        if not self._stays_within(at[:-1], target):
            detail = f"is a symbolic link to {quoted(target)}, which leads out of the directory or in a circle"
            raise irregular(subject, detail, hint="have it lead to something within, or put that there instead")
        self._tar.add(subject, tarfile.SYMTYPE, mode, target=target)

    def _stays_within(self, base: tuple[str, ...], target: str) -> bool:
        """Whether a link in `base` leads to a place in the directory, be there something or not.

        Names alone do not tell: behind another link `..` is another directory.
        """
        if target.startswith("/"):
            return False
        at, ahead, links = list(base), _ahead(target), 0
        while ahead:
            step = ahead.pop()
            if step != "..":
                at.append(step)
            elif at:
                at.pop()
                continue
            else:
                return False
            if (further := self._link_at(at)) is not None:
                links += 1
                if further.startswith("/") or links > MAX_LINKS:
                    return False
                at.pop()
                ahead += _ahead(further)
        return True

    def _link_at(self, at: list[str]) -> str | None:
        """Give where a link leads; None for what is none."""
        try:
            return os.readlink("/".join(at), dir_fd=self._root)
        except OSError:
            return None

    def _called(self, at: tuple[str, ...]) -> str:
        return "/".join(at if self._name == "." and at else (self._name, *at))


class _Tar:
    """A tar on its way to a file, compressed and hashed as it goes."""

    def __init__(self, target: BinaryIO, mtime: int) -> None:
        self._target = target
        self._mtime = mtime
        self._deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._plain = hashlib.sha256(usedforsecurity=False)
        self._packed = hashlib.sha256(usedforsecurity=False)
        self._size = 0

    def add(self, name: str, kind: bytes, mode: int, *, target: str = "", content: Extent | None = None) -> None:
        """Add one member: a directory, a link to `target`, or a file with `content`."""
        member = tarfile.TarInfo(name)
        member.type = kind
        member.mode = mode & _PERMISSIONS
        member.mtime = self._mtime
        member.linkname = target
        member.size = content.size if content is not None else 0
        self._put(member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        if content is not None:
            for piece in content.pieces():
                self._put(piece)
            self._put(bytes(-content.size % _BLOCK))

    def end(self) -> Packed:
        """Write what ends it."""
        self._put(_END)
        self._write(self._deflate.flush())
        return Packed(
            digest=Digest("sha256", self._packed.hexdigest()),
            size=self._size,
            plain=Digest("sha256", self._plain.hexdigest()),
        )

    def _put(self, content: bytes) -> None:
        self._plain.update(content)
        self._write(self._deflate.compress(content))

    def _write(self, content: bytes) -> None:
        self._packed.update(content)
        self._size += len(content)
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[self._target.write(rest) :]
        except OSError as error:
            raise FullError(error.strerror or str(error)) from error


def _ahead(path: str) -> list[str]:
    """Give the steps of a path, the next one last."""
    return [step for step in reversed(path.split("/")) if step not in ("", ".")]
