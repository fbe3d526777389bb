"""How a server of the suite is spoken to: it says where it listens, then what it has counted whenever it is asked.

One line on standard input asks, its end ends the process. This is the inside of it, which starts fast: no import of
anything that tests need.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.counts import Counts

BACKLOG = 1024
"""Connections that may wait to be accepted."""


async def stand_by(servers: Sequence[asyncio.Server], counts: Counts) -> None:
    """Say where these listen, answer what is asked on standard input, and return at its end."""
    print(json.dumps([":".join(map(str, server.sockets[0].getsockname())) for server in servers]), flush=True)  # noqa: T201 (its first answer)
    over = asyncio.Event()

    def asked() -> None:
        said = os.read(sys.stdin.fileno(), 4096)
        if not said:
            over.set()
        for _ in range(said.count(b"\n")):
            print(counts.encode(), flush=True)  # noqa: T201 (its answer)

    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), asked)
    await over.wait()
