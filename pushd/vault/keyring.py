"""The credentials users brought: sealed on their way to the store, and opened when a registry is spoken to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from pushd.job import ANONYMOUS, AUTO, DAEMON, HANDED
from pushd.vault import choice
from pushd.vault.choice import Kept
from pushd.vault.seal import UnopenableError
from pushd.work import Sealed, covers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from pushd.credentials.credential import Credential
    from pushd.vault.seal import Seal
    from pushd.work import Asker, Handed, Login

LOGINS: Final = 100
"""Logins a user may have."""


class Rows(Protocol):
    """Where sealed credentials are kept; as `push.ports.store.JobStore` has it."""

    async def handed(self, job_id: str) -> Sequence[Sealed]:
        """Give those handed over with a job."""

    async def logins(self, uid: int) -> Sequence[Login]:
        """Give those a user stored, by name."""

    async def store_login(self, uid: int, name: str, sealed: Sealed, now: datetime, *, limit: int) -> int:
        """Store one; give how many deliveries go on that waited for it."""

    async def remove_login(self, uid: int, name: str, now: datetime) -> bool:
        """Remove one; give whether there was one."""

    async def spend(self, number: int, now: datetime) -> None:
        """Forget the secret of one."""


@dataclass(frozen=True, slots=True)
class Found:
    """A credential of a user's own.

    Attributes:
        number: what it is spent by when the registry refuses it; 0 for one that is kept nowhere.
    """

    credential: Credential
    number: int = 0


class Keyring:
    """Seals, keeps and finds the credentials of users. Any method may raise StoreError.

    What is opened is not kept: to open it again takes microseconds.

    Args:
        rows: where they are kept.
        seal: seals and opens them.
        clock: gives the time.
    """

    def __init__(self, rows: Rows, seal: Seal, clock: Callable[[], datetime]) -> None:
        self._rows = rows
        self._seal = seal
        self._clock = clock

    async def find(self, registry: str, repository: str, asker: Asker) -> Found | None:
        """Find what a user's own credential for a repository is.

        A login they asked for by its name, and nothing else. Or else what they handed over, for this question or with
        the job; or else what they stored: of several the one with the longest scope that can be used. Where there is
        one and none can be used, nothing takes its place: what is pushed as somebody else than was meant fails later,
        and says less, or does not fail.

        Args:
            registry: `host[:port]`, as in references.
            repository: the name within the registry.
            asker: who asks, and what they chose.

        Returns:
            What was found; None where they have none, or chose the daemon's or none.

        Raises:
            RequestError: `request.not_found`, they have no login of that name; `request.forbidden`, it is for another
                place.
            RegistryError: `registry.needs_credential`, what they have has expired, was refused, or cannot be opened.
            DaemonError: `daemon.config`, the daemon's key cannot be used.
        """
        if asker.choice in (DAEMON, ANONYMOUS):
            return None
        if asker.choice not in (AUTO, HANDED):
            return await self._named(asker.choice, asker.user.uid, registry, repository)
        handed = choice.at_hand(asker.handed, registry, repository)
        if handed is not None:
            return Found(handed.credential)
        return await self._kept(registry, repository, asker)

    async def seal(self, handed: Handed, uid: int, now: datetime) -> Sealed:
        """Seal a credential of a user, who handed it over `now`, to be kept with a job.

        Raises:
            DaemonError: `daemon.config`, the daemon's key cannot be used.
        """
        await self._prepare()
        secret = self._seal.close(handed.credential, uid=uid, scope=handed.scope)
        return Sealed(scope=handed.scope, secret=secret, created_at=now, expires_at=handed.expires_at)

    async def store(self, name: str, handed: Handed, *, uid: int) -> int:
        """Store a user's credential under a name, in place of the one of that name.

        Returns:
            How many deliveries go on that waited for one.

        Raises:
            RequestError: `request.limit`, they have too many.
            DaemonError: `daemon.config`, the daemon's key cannot be used.
        """
        now = self._clock()
        sealed = await self.seal(handed, uid, now)
        return await self._rows.store_login(uid, name, sealed, now, limit=LOGINS)

    async def list(self, uid: int) -> Sequence[Login]:
        """Give what a user has stored, by name."""
        return await self._rows.logins(uid)

    async def remove(self, name: str, uid: int) -> bool:
        """Forget what a user stored under a name; give whether there was something."""
        return await self._rows.remove_login(uid, name, self._clock())

    async def spend(self, number: int) -> None:
        """Forget a credential for good, because the registry refused it; 0 is none, and changes nothing. Idempotent."""
        if number:
            await self._rows.spend(number, self._clock())

    async def _named(self, name: str, uid: int, registry: str, repository: str) -> Found:
        login = next((login for login in await self._rows.logins(uid) if login.name == name), None)
        if login is None:
            raise choice.unknown(name, registry)
        kept = Kept(login.sealed, name)
        if not covers(login.sealed.scope, registry, repository):
            raise choice.elsewhere(kept, registry, repository)
        found = await self._first([kept], uid)
        if found is None:
            raise choice.needed(registry, kept, self._clock(), named=True)
        return found

    async def _kept(self, registry: str, repository: str, asker: Asker) -> Found | None:
        uid = asker.user.uid
        with_job = () if asker.job_id is None else await self._rows.handed(asker.job_id)
        handed = choice.fitting(map(Kept, with_job), registry, repository)
        found = await self._first(handed, uid)
        if found is not None:
            return found
        rows = await self._rows.logins(uid) if asker.choice == AUTO else ()
        stored = [Kept(login.sealed, login.name) for login in rows]
        logins = choice.fitting(stored, registry, repository)
        found = await self._first(logins, uid)
        if found is None and (handed or logins):
            raise choice.needed(registry, [*handed, *logins][0], self._clock())
        return found

    async def _first(self, kept: Sequence[Kept], uid: int) -> Found | None:
        """Open the first that can be."""
        now = self._clock()
        for one in kept:
            secret = one.secret(now)
            if secret is None:
                continue
            await self._prepare()
            try:
                credential = self._seal.open(secret, uid=uid, scope=one.sealed.scope, source=one.source)
            except UnopenableError:
                continue
            return Found(replace(credential, where=one.login or ""), one.sealed.number)
        return None

    async def _prepare(self) -> None:
        """Load the key where that is still to be done, off the loop: it reads a disk, and a large library."""
        if not self._seal.ready:
            await asyncio.to_thread(self._seal.prepare)
