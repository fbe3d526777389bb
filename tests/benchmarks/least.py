"""The least a push must do: read, hash, send. Nothing else is done with the bytes.

python -m tests.benchmarks.least FILE ADDRESS BYTES
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE = 1 << 20
_GIB = 1 << 30


def _main(file: str, address: str, size: int) -> None:
    pieces = size // _PIECE
    with open(file, "rb", buffering=0) as opened, _request(address, size) as connection:  # noqa: PTH123 (as bare as can be)
        piece = opened.read(_PIECE)
        at_end = os.fstat(opened.fileno()).st_size

        def read(number: int) -> None:
            os.pread(opened.fileno(), _PIECE, number * _PIECE % at_end)

        digest = hashlib.sha256()
        found = {
            "sha256": _cpu(lambda _: digest.update(piece), pieces),
            "send": _cpu(lambda _: connection.sendall(piece), pieces),
            "read": _cpu(read, pieces),
        }
    print(json.dumps({name: seconds * _GIB / size for name, seconds in found.items()}))  # noqa: T201 (its answer)


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
    _main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
