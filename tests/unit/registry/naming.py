"""Names for tests: resolved as a test says, and by nobody else."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

from aiohttp.abc import AbstractResolver, ResolveResult


@dataclass(slots=True)
class Names(AbstractResolver):
    """A resolver that knows these names only.

    Attributes:
        addresses: of each name.
        asked: the names it was asked for, in order.
    """

    addresses: dict[str, list[str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Give the addresses of a name."""
        self.asked.append(host)
        if host not in self.addresses:
            raise OSError(None, "Name or service not known")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self.addresses[host]
        ]

    async def close(self) -> None:
        """End nothing: there is nothing to end."""
