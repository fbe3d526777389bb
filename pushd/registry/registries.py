"""All registries of the daemon: one client per registry and credential, so that tokens outlive a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushd.errors import Code, RequestError
from pushd.registry.client import RegistryClient
from pushd.registry.credentials import DockerConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pushd.credentials.credential import Credential
    from pushd.principal import User
    from pushd.registry.grants import Grants
    from pushd.registry.settings import Settings
    from pushd.registry.wire import Wire

_KEPT = 512
"""Clients kept: callers may name any host, one after the other. One that is dropped in use goes on all the same."""


class Registries:
    """Gives the client for a registry.

    Args:
        wire: the HTTP below.
        settings: gives how the registry `host[:port]` is spoken to.
        docker_config: the Docker configuration with the daemon's credentials, or None when there is no such place.
        grants: who besides administrators may use them.
    """

    def __init__(
        self, wire: Wire, *, settings: Callable[[str], Settings], docker_config: Path | None, grants: Grants
    ) -> None:
        self._wire = wire
        self._settings = settings
        self._docker_config = None if docker_config is None else DockerConfig(str(docker_config))
        self._grants = grants
        self._clients: dict[tuple[str, Credential | None], RegistryClient] = {}

    async def connect(self, name: str, *, repository: str, user: User) -> RegistryClient:
        """Give the client of `host[:port]`, as the user may use it. No request is made.

        It has the credential as the file holds it now. Who may not use that is refused, and not taken for nobody: what
        is pushed anonymously in place of what was meant fails later, and says less.

        Raises:
            RegistryError: `registry.credentials`, the file or its entry cannot be used.
            RequestError: `request.forbidden`, there is a credential, and it is not for this user and repository.
        """
        credential = None if self._docker_config is None else await self._docker_config.find(name)
        if credential is not None and not self._may_use(name, repository, user):
            detail = f"the daemon's credential for it may not be used by uid {user.uid} for {repository}"
            hint = "ask its administrator for a grant in [credentials]"
            raise RequestError(Code.REQUEST_FORBIDDEN, name, detail, hint=hint)
        client = self._clients.pop((name, credential), None)
        if client is None:
            client = RegistryClient(name, self._settings(name), credential, self._wire)
        self._clients[name, credential] = client  # the last one used is the last
        if len(self._clients) > _KEPT:
            del self._clients[next(iter(self._clients))]
        return client

    def _may_use(self, name: str, repository: str, user: User) -> bool:
        return user.administrator or self._grants.allows(name, repository, user.uid, user.gids)
