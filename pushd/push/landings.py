"""Writes down what the small blobs of a delivery came to: those that land within a moment in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from pushd.oci.descriptor import Descriptor
    from pushd.push.ports.store import JobStore
    from pushd.work import Claim, TransferResult

_MOMENT = 0.05
"""Seconds until what landed is written down, if not all have by then. A crash meanwhile costs the next life a request
for each of them, and no byte: they are found there."""


class Landings:
    """Those of one delivery.

    Args:
        store: where they are written down.
        claim: of the delivery.
        expected: how many may land.
    """

    def __init__(self, store: JobStore, claim: Claim, *, expected: int) -> None:
        self._store = store
        self._claim = claim
        self._left = expected
        self._complete = anyio.Event()
        self._landed: list[tuple[Descriptor, TransferResult]] = []

    async def add(self, blob: Descriptor, result: TransferResult) -> None:
        """Have it written down; the first one of a moment waits for the others, and writes for all.

        Raises:
            StoreError: those of this moment could not be written down.
        """
        self._landed.append((blob, result))
        self.pass_over()
        if len(self._landed) > 1:
            return
        try:
            with anyio.move_on_after(_MOMENT):
                await self._complete.wait()
        finally:
            landed, self._landed = self._landed, []
            with anyio.CancelScope(shield=True):
                await self._store.land(self._claim, *landed)

    def pass_over(self) -> None:
        """Expect one fewer."""
        self._left -= 1
        if not self._left:
            self._complete.set()
