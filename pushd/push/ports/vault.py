"""What the engine needs of the vault: secrets at rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pushd.work import Handed, Login, Sealed


class Keyring(Protocol):
    """The credentials of users, sealed."""

    async def seal(self, handed: Handed, uid: int, now: datetime) -> Sealed:
        """Seal one, for its owner alone.

        Raises:
            DaemonError: the key cannot be used.
        """

    async def store(self, name: str, handed: Handed, *, uid: int) -> int:
        """Store one under a name; give how many deliveries go on that waited for one.

        Raises:
            RequestError: `request.limit`.
            DaemonError: the key cannot be used.
        """

    async def list(self, uid: int) -> Sequence[Login]:
        """Give a user's, by name."""

    async def remove(self, name: str, uid: int) -> bool:
        """Forget one; give whether there was one."""
