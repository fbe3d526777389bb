"""An answer whose body is still on its way: read as fast as whoever wants it takes it, and no faster."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp

from pushd.errors import Code, RegistryError
from pushd.registry.faults import NETWORK, translated

if TYPE_CHECKING:
    from pushd.registry.connector import Trip


class Incoming:
    """The body of one answer, pulled by whoever reads it.

    What is not read stays in the kernel's buffers and at the other end: no more than 128 KiB of it are in memory here.

    Args:
        response: the answer, its head read.
        subject: whom and what it is about, for errors.
        trip: how the request went there.
        stall: seconds in which the next bytes must come, once they are asked for.
    """

    def __init__(self, response: aiohttp.ClientResponse, *, subject: str, trip: Trip, stall: float) -> None:
        self._response = response
        self._subject = subject
        self._trip = trip
        self._stall = stall

    async def read(self) -> bytes:
        """Give the bytes that are there, waiting for the first of them; nothing at the end of the body.

        Raises:
            RegistryError: `registry.interrupted`, the connection broke before the end; `registry.stalled`.
        """
        try:
            async with asyncio.timeout(self._stall):
                return await self._response.content.readany()
        except TimeoutError:
            detail = f"the registry sent nothing for {self._stall:g} s"
            raise RegistryError(Code.REGISTRY_STALLED, self._subject, detail, hint=NETWORK) from None
        except (aiohttp.ClientError, OSError) as error:
            broken = translated(error, self._subject, self._trip)
        raise broken  # out here, where it does not carry the library's error, which quotes the URL

    def close(self) -> None:
        """Let go of it: a connection on which something is left is closed, and one that is done is kept. Idempotent."""
        self._response.close()
