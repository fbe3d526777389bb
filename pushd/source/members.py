"""What the members of an archive may be called, and be: nobody knows who wrote them.

A name that is absolute or leads upwards was made to do harm, and a name there twice means one thing to one reader and
another to the next: such an archive is refused whole.
"""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Final

from pushd.errors import Code, RequestError, SourceError
from pushd.oci.digest import Digest
from pushd.oci.tar import MalformedTarError
from pushd.oci.text import printable, quoted
from pushd.source.faults import malformed
from pushd.source.name import SHOWN

if TYPE_CHECKING:
    from pushd.oci.tar import Member

INCOMPLETE: Final = "the archive does not hold all of the image: save it again"
"""The next step where something is not there."""

_MAX_LINKS: Final = 40
_REGULAR: Final = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE})
_LINKS: Final = frozenset({tarfile.LNKTYPE, tarfile.SYMTYPE})
_KINDS: Final = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
_LAYOUT: Final = frozenset({"oci-layout", "index.json", "blobs"})


class LayoutMembers:
    """Those of an OCI image layout: each a regular file of its own. Other things are passed over."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: set[tuple[str, ...]] = set()

    def admit(self, member: Member) -> tuple[str, ...] | None:
        """Give the components of a file's path; None for what is passed over.

        Raises:
            MalformedTarError: the archive is to be refused.
        """
        path = _path(member)
        if not path or path[0] not in _LAYOUT or member.kind == tarfile.DIRTYPE:
            return None
        if member.kind not in _REGULAR:
            raise _irregular(member)
        if path in self._seen:
            raise _again(path)
        self._seen.add(path)
        return path


class SavedMembers:
    """Those of what `docker save` and its like write, or a layout, or both in one.

    Links are followed inside the archive: before Docker 25 a layer that two images share is there once, and a link in
    every other place. Not so below `blobs`, where whatever is there has a digest for a name.
    """

    __slots__ = ("_irregular", "_links", "_seen", "_subject")

    def __init__(self, subject: str) -> None:
        """Errors name the archive `subject`."""
        self._subject = subject
        self._seen: set[tuple[str, ...]] = set()
        self._links: dict[str, str | None] = {}
        self._irregular: dict[str, str] = {}

    def admit(self, member: Member) -> tuple[str, ...] | None:
        """Give the components of a file's path; None for what is no file.

        Raises:
            MalformedTarError: the archive is to be refused.
        """
        path = _path(member)
        if not path or member.kind == tarfile.DIRTYPE:
            return None
        if path in self._seen:
            raise _again(path)
        self._seen.add(path)
        if member.kind in _REGULAR:
            return path
        if path[0] == "blobs":
            raise _irregular(member)
        name = "/".join(path)
        if member.kind in _LINKS:
            # A hard link is named from the top of the archive, a symbolic one from where it is.
            self._links[name] = _led(path[:-1] if member.kind == tarfile.SYMTYPE else (), member.target)
        else:
            self._irregular[name] = _kind(member)
        return None

    def resolve(self, name: str) -> str:
        """Give where the links at `name` lead, inside the archive; there may be nothing.

        Raises:
            SourceError: `source.archive_invalid`; out of it, in a circle, or to what is no file.
        """
        at = _led((), name)
        for _ in range(_MAX_LINKS):
            if at is None:
                raise malformed(self._subject, f"has a link at {quoted(name)} that leads out of it")
            if at in self._irregular:
                raise malformed(self._subject, f"has {quoted(at)}, which is {self._irregular[at]}")
            if at not in self._links:
                return at
            at = self._links[at]
        raise malformed(self._subject, f"has links at {quoted(name)} that lead in a circle")


def named_digest(path: tuple[str, ...]) -> Digest | None:
    """Give the digest a member of a layout is named by; None for what is no blob."""
    if len(path) != 3 or path[0] != "blobs":  # noqa: PLR2004 (blobs/ALGORITHM/HEX)
        return None
    try:
        return Digest.parse(f"{path[1]}:{path[2]}")
    except RequestError:
        return None


def missing_member(name: str, subject: str, *, hint: str = "") -> SourceError:
    """Tell that something is not in an archive: `source.blob_missing`."""
    where = f"{printable(name, SHOWN)} in {subject}"
    return SourceError(Code.SOURCE_BLOB_MISSING, where, "is not there", hint=hint or INCOMPLETE)


def _path(member: Member) -> tuple[str, ...]:
    """Give the components of a member's path, nothing for the archive's own directory."""
    path = tuple(part for part in member.name.split("/") if part not in ("", "."))
    if member.name.startswith("/") or ".." in path:
        raise MalformedTarError(f"has a name that leads out of it, {member.name!r}")
    if member.sparse or member.kind == tarfile.GNUTYPE_SPARSE:
        raise _irregular(member)
    return path


def _irregular(member: Member) -> MalformedTarError:
    return MalformedTarError(f"has {member.name!r}, which is {_kind(member)}")


def _kind(member: Member) -> str:
    return "a sparse file" if member.sparse else _KINDS.get(member.kind, "no regular file")


def _again(path: tuple[str, ...]) -> MalformedTarError:
    return MalformedTarError(f"has {'/'.join(path)!r} more than once")


def _led(base: tuple[str, ...], target: str) -> str | None:
    """Give the name a link at `base` leads to; None for one that leads out of the archive."""
    if target.startswith("/"):
        return None
    at = list(base)
    for step in target.split("/"):
        if step == ".." and not at:
            return None
        if step == "..":
            at.pop()
        elif step not in ("", "."):
            at.append(step)
    return "/".join(at)
