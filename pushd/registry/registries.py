"""All registries of the daemon: one client per registry and credential, so that tokens outlive a job."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

import anyio

from pushd.errors import Code, DaemonError, RegistryError, RequestError
from pushd.job import ANONYMOUS, DAEMON
from pushd.registry.client import RegistryClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushd.credentials.credential import Credential
    from pushd.principal import User
    from pushd.registry.grants import Grants
    from pushd.registry.own import OwnCredentials
    from pushd.registry.settings import Settings
    from pushd.registry.wire import Wire
    from pushd.work import Asker

_KEPT = 2048
"""Clients kept: callers may name any host, one after the other. One that is dropped in use goes on all the same."""
_IDLE = 900.0
"""Seconds a client is kept that nobody asks for: a credential in memory is one that can be taken from there."""
_LOOK_AGAIN = 300.0
"""Seconds until the key that seals users' credentials is looked at again, when it cannot be used."""


class Found(Protocol):
    """A credential of a user's, and its number in the store."""

    @property
    def credential(self) -> Credential:
        """What to log in with."""

    @property
    def number(self) -> int:
        """Of its row; 0 for one that is in no store."""


class Keyring(Protocol):
    """The credentials of users."""

    async def find(self, registry: str, repository: str, asker: Asker) -> Found | None:
        """Find the one that is the asker's to use; None when they have none.

        Raises:
            RegistryError: `registry.needs_credential`.
            RequestError: `request.not_found`, `request.forbidden`.
            DaemonError: the key that seals them cannot be used.
        """

    async def spend(self, number: int) -> None:
        """Forget the secret of one."""


class Registries:
    """Gives the client for a registry.

    Args:
        wire: the HTTP below.
        settings: gives how the registry `host[:port]` is spoken to.
        own: finds the daemon's credentials.
        grants: who besides administrators may use them.
        keyring: has the users' own.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        settings: Callable[[str], Settings],
        own: OwnCredentials,
        grants: Grants,
        keyring: Keyring,
    ) -> None:
        self._wire = wire
        self._keyring = keyring
        self._clients: dict[tuple[str, Credential | None, str], tuple[RegistryClient, float]] = {}
        self.configure(settings=settings, own=own, grants=grants)

    def configure(self, *, settings: Callable[[str], Settings], own: OwnCredentials, grants: Grants) -> None:
        """Speak to registries so from now on. What is under way goes on as it began."""
        self._settings = settings
        self._own = own
        self._grants = grants
        self._clients.clear()

    async def connect(self, name: str, *, repository: str, asker: Asker) -> RegistryClient:
        """Give the client of `host[:port]`, with the credential that is the asker's to use there. No request is made.

        It is theirs where they have one, else the daemon's where they may use that, else none. Who may not use the
        daemon's is refused, and not taken for nobody: what is pushed anonymously in place of what was meant fails
        later, and says less.

        Raises:
            RegistryError: `registry.needs_credential`, theirs has expired or was refused; `registry.credentials`,
                `registry.helper_missing` and their kind: the daemon's cannot be had.
            RequestError: `request.forbidden`, there is a credential, and it is not for this user and repository;
                `request.not_found`, they chose one they have not stored.
        """
        if asker.choice == ANONYMOUS:
            return self._client(name, repository, None, borrowed=False)
        found = await self._theirs(name, repository, asker)
        if found is not None:
            return self._client(name, repository, found.credential, borrowed=True)
        credential = await self._own.find(name, repository)
        if credential is None and asker.choice == DAEMON:
            detail = "the daemon has no credential for it, and is to use its own"
            hint = "leave the choice out, or ask its administrator to bring one"
            raise RegistryError(Code.REGISTRY_CREDENTIALS, name, detail, hint=hint)
        if credential is not None and not self._may_use(name, repository, asker.user):
            detail = f"the daemon's credential for it may not be used by uid {asker.user.uid} for {repository}"
            hint = "log in yourself, or ask its administrator for a grant in [credentials]"
            raise RequestError(Code.REQUEST_FORBIDDEN, name, detail, hint=hint)
        return self._client(name, repository, credential, borrowed=False)

    async def refused(self, name: str, *, repository: str, asker: Asker) -> None:
        """Forget the asker's credential for a repository of `host[:port]`, if it is not taken there any more."""
        found = await self._theirs(name, repository, asker)
        if found is not None:
            client, _ = self._clients.get((name, found.credential, ""), (None, 0.0))
            # One that nobody was refused with yet was brought a moment ago, in place of the one that was.
            if client is not None and client.refused:
                await self._keyring.spend(found.number)

    def sweep(self) -> None:
        """Let go of the clients, with their credentials and tokens, nobody has asked for in a while."""
        since = anyio.current_time() - _IDLE
        self._clients = {key: kept for key, kept in self._clients.items() if kept[1] >= since}

    async def _theirs(self, name: str, repository: str, asker: Asker) -> Found | None:
        try:
            return await self._keyring.find(name, repository, asker)
        except DaemonError as error:
            # The job can wait for its key; it is the daemon that is to be mended.
            detail = f"the credential for it cannot be opened: {error}"
            raise RegistryError(Code.REGISTRY_NEEDS_CREDENTIAL, name, detail, retry_after=_LOOK_AGAIN) from error

    def _client(self, name: str, repository: str, credential: Credential | None, *, borrowed: bool) -> RegistryClient:
        # The daemon's own is looked up anew for the repository it is for: each has a client of its own.
        own = credential is not None and not borrowed
        key = name, credential, repository if own else ""
        client, _ = self._clients.pop(key, (None, 0.0))
        if client is None:
            renew = partial(self._renewed, name, repository) if own else None
            client = RegistryClient(name, self._settings(name), credential, self._wire, borrowed=borrowed, renew=renew)
        self._clients[key] = client, anyio.current_time()  # the last one used is the last
        if len(self._clients) > _KEPT:
            del self._clients[next(iter(self._clients))]
        return client

    async def _renewed(self, name: str, repository: str, refused: Credential) -> Credential | None:
        return await self._own.find(name, repository, fresh=refused)

    def _may_use(self, name: str, repository: str, user: User) -> bool:
        return user.administrator or self._grants.allows(name, repository, user.uid, user.gids)
