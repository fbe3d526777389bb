"""The table of contents of a tar, from its headers alone (POSIX.1-2024, pax; GNU tar manual, "Basic Tar Format").

Stricter than what unpacks: `tarfile` takes a header it cannot read, or a missing end, for the end of the archive, and
then lists less than there is. One block is decoded by `TarInfo.frombuf`; what follows what is decided here.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK: Final = tarfile.BLOCKSIZE
MAX_HEADERS: Final = 100_000
"""More headers than that are refused: the work one archive can ask for has an end."""
MAX_EXTENSION: Final = 1 << 20
"""The most bytes a long name or a pax header may have."""
MAX_NAMES: Final = 16 << 20
"""The most characters that all names and targets of links may have together: they are kept."""

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
        kind: its type flag, with sparse files of either format as GNU's.
        offset: where its bytes begin in the archive.
        size: how many there are.
        target: where a link leads, as written, not to be trusted either; empty for what is no link.
    """

    name: str
    kind: bytes
    offset: int
    size: int
    target: str = ""


def read_members(pread: Callable[[int, int], bytes], total: int) -> Iterator[Member]:
    """Go through the headers of an archive of `total` bytes.

    Args:
        pread: gives so many bytes (first) at an offset (second), fewer only where the file ends.
        total: bytes of the file.

    Raises:
        MalformedTarError: it is truncated, damaged, or goes beyond the bounds above.
    """
    position = 0
    known: dict[str, str] = {}
    named = 0
    for _ in range(MAX_HEADERS):
        header = _header(pread(BLOCK, position), position)
        if header is None:
            _check_end(pread(BLOCK, position + BLOCK), position)
            return
        position += BLOCK
        if header.type in _EXTENSIONS:
            size = _extent(header.size, position, total, header.name)
            known |= _extension(header, pread, position)
        else:
            name = known.get("path", header.name)
            size = 0 if header.type in _WITHOUT_DATA else _size(known.get("size"), header.size)
            size = _extent(size, position, total, name)
            sparse = any(keyword.startswith("GNU.sparse.") for keyword in known)
            target = known.get("linkpath", header.linkname) if header.type in _LINKS else ""
            named += len(name) + len(target)
            if named > MAX_NAMES:
                raise MalformedTarError(f"has names of more than {MAX_NAMES} characters")
            yield Member(name, tarfile.GNUTYPE_SPARSE if sparse else header.type, position, size, target)
            known = {}
        position += -(-size // BLOCK) * BLOCK
    raise MalformedTarError(f"has more than {MAX_HEADERS} headers")


def _header(block: bytes, position: int) -> tarfile.TarInfo | None:
    """Decode one header block; None is the end of the archive."""
    if len(block) < BLOCK:
        raise MalformedTarError(f"is truncated: it stops at byte {position + len(block)}, before its end was marked")
    if not any(block):
        return None
    try:
        # Older names are in whatever encoding; nothing of them may be lost, or two could become one.
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise MalformedTarError(f"is no tar, or damaged: there is no valid header at byte {position}") from error


def _check_end(block: bytes, position: int) -> None:
    """Accept two blocks of zeros, or one at the end of the file, which some writers leave."""
    if any(block):
        raise MalformedTarError(f"is damaged: one block of zeros at byte {position}, where the end takes two")


def _size(extended: str | None, plain: int) -> int:
    if extended is None:
        return plain
    if not extended.isascii() or not extended.isdigit() or len(extended) > _SIZE_DIGITS:
        raise MalformedTarError(f"is damaged: a pax header gives a size of {extended[:40]!r}")
    return int(extended)


def _extent(size: int, position: int, total: int, name: str) -> int:
    """Give `size` when so many bytes can be at `position`."""
    if size < 0:
        raise MalformedTarError(f"is damaged: {name!r} has a negative size")
    if position + size > total:
        raise MalformedTarError(f"is truncated: {name!r} ends at byte {position + size}, the file at {total}")
    return size


def _extension(header: tarfile.TarInfo, pread: Callable[[int, int], bytes], position: int) -> dict[str, str]:
    """Read what an extension header says of the member after it."""
    if header.size > MAX_EXTENSION:
        raise MalformedTarError(f"has an extension header of {header.size} bytes at byte {position}")
    content = pread(header.size, position)
    if header.type in (tarfile.GNUTYPE_LONGLINK, tarfile.GNUTYPE_LONGNAME):
        keyword = "path" if header.type == tarfile.GNUTYPE_LONGNAME else "linkpath"
        return {keyword: _decoded(content.partition(b"\0")[0])}
    records = dict(_pax_records(content, position))
    if header.type != tarfile.XGLTYPE:
        return records
    # A comment for all members is common (git archive); a name or a size for all of them is nonsense.
    if not records.keys().isdisjoint({"path", "size"}):
        raise MalformedTarError(f"is damaged: the global header at byte {position} names or measures all members")
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
