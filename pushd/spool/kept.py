"""Compressed layers kept for the next image of the same user that has them, so that nobody compresses them again.

DIRECTORY/packed/UID/ENCODING/ALGORITHM-HEX/HEX     a file, by the digests of the plain layer and of what it became

A file is the very one of the entry it was made in, under a second name: neither needs the other, and neither takes
more of the disk while both are there. What one user's layers became is given to no other, who may know no more of a
layer than its digest. All of it may be lost at any time, and is only worked for again.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple

from pushd.errors import RequestError
from pushd.oci.compression import Encoding, Packed
from pushd.oci.digest import Digest
from pushd.spool.shelf import MODE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from pushd.oci.compression import Plain


MOST: Final = 10_000
"""Layers that are kept: each is looked at when the daemon starts."""


class _Key(NamedTuple):
    """Whose layer, and what was made of it."""

    uid: int
    encoding: Encoding
    plain: Digest


class Kept:
    """The layers kept. All methods block; threads may call them side by side.

    Args:
        directory: where they are; it need not be there.
        limit: bytes of all of them together.

    Attributes:
        limit: as it was given; may be changed, and `shrink` goes by it.
        size: bytes of all of them together.
    """

    def __init__(self, directory: Path, limit: int) -> None:
        self._directory = directory
        self._lock = Lock()
        self._layers: dict[_Key, Packed] = {}  # the least recently used first
        self.limit = limit
        self.size = 0
        for _, key, packed in sorted(_found(directory), key=lambda found: found[0]):
            self._add(key, packed)
        self.shrink()

    def take(self, uid: int, plain: Plain, path: Path) -> Packed | None:
        """Put what a user's layer became at `path`, where nothing is yet; give None where it is not kept."""
        key = _Key(uid, plain.encoding, plain.digest)
        with self._lock:
            packed = self._layers.get(key)
            if packed is None:
                return None
            try:
                os.link(self._path(key, packed), path)
            except OSError:  # it is not there, or has more names already than the filesystem bears
                self._drop(key)
                return None
            self._layers[key] = self._layers.pop(key)
            with suppress(OSError):
                os.utime(self._path(key, packed).parent)
            return packed

    def keep(self, uid: int, plain: Plain, packed: Packed, path: Path) -> None:
        """Keep what a user's layer became, which is at `path`, whole and durable; as far as that goes."""
        key = _Key(uid, plain.encoding, plain.digest)
        with self._lock, suppress(OSError):
            if key in self._layers or packed.size > self.limit:
                return
            kept = self._path(key, packed)
            kept.parent.mkdir(mode=MODE, parents=True, exist_ok=True)
            os.link(path, kept)
            self._add(key, packed)
        self.shrink()

    def shrink(self) -> None:
        """Let go of those that were used least recently, until the others are within the limit."""
        with self._lock:
            while self.size > self.limit or len(self._layers) > MOST:
                self._drop(next(iter(self._layers)))

    def clear(self) -> None:
        """Let go of all."""
        with self._lock:
            for key in tuple(self._layers):
                self._drop(key)

    def forget(self, digests: Collection[Digest]) -> None:
        """Let go of those whose digest, compressed, is one of these."""
        with self._lock:
            for key in [key for key, packed in self._layers.items() if packed.digest in digests]:
                self._drop(key)

    def _path(self, key: _Key, packed: Packed) -> Path:
        plain = key.plain
        parent = self._directory / str(key.uid) / key.encoding / f"{plain.algorithm}-{plain.encoded}"
        return parent / packed.digest.encoded

    def _add(self, key: _Key, packed: Packed) -> None:
        self._layers[key] = packed
        self.size += packed.size

    def _drop(self, key: _Key) -> None:
        packed = self._layers.pop(key)
        self.size -= packed.size
        shutil.rmtree(self._path(key, packed).parent, ignore_errors=True)


def _found(directory: Path) -> Iterator[tuple[int, _Key, Packed]]:
    """Give what is kept, with when it was used last, and clear away what is something else."""
    for user in _listed(directory):
        for way in _listed(user):
            for layer in _listed(way):
                found = _read(layer)
                if found is None:
                    _clear(layer)
                else:
                    yield found
            with suppress(OSError):
                way.rmdir()
        with suppress(OSError):
            user.rmdir()


def _read(layer: Path) -> tuple[int, _Key, Packed] | None:
    """Read one layer from where it is; None for what is none."""
    with suppress(OSError, ValueError, RequestError):
        algorithm, _, encoded = layer.name.partition("-")
        key = _Key(int(layer.parts[-3]), Encoding(layer.parts[-2]), Digest.parse(f"{algorithm}:{encoded}"))
        (file,) = layer.iterdir()
        if file.is_file() and not file.is_symlink():
            packed = Packed(Digest.parse(f"{algorithm}:{file.name}"), file.stat().st_size)
            return layer.stat().st_mtime_ns, key, packed
    return None


def _listed(directory: Path) -> list[Path]:
    """Give what is in a directory; what is none goes."""
    if directory.is_symlink() or not directory.is_dir():
        _clear(directory)
        return []
    return list(directory.iterdir())


def _clear(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)
