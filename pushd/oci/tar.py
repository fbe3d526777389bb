"""Headers of a tar, one after another (POSIX.1-2024, pax; GNU tar manual, "Basic Tar Format"; OCI layer.md).

Stricter than what unpacks: `tarfile` takes a header it cannot read for the end of the archive, and then lists less than
there is. One block is decoded by `TarInfo.frombuf`; what follows what is decided here.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK: Final = tarfile.BLOCKSIZE
MAX_EXTENSION: Final = 1 << 20
"""The most bytes a long name or a pax header may have."""

_SIZE_DIGITS: Final = 19
_LENGTH_DIGITS: Final = 7
_PAX: Final = frozenset({tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE})
_EXTENSIONS: Final = _PAX | {tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
_LINKS: Final = frozenset({tarfile.LNKTYPE, tarfile.SYMTYPE})
_WITHOUT_DATA: Final = frozenset(
    {tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE}
)


class MalformedTarError(ValueError):
    """The archive is not one, or not whole; the text says what of it."""


@dataclass(frozen=True, slots=True)
class Member:
    """One thing in the archive.

    Attributes:
        name: as written, not yet to be trusted.
        kind: its type flag.
        offset: where its bytes begin in the archive.
        size: how many there are.
        target: where a link leads, as written, not to be trusted either; empty for what is no link.
        sparse: whether pax records say that its bytes are a map and parts of a file; GNU's own format has a kind.
    """

    name: str
    kind: bytes
    offset: int
    size: int
    target: str = ""
    sparse: bool = False


@dataclass(frozen=True, slots=True)
class Extension:
    """A header that says more of the member after it: in its bytes, which are to be read.

    Attributes:
        name: its own, as written.
        kind: its type flag.
        offset: where its bytes begin in the archive.
        size: how many there are, at most `MAX_EXTENSION`.
    """

    name: str
    kind: bytes
    offset: int
    size: int


class Headers:
    """Reads the headers of one archive, and remembers what extensions say of the next member."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def read(self, block: bytes, position: int) -> Member | Extension | None:
        """Read the block at `position`, where a header is to be; None is one of zeros.

        Raises:
            MalformedTarError: it is no header, or goes beyond the bounds above.
        """
        if not any(block):
            return None
        try:
            # Older names are in whatever encoding; nothing of them may be lost, or two could become one.
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise MalformedTarError(f"is no tar, or damaged: there is no valid header at byte {position}") from error
        if header.type in _EXTENSIONS:
            if header.size > MAX_EXTENSION:
                raise MalformedTarError(f"has an extension header of {header.size} bytes at byte {position + BLOCK}")
            return Extension(header.name, header.type, position + BLOCK, _checked(header.size, header.name))
        return self._member(header, position)

    def extend(self, extension: Extension, content: bytes) -> None:
        """Take what an extension says, in `content`.

        Raises:
            MalformedTarError: it cannot be read.
        """
        self._known |= _extension(extension, content)

    def _member(self, header: tarfile.TarInfo, position: int) -> Member:
        known, self._known = self._known, {}
        name = known.get("path", header.name)
        size = 0 if header.type in _WITHOUT_DATA else _size(known.get("size"), header.size)
        sparse = any(keyword.startswith("GNU.sparse.") for keyword in known)
        target = known.get("linkpath", header.linkname) if header.type in _LINKS else ""
        return Member(name, header.type, position + BLOCK, _checked(size, name), target, sparse)


def padded(size: int) -> int:
    """Give how many bytes of the archive `size` bytes take up."""
    return -(-size // BLOCK) * BLOCK


def lone_zeros(position: int) -> MalformedTarError:
    """Say that there is one block of zeros, at `position`, and then something else."""
    return MalformedTarError(f"is damaged: one block of zeros at byte {position}, where the end takes two")


def _size(extended: str | None, plain: int) -> int:
    if extended is None:
        return plain
    if not extended.isascii() or not extended.isdigit() or len(extended) > _SIZE_DIGITS:
        raise MalformedTarError(f"is damaged: a pax header gives a size of {extended[:40]!r}")
    return int(extended)


def _checked(size: int, name: str) -> int:
    if size < 0:
        raise MalformedTarError(f"is damaged: {name!r} has a negative size")
    return size


def _extension(extension: Extension, content: bytes) -> dict[str, str]:
    """Read what an extension header says of the member after it."""
    if extension.kind in (tarfile.GNUTYPE_LONGLINK, tarfile.GNUTYPE_LONGNAME):
        keyword = "path" if extension.kind == tarfile.GNUTYPE_LONGNAME else "linkpath"
        return {keyword: _decoded(content.partition(b"\0")[0])}
    records = dict(_pax_records(content, extension.offset))
    if extension.kind != tarfile.XGLTYPE:
        return records
    # A comment for all members is common (git archive); a name or a size for all of them is nonsense.
    if not records.keys().isdisjoint({"path", "size"}):
        raise MalformedTarError(
            f"is damaged: the global header at byte {extension.offset} names or measures all members"
        )
    return {}


def _pax_records(content: bytes, position: int) -> Iterator[tuple[str, str]]:
    """Give the records `LENGTH KEYWORD=VALUE` of a pax header; an empty value takes the keyword back."""
    at = 0
    while at < len(content):
        space = content.find(b" ", at, at + _LENGTH_DIGITS + 1)
        digits = content[at:space] if space >= 0 else b""
        length = int(digits) if digits.isdigit() else 0
        record = content[space + 1 : at + length - 1]
        keyword, equals, value = record.partition(b"=")
        if not keyword or not equals or content[at + length - 1 : at + length] != b"\n":
            raise MalformedTarError(f"is damaged: the pax header at byte {position} cannot be read")
        if value:
            yield _decoded(keyword), _decoded(value)
        at += length


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
