"""Layer blobs of exactly the size asked for, written to disk.

The same call gives the same bytes. Layers are gzip over tar that any tool can unpack: small ones are compressed and
padded in the gzip header, larger ones are pseudo-random bytes in stored deflate blocks, made piece by piece at over
150 MiB a second.
"""

from __future__ import annotations

import gzip
import hashlib
import random
import struct
import tarfile
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIN_LAYER = 256
"""The smallest gzip layer there is room for, in bytes."""

_PIECE = 1 << 20
_BLOCK = 0xFFFF  # the most a stored deflate block holds (RFC 1951, 3.2.4)
_GZIP_FRAME = 18  # header without optional fields, and trailer (RFC 1952, 2.3)
_TAR_FRAME = 512 + 1024  # one header, and the end of the archive


def write_layer(path: Path, size: int, seed: str, *, compressed: bool) -> tuple[str, str]:
    """Write a layer of `size` bytes to `path`; give the hex of its SHA-256, and of what it unpacks to.

    Compressed, it has `MIN_LAYER` bytes or more; otherwise any number of plain bytes, that are no tar.
    """
    blob, unpacked = hashlib.sha256(), hashlib.sha256()
    with path.open("wb") as file:
        if not compressed:
            pieces: Iterator[bytes] = _noise(size, seed)
        elif size >= _GZIP_FRAME + 5 + _TAR_FRAME:
            pieces = _stored(size, seed, unpacked)
        else:
            pieces = iter([_small(size, seed, unpacked)])
        for piece in pieces:
            blob.update(piece)
            file.write(piece)
    return blob.hexdigest(), unpacked.hexdigest() if compressed else blob.hexdigest()


def _noise(length: int, seed: str) -> Iterator[bytes]:
    source = random.Random(seed)
    for start in range(0, length, _PIECE):
        yield source.randbytes(min(_PIECE, length - start))


def _stored(size: int, seed: str, unpacked: hashlib._Hash) -> Iterator[bytes]:
    """Give gzip of exactly `size` bytes whose deflate blocks are stored, not compressed.

    With b blocks over r bytes it has 18 + 5b + r bytes; the last block may be empty, so no size is left out.
    """
    blocks = -(-(size - _GZIP_FRAME) // (_BLOCK + 5))
    length = size - _GZIP_FRAME - 5 * blocks
    checksum = 0
    yield gzip.compress(b"", mtime=0)[:10]
    content = _blocks(_tar(length, seed))
    for left in range(blocks - 1, -1, -1):
        block = next(content, b"")
        unpacked.update(block)
        checksum = zlib.crc32(block, checksum)
        yield struct.pack("<BHH", left == 0, len(block), len(block) ^ 0xFFFF) + block
    yield struct.pack("<II", checksum, length & 0xFFFFFFFF)


def _small(size: int, seed: str, unpacked: hashlib._Hash) -> bytes:
    """Give gzip of exactly `size` bytes, filled up with an extra field in its header (RFC 1952, 2.3.1.1)."""
    content = b"".join(_tar(_TAR_FRAME, seed))
    unpacked.update(content)
    packed = gzip.compress(content, mtime=0)
    room = size - len(packed) - 6  # XLEN, and a subfield's identifier and length
    if room < 0 or size < MIN_LAYER:
        raise ValueError(f"a compressed layer of {size} bytes is not to be had; the smallest is {MIN_LAYER}")
    flags, extra = struct.pack("<B", 4), struct.pack("<H2sH", room + 4, b"pd", room)
    return packed[:3] + flags + packed[4:10] + extra + bytes(room) + packed[10:]


def _tar(length: int, seed: str) -> Iterator[bytes]:
    """Give a tar of `length` bytes with one file in it; what is left over follows its end as zeros."""
    inside = (length - _TAR_FRAME) // 512 * 512
    member = tarfile.TarInfo(f"layer-{hashlib.sha256(seed.encode()).hexdigest()[:12]}")
    member.size = inside
    yield member.tobuf(tarfile.GNU_FORMAT)
    yield from _noise(inside, seed)
    yield bytes(length - 512 - inside)


def _blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Cut pieces anew, into full blocks and a last one that may be shorter."""
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) > _BLOCK:
            yield bytes(held[:_BLOCK])
            del held[:_BLOCK]
    yield bytes(held)
