"""The table of contents of a tar in a file, from its headers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pushd.oci.tar import BLOCK, Extension, Headers, MalformedTarError, lone_zeros, padded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pushd.oci.tar import Member

MAX_HEADERS: Final = 100_000
"""More headers than that are refused: the work one archive can ask for has an end."""
MAX_NAMES: Final = 16 << 20
"""The most characters that all names and targets of links may have together: they are kept."""


def read_members(pread: Callable[[int, int], bytes], total: int) -> Iterator[Member]:
    """Go through the headers of an archive of `total` bytes.

    Args:
        pread: gives so many bytes (first) at an offset (second), fewer only where the file ends.
        total: bytes of the file.

    Raises:
        MalformedTarError: it is truncated, damaged, or goes beyond the bounds here and in `pushd.oci.tar`.
    """
    position = 0
    headers = Headers()
    named = 0
    for _ in range(MAX_HEADERS):
        header = headers.read(_block(pread, position), position)
        if header is None:
            _check_end(pread(BLOCK, position + BLOCK), position)
            return
        _check_extent(header, total)
        if isinstance(header, Extension):
            headers.extend(header, pread(header.size, header.offset))
        else:
            named += len(header.name) + len(header.target)
            if named > MAX_NAMES:
                raise MalformedTarError(f"has names of more than {MAX_NAMES} characters")
            yield header
        position = header.offset + padded(header.size)
    raise MalformedTarError(f"has more than {MAX_HEADERS} headers")


def _block(pread: Callable[[int, int], bytes], position: int) -> bytes:
    block = pread(BLOCK, position)
    if len(block) < BLOCK:
        raise MalformedTarError(f"is truncated: it stops at byte {position + len(block)}, before its end was marked")
    return block


def _check_end(block: bytes, position: int) -> None:
    """Accept two blocks of zeros, or one at the end of the file, which some writers leave."""
    if any(block):
        raise lone_zeros(position)


def _check_extent(header: Member | Extension, total: int) -> None:
    """Check that so many bytes can be there."""
    stop = header.offset + header.size
    if stop > total:
        raise MalformedTarError(f"is truncated: {header.name!r} ends at byte {stop}, the file at {total}")
