"""Plain layers compressed into an entry, side by side, a piece at a time.

Each piece is a hop to a thread of its own, so that whoever is cancelled, or is to stop, does so between two of them.
The same plain bytes give the same compressed ones, in whatever process and with however many threads, as long as the
library and the machine are the same: pieces are always of one size. Another kind of processor may give others with
ISA-L, which makes gzip here and has code for several. The header says neither a time nor a name (RFC 1952, 2.3.1).
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import anyio
import anyio.lowlevel
import zstandard
from isal import isal_zlib

from pushd.errors import Code, SourceError
from pushd.oci.compression import Encoding, Packed
from pushd.oci.digest import Digest
from pushd.oci.manifest import REBUILD
from pushd.spool.faults import disk
from pushd.spool.shelf import NEW_FILE
from pushd.spool.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor

    from pushd.oci.compression import Plain
    from pushd.spool.copying import Reader, Source
    from pushd.spool.shelf import Shelf

PIECE: Final = 4 << 20
"""Bytes read, hashed and compressed at once: about ten milliseconds, which makes little of a hop to a thread."""
_GZIP_LEVEL: Final = 2
"""Of ISA-L's, 0 to 3: 448 MB/s and 3.12 times smaller on a library tree, where 3 makes 321 MB/s and 3.17 times."""
_GZIP_FRAMED: Final = 31
"""The largest window, in a gzip frame (zlib's manual, deflateInit2)."""
_ZSTD_LEVEL: Final = 3


class _Packer(Protocol):
    """Compresses a stream."""

    def compress(self, data: bytes, /) -> bytes:
        """Take more; give what is ready."""

    def flush(self) -> bytes:
        """Give the rest."""


def room_for(layers: Sequence[Plain]) -> int:
    """Give bytes more than what the layers grow by at most, when nothing in them can be made smaller."""
    return sum((layer.size >> 8) + 1024 for layer in layers)


async def compress_layers(
    source: Source,
    layers: Sequence[Plain],
    shelf: Shelf,
    entry: str,
    *,
    threads: Executor,
    places: anyio.CapacityLimiter,
    boundary: Callable[[], None],
    done: Callable[[Plain, Packed], None],
) -> Mapping[Plain, Packed]:
    """Compress each layer into a file of an entry, durable and named by its digest; give what they became.

    Args:
        source: where the plain bytes are; they are checked on the way.
        layers: each once.
        shelf: where entries are.
        entry: one that has none of these files.
        threads: where it is done.
        places: how many are compressed at once.
        boundary: called between two pieces; what it raises ends it.
        done: called in a thread with each layer, and what it became, as soon as that is there.

    Raises:
        SourceError: a layer cannot be read, changed, or is not what its digest says (`source.blob_digest`).
        StoreError: `store.full`, `store.unavailable`.
    """
    packed: dict[Plain, Packed] = {}
    failures: list[Exception] = []

    async def one(number: int, plain: Plain, group: anyio.abc.TaskGroup) -> None:
        async with places:
            try:
                packed[plain] = await _compress(source, plain, shelf, entry, f"layer-{number}", threads, boundary)
                await in_thread(threads, partial(done, plain, packed[plain]))
            except Exception as error:  # noqa: BLE001 (whatever it is, the first is what happened, and ends the others)
                failures.append(error)
                group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        # The largest first: one that begins last would be alone for long.
        for number, plain in enumerate(sorted(layers, key=lambda layer: -layer.size)):
            group.start_soon(one, number, plain, group)
    if failures:
        raise failures[0]
    return packed


async def _compress(  # noqa: PLR0917 (one caller, right above)
    source: Source,
    plain: Plain,
    shelf: Shelf,
    entry: str,
    name: str,
    threads: Executor,
    boundary: Callable[[], None],
) -> Packed:
    reader = await in_thread(threads, partial(source.open, plain.blob))
    try:
        layer = await in_thread(threads, partial(_Layer, reader, plain, shelf, entry, name))
        try:
            for offset in range(0, plain.size, PIECE):
                await anyio.lowlevel.checkpoint_if_cancelled()
                boundary()
                await in_thread(threads, partial(layer.take, offset))
            return await in_thread(threads, layer.settle)
        finally:
            layer.close()
    finally:
        reader.close()


class _Layer:
    """One layer on its way into a file of an entry. Its methods block."""

    def __init__(self, reader: Reader, plain: Plain, shelf: Shelf, entry: str, name: str) -> None:
        self._reader = reader
        self._plain = plain
        self._shelf = shelf
        self._entry = entry
        self._name = name
        self._packer = _packer(plain)
        self._before, self._after = plain.digest.hasher(), plain.digest.hasher()
        self._size = 0
        self._path = shelf.incoming(entry, name)
        with disk(self._path):
            # Unbuffered: a full disk shows at the write that meets it, and closing writes nothing more.
            self._file = os.fdopen(os.open(self._path, NEW_FILE, 0o600), "wb", buffering=0)

    def take(self, offset: int) -> None:
        """Compress the piece at `offset`; each, in their order."""
        piece = self._reader.read(offset, min(PIECE, self._plain.size - offset))
        self._before.update(piece)
        self._write(self._packer.compress(piece))

    def settle(self) -> Packed:
        """Put the file, whole and durable, where its digest says.

        Raises:
            SourceError: `source.blob_digest`.
        """
        plain = self._plain.digest
        found = Digest(plain.algorithm, self._before.hexdigest())
        if found != plain:
            raise SourceError(Code.SOURCE_BLOB_DIGEST, str(plain), f"has the digest {found}", hint=REBUILD)
        self._write(self._packer.flush())
        with disk(self._path):
            os.fdatasync(self._file.fileno())
        packed = Packed(Digest(plain.algorithm, self._after.hexdigest()), self._size)
        self._shelf.shelve(self._entry, self._name, packed.digest)
        return packed

    def close(self) -> None:
        """Close the file, in whatever state it is."""
        self._file.close()

    def _write(self, content: bytes) -> None:
        self._after.update(content)
        self._size += len(content)
        left = memoryview(content)
        with disk(self._path):
            while left:
                left = left[self._file.write(left) :]


def _packer(plain: Plain) -> _Packer:
    if plain.encoding is Encoding.GZIP:
        return isal_zlib.compressobj(_GZIP_LEVEL, isal_zlib.DEFLATED, _GZIP_FRAMED)
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj(size=plain.size)
