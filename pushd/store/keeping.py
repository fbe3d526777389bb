"""What the store does with credentials: it never sees one, only what the vault made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.store import credentials, logins
from pushd.store.view import View

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from pushd.store.transaction import Transaction
    from pushd.store.worker import Worker
    from pushd.work import Sealed


class Keeping(View):
    """The part of `Store` that keeps credentials; what it keeps is read through `View`."""

    def __init__(self, reads: Worker[sqlite3.Connection], writes: Worker[Transaction]) -> None:
        super().__init__(reads)
        self._writes = writes

    async def store_login(self, uid: int, name: str, sealed: Sealed, now: datetime, *, limit: int) -> int:
        """Store a user's credential, in place of the one of that name; give how many deliveries go on that waited.

        Raises:
            RequestError: `request.limit`, they have `limit` others already.
        """
        return await self._writes.send(
            lambda transaction: logins.store(transaction, uid, name, sealed, now, limit=limit)
        )

    async def remove_login(self, uid: int, name: str, now: datetime) -> bool:
        """Remove a user's credential; give whether there was one."""
        return await self._writes.send(lambda transaction: logins.remove(transaction, uid, name, now))

    async def spend(self, number: int, now: datetime) -> None:
        """Forget the secret of the credential of this number: the registry refused it. Idempotent."""
        await self._writes.send(lambda transaction: credentials.spend(transaction, number, now))
