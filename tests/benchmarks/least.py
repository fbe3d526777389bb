"""The least a push must do: read, hash, send. Nothing else is done with the bytes.

Each by itself, again and again with bytes that the processor has at hand, and all three together with those of real
layers, one piece after the other.

python -m tests.benchmarks.least ADDRESS BYTES LAYER...
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PIECE = 1 << 20
_SHARE = 512 << 10
"""Of a layer, read, hashed and sent before the next: what still is in the processor's cache when it is sent."""
_AGAIN = 64 << 20
"""Bytes of a layer that are read again and again."""
_GIB = 1 << 30


def _main(address: str, size: int, *layers: str) -> None:
    found = _apart(layers[0], address, size) | _together(layers, address)
    print(json.dumps(found))  # noqa: T201 (its answer)


def _apart(layer: str, address: str, size: int) -> dict[str, float]:
    """Measure each by itself, in pieces of a mebibyte; give the CPU seconds of each for a GiB."""
    pieces = size // _PIECE
    with Path(layer).open("rb", buffering=0) as opened, _request(address, size) as connection:
        piece = os.urandom(_PIECE)
        at_end = max(min(os.fstat(opened.fileno()).st_size, _AGAIN) - _PIECE, 1)

        def read(number: int) -> None:
            os.pread(opened.fileno(), _PIECE, number * _PIECE % at_end)

        digest = hashlib.sha256()
        found = {
            "sha256": _cpu(lambda _: digest.update(piece), pieces),
            "send": _cpu(lambda _: connection.sendall(piece), pieces),
            "read": _cpu(read, pieces),
        }
    return {name: seconds * _GIB / size for name, seconds in found.items()}


def _together(layers: Sequence[str], address: str) -> dict[str, float]:
    """Read, hash and send the layers; give the CPU seconds for a GiB of them."""
    size = sum(Path(layer).stat().st_size for layer in layers)
    start = time.process_time()
    with _request(address, size) as connection:
        for layer in layers:
            digest = hashlib.sha256()
            with Path(layer).open("rb", buffering=0) as opened:
                while piece := opened.read(_SHARE):
                    digest.update(piece)
                    connection.sendall(piece)
            digest.hexdigest()
    return {"together": (time.process_time() - start) * _GIB / size}


def _request(address: str, size: int) -> socket.socket:
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(
        f"PUT /v2/bench/blobs/uploads/0 HTTP/1.1\r\nHost: {address}\r\nContent-Length: {size}\r\n\r\n".encode()
    )
    return connection


def _cpu(step: Callable[[int], object], times: int) -> float:
    start = time.process_time()
    for number in range(times):
        step(number)
    return time.process_time() - start


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
